"""What every method on ViLT shares: views of samples, a growing head, features, the loss.

Derive from `ViltLearner` and change what your method does differently.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.selection import Array
from baselines.tuning import tune
from baselines.views import Batch, Preprocessor, View, collate
from baselines.vilt import Vilt
from benchmark.data import Sample
from benchmark.memory import Exemplar, Memory
from benchmark.method import Method, PhaseData, MethodContext
from benchmark.processes import map_batches

_log = logging.getLogger(__name__)
_CACHE_BYTES = 4 * 2**30  # decoded views of one phase; beyond it they are decoded again each epoch


def setting(default: Any, text: str) -> Any:
    """A field of a method's settings with its help text."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class LearnerSettings:
    """Settings all ViLT methods have."""

    distillation: float = setting(0.0, "weight of distillation from the model before the phase")
    temperature: float = setting(2.0, "its temperature")

    def __post_init__(self) -> None:
        """Refuse what could not take effect."""
        require(self.distillation >= 0, "distillation cannot be negative")
        require(self.temperature > 0, "temperature must be positive")
        alone = self.temperature != 2.0 and not self.distillation
        require(not alone, "temperature has no effect without distillation")


def require(condition: bool, otherwise: str) -> None:
    """Raise ValueError, which reaches the user as a message, unless a setting makes sense."""
    if not condition:
        raise ValueError(otherwise)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless a setting has one of its possible values."""
    require(value in choices, f"{name}={value}: choose one of {', '.join(choices)}")


class Lazy(Sequence[View]):
    """Views made when they are asked for: those of a whole phase may not fit into memory."""

    def __init__(self, make: Callable[[int], View], count: int) -> None:
        self._make = make
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(self._count)[index]]
        return self._make(range(self._count)[index])


@dataclass(frozen=True)
class Labelled:
    """Views with their labels (B,)."""

    views: Batch
    labels: Tensor

    def to(self, device: torch.device, **_: Any) -> Labelled:
        """Move both."""
        return Labelled(self.views.to(device), self.labels.to(device))


class Classifier(nn.Module):
    """ViLT and a linear head on its pooled class token.

    The head is laid out for all classes; `num_seen` of its rows take part, so it grows by counting.
    """

    def __init__(self, vilt: Vilt, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.vilt = vilt
        with torch.random.fork_rng(devices=[]):  # a Linear draws from the global generator
            self.head = nn.Linear(vilt.config.hidden_size, num_classes)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)
        self.num_seen = num_classes

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, num_seen)."""
        pooled = self.vilt.pool(batch)
        return F.linear(pooled, self.head.weight[: self.num_seen], self.head.bias[: self.num_seen])


class ViltLearner(Method):
    """Fine-tunes ViLT with cross entropy over all classes seen; keeps nothing."""

    Settings = LearnerSettings
    model: Classifier

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        generator = torch.Generator().manual_seed(int(context.rng(0).integers(2**63)))
        vilt = Vilt.from_pretrained(context.backbone, max_text_length=context.max_text_length)
        # Weights may lie anywhere in a mapped file, and products of unaligned ones differ in their
        # last digits from those of a copy.
        for parameter in vilt.parameters():
            parameter.data = parameter.data.clone()
        self._backbone = dict(sorted(vilt.model.state_dict().items()))
        tune(vilt, context.tuning, generator)
        self.model = Classifier(vilt, context.num_classes, generator).to(context.device)
        self.preprocessor = Preprocessor.from_pretrained(
            context.backbone, max_text_length=context.max_text_length
        )
        self.teacher: Classifier | None = None
        self._views: dict[Exemplar | str, View] = {}
        self._room = _CACHE_BYTES

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Let the head grow, and keep a copy as a teacher if there is distillation."""
        if phase.index == self.context.rank == 0:
            self._warn_of_cut_captions(phase.train.captions)
        if self.settings.distillation and phase.index:
            self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
            self.teacher.num_seen = phase.new.start
        self.model.num_seen = phase.num_seen

    def _warn_of_cut_captions(self, captions: Sequence[str]) -> None:
        if cut := self.preprocessor.count_cut(captions):
            _log.warning(
                f"note: {cut} of the {len(captions)} captions of the first phase are longer than "
                f"{self.preprocessor.max_text_length} tokens and lose their end; a larger "
                "--max-text-length keeps more of them"
            )

    def view(self, item: Sample | Exemplar) -> View:
        """What the model sees of a sample or an exemplar; decoded once a phase."""
        key = item if isinstance(item, Exemplar) else item.file_name
        if key in self._views:
            return self._views[key]
        view = self.decode(item) if isinstance(item, Exemplar) else self.see(item)
        if self._room > view.patches.nbytes:
            self._views[key] = view
            self._room -= view.patches.nbytes
        return view

    def views(self, samples: Sequence[Sample]) -> Lazy:
        """`view` of each sample."""
        return Lazy(lambda i: self.view(samples[i]), len(samples))

    def see(self, sample: Sample) -> View:
        """The whole sample."""
        return self.preprocessor.view(sample.image, sample.caption)

    def decode(self, exemplar: Exemplar) -> View:
        """What was kept of a sample; here a whole one in its native bytes."""
        return self.preprocessor.view(exemplar.image, exemplar.text.decode())

    def collate(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None
    ) -> Labelled:
        """Pack views; at evaluation they are whole, in training `augment` may change them."""
        # Test samples have no names of their own, under which they could be kept.
        see = (self.see(item) if isinstance(item, Sample) else self.view(item) for item in items)
        views = list(see) if rng is None else self.augment(items, rng)
        return Labelled(collate(views), torch.tensor([item.label for item in items]))

    def augment(self, items: Sequence[Sample | Exemplar], rng: np.random.Generator) -> list[View]:
        """The views a training step uses."""
        return [self.view(item) for item in items]

    def loss(self, batch: Labelled) -> Tensor:
        """Cross entropy over all classes seen, and distillation where it is asked for."""
        logits = self.model(batch.views)
        loss = F.cross_entropy(logits, batch.labels)
        if self.teacher is not None:
            with torch.no_grad():
                old = self.teacher(batch.views)
            loss = loss + self.settings.distillation * distillation(
                logits[:, : old.shape[1]], old, self.settings.temperature
            )
        return loss

    def predict(self, batch: Labelled) -> Tensor:
        """Logits of the classes seen (B, num_seen)."""
        scores: Tensor = self.model(batch.views)
        return scores

    def encode(self, views: Sequence[View], read: Callable[[Batch], Sequence[Any]]) -> list[Any]:
        """Answer for each view with what `read` makes of batches of them, without gradient."""
        self.model.eval()

        def work(chosen: Sequence[int]) -> Sequence[Any]:
            with torch.no_grad():
                return read(collate([views[i] for i in chosen]).to(self.context.device))

        context = self.context
        return map_batches(work, len(views), context.batch_size, context.rank, context.world)

    def features(self, views: Sequence[View]) -> Array:
        """Pooled features (N, D) of views."""
        pool = self.model.vilt.pool
        rows = self.encode(views, lambda batch: list(pool(batch).float().cpu().numpy()))
        return np.stack(rows)

    def provenance(self) -> dict[str, Any]:
        """Name, hash and size of the backbone."""
        digest = hashlib.sha256()
        for tensor in self._backbone.values():
            digest.update(tensor.contiguous().numpy().tobytes())
        count = sum(tensor.numel() for tensor in self._backbone.values())
        return {"name": self.context.backbone, "sha256": digest.hexdigest(), "parameters": count}


def distillation(new: Tensor, old: Tensor, temperature: float) -> Tensor:
    """Cross entropy between softened outputs, without the factor T^2 (PyCIL's form of iCaRL).

    >>> new = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> old = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> round(float(distillation(new, old, 2.0)), 6)
    0.649675
    """
    target = (old / temperature).softmax(1)
    return -(target * (new / temperature).log_softmax(1)).sum(1).mean()
