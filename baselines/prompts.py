"""What prompt methods share: queries of the frozen backbone, growing prompts, the masked loss.

A query is the class token after the final layer norm of the frozen backbone, without any prompt. No
trained parameter takes part in it, so the queries of a phase are computed once, before its first
step, and looked up in every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.learner import Classifier, Labelled, ViltLearner
from baselines.vilt import Batch, Vilt
from benchmark.data import Sample
from benchmark.exemplar import Exemplar
from benchmark.memory import Memory
from benchmark.method import Kind, Method, PhaseData


@dataclass(frozen=True)
class Queried(Labelled):
    """Inputs with labels (B,) and queries (B, D)."""

    queries: Tensor


class Prompted(Classifier):
    """A frozen ViLT with prompts that depend on queries, and a linear head.

    Attributes:
        parts: What each phase added to the prompts, if they grow.
    """

    def __init__(self, vilt: Vilt, num_classes: int, generator: torch.Generator) -> None:
        super().__init__(vilt, num_classes, generator)
        self.parts = nn.ModuleList()

    @torch.no_grad()
    def query(self, batch: Batch) -> Tensor:
        """Features of the samples without prompts (B, D)."""
        return self.vilt.class_token(batch)

    def answer(self, batch: Batch, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, num_seen), and what is added to the loss in training."""
        raise NotImplementedError


class PromptMethod(ViltLearner):
    """Learns prompts and a head by cross entropy among a phase's classes; keeps no sample."""

    kind: ClassVar[Kind] = "memory-free"
    unused: ClassVar[frozenset[str]] = frozenset({"tuning"})
    model: Prompted
    save_pretrained = Method.save_pretrained  # a ViltModel cannot hold prompts
    _first = 0
    _queries: Mapping[str, Tensor] = {}

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Compute the query of every sample of the phase."""
        super().begin_phase(phase, memory)
        self._first = phase.new.start
        queries = torch.from_numpy(self.features(self.inputs(phase.train), self.model.query))
        self._queries = dict(zip(phase.train.file_names, queries, strict=True))

    def collate(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None
    ) -> Labelled:
        """Add the queries in training; at test `predict` computes them."""
        plain: Labelled = super().collate(items, rng)
        if rng is None:
            return plain
        own = [self._queries[item.file_name] for item in items if isinstance(item, Sample)]
        return Queried(plain.inputs, plain.labels, torch.stack(own))

    def loss(self, batch: Queried) -> Tensor:
        """Cross entropy among the phase's classes, and what the method adds."""
        logits, added = self.model.answer(batch.inputs, batch.queries)
        return phase_cross_entropy(logits, batch.labels, self._first) + added

    def predict(self, batch: Any) -> Tensor:
        """Logits of the classes seen (B, num_seen)."""
        return self.model.answer(batch.inputs, self.model.query(batch.inputs))[0]

    def before_step(self) -> None:
        """Clip the norm of the whole gradient to one."""
        nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)

    def optimizer(
        self, groups: list[dict[str, Any]], learning_rate: float
    ) -> torch.optim.Optimizer:
        """Adam; a new one for each phase, as in the official codes."""
        return torch.optim.Adam(groups, lr=learning_rate)

    def schedule(self, step: int, steps: int) -> float:
        """Constant."""
        return 1.0


class GrowingPrompts(PromptMethod):
    """Each phase adds its own part to the prompts; those of earlier phases are frozen."""

    def part(self, generator: torch.Generator) -> nn.Module:
        """The initial part of a phase; `model.parts` holds those of earlier ones."""
        raise NotImplementedError

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Freeze the parts of earlier phases, and add this one's."""
        super().begin_phase(phase, memory)
        self.model.parts.requires_grad_(False)
        self._grow(phase.index)

    def _grow(self, phase: int) -> None:
        part = self.part(self.new_generator("prompts", phase))
        self.model.parts.append(part.to(self.context.device))

    def state(self) -> dict[str, Tensor]:
        """The head and the prompts, trained now or before."""
        tensors = self.model.state_dict()
        return {n: t.detach().cpu().clone() for n, t in tensors.items() if not _of_backbone(n)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned, with as many parts as there were.

        Raises:
            ValueError: The names are others.
            RuntimeError: The shapes are others.
        """
        parts = {name.split(".")[1] for name in state if name.startswith("parts.")}
        for phase in range(len(self.model.parts), len(parts)):
            self._grow(phase)
        missing, unknown = self.model.load_state_dict(state, strict=False)
        if wrong := [*unknown, *(name for name in missing if not _of_backbone(name))]:
            raise ValueError(f"the saved state does not fit: {', '.join(sorted(wrong)[:5])}")


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> nn.Parameter:
    """A parameter drawn between minus and plus a bound."""
    return nn.Parameter((2 * torch.rand(*shape, generator=generator) - 1) * bound)


def phase_cross_entropy(logits: Tensor, labels: Tensor, first: int) -> Tensor:
    """Cross entropy of logits (B, C) with labels (B,), without the classes before `first`.

    >>> logits = torch.tensor([[2.0, 1.0, 0.5, -1.0]])
    >>> round(float(phase_cross_entropy(logits, torch.tensor([2]), 2)), 6)
    0.201413
    """
    return F.cross_entropy(logits[:, first:], labels - first)


def _of_backbone(name: str) -> bool:
    return name.startswith("vilt.")
