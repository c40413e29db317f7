"""DER++: Dark Experience for General Continual Learning (Buzzega et al., NeurIPS 2020).

A reservoir holds samples with the logits the network had for them. Each step draws two mini-batches
from it: on one the logits shall stay what they were, on the other the labels are learnt.

    CE(current) + alpha * MSE(logits, stored logits) + beta * CE(replayed)        (eq. 6)

The logits are a part of the exemplar, four bytes each, and charged. Mammoth stores a sample when it
comes by, with the logits of that step, and lets it come by in every epoch; here it is stored once,
at the end of its phase, with the logits of the model as it is then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.learner import Labelled, ViltLearner, require, setting
from baselines.reservoir import let_pass
from baselines.views import Batch, collate
from benchmark.data import Sample
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData, Stage

_SEEN = "samples_seen"


@dataclass(frozen=True)
class DERppSettings:
    """Settings of `DERpp`; the defaults are Mammoth's for CIFAR-100 with 500 samples."""

    alpha: float = setting(0.3, "weight of the distance to the stored logits, a mean over heads")
    beta: float = setting(0.5, "weight of the cross entropy of replayed samples")

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        require(self.alpha >= 0, f"alpha={self.alpha}: cannot be negative")
        require(self.beta >= 0, f"beta={self.beta}: cannot be negative")


@dataclass(frozen=True)
class Mixed:
    """New samples and two draws of as many exemplars each, in one batch of n + m + m views.

    Attributes:
        views: All of them.
        labels: (n + m + m,).
        stored: (m, H) logits of the first draw as they were stored, zero where there was no head.
        present: (m, H) where there was one.
    """

    views: Batch
    labels: Tensor
    stored: Tensor
    present: Tensor

    def to(self, device: torch.device, **_: Any) -> Mixed:
        """Move all."""
        tensors = (t.to(device) for t in (self.labels, self.stored, self.present))
        return Mixed(self.views.to(device), *tensors)


class DERpp(ViltLearner):
    """Replays a reservoir's logits and labels."""

    Settings = DERppSettings
    shares_allowance: ClassVar[bool] = True
    about: ClassVar[Mapping[str, str]] = {
        "name": "DER++",
        "paper": "Buzzega et al. 2020",
        "link": "https://arxiv.org/abs/2004.07211",
    }
    _seen = 0
    _buffer: Sequence[Exemplar] = ()

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Look at the reservoir."""
        super().begin_phase(phase, memory)
        self._buffer = memory.exemplars()

    def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
        """The stream is the phase's samples alone; exemplars are drawn beside it."""
        yield Stage(items=phase.train)

    def collate(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None
    ) -> Labelled | Mixed:
        """In training, two independent draws of as many exemplars, each without replacement."""
        if rng is None or not self._buffer:
            plain: Labelled = super().collate(items, rng)
            return plain
        count = min(len(items), len(self._buffer))
        first, second = (
            [self._buffer[i] for i in rng.choice(len(self._buffer), count, replace=False)]
            for _ in range(2)
        )
        together = [*items, *first, *second]
        logits = [np.frombuffer(exemplar.extra, "<f4") for exemplar in first]
        heads = np.array([len(row) for row in logits])
        present = np.arange(heads.max()) < heads[:, None]
        stored = np.zeros(present.shape, dtype=np.float32)
        stored[present] = np.concatenate(logits)
        return Mixed(
            collate(self.augment(together, rng)),
            torch.tensor([item.label for item in together]),
            torch.from_numpy(stored),
            torch.from_numpy(present),
        )

    def loss(self, batch: Labelled | Mixed) -> Tensor:
        """Equation 6; in the first phase cross entropy alone."""
        logits = self.model(batch.views)
        if isinstance(batch, Labelled):
            return F.cross_entropy(logits, batch.labels)
        return derpp_loss(
            logits, batch.labels, batch.stored, batch.present,
            alpha=self.settings.alpha, beta=self.settings.beta,
        )  # fmt: skip

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Let the phase's samples pass by the reservoir once, in random order."""
        old, rng = memory.exemplars(), self.context.rng("reservoir", phase.index)
        empty = bytes(4 * phase.num_seen)
        costs = [memory.cost(exemplar) for exemplar in old]
        total = memory.allowance(phase.new.start) + math.fsum(costs)  # new classes hold nothing yet
        costs += [memory.cost(_exemplar(sample, empty)) for sample in phase.train]
        # Exemplars differ in cost: there are as many slots as hold those of mean cost.
        slots = int(min(len(costs), total / max(math.fsum(costs) / len(costs), 1e-12)))
        buffer = let_pass(len(old), len(phase.train), self._seen, slots, rng)
        self._seen += len(phase.train)
        buffer = [int(i) for i in rng.permutation(buffer)]
        spent = np.cumsum([costs[i] for i in buffer])
        self._keep(memory, phase, old, buffer[: int((spent <= total).sum())])

    def _keep(
        self, memory: Memory, phase: PhaseData, old: Sequence[Exemplar], chosen: Sequence[int]
    ) -> None:
        """Hand over exemplars by their number: those of old classes first, which makes room."""
        held = [old[i] for i in chosen if i < len(old)]
        for label in range(phase.new.start):
            memory.keep(label, [exemplar for exemplar in held if exemplar.label == label])
        samples = phase.train.select([i - len(old) for i in chosen if i >= len(old)])
        rows = self.encode(
            self.views(samples), lambda batch: list(self.model(batch).float().cpu().numpy())
        )
        logits = [row.astype("<f4").tobytes() for row in rows]
        for label in phase.new:
            own = [i for i, of in enumerate(samples.labels) if of == label]
            names = samples.file_names
            memory.keep(
                label, (StoredExemplar(_exemplar(samples[i], logits[i]), names[i]) for i in own)
            )

    def state(self) -> dict[str, Tensor]:
        """What is trained, and how many samples came by."""
        return {**super().state(), _SEEN: torch.tensor(self._seen)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        super().load_state({name: value for name, value in state.items() if name != _SEEN})
        self._seen = int(state[_SEEN])


def derpp_loss(
    logits: Tensor, labels: Tensor, stored: Tensor, present: Tensor, *, alpha: float, beta: float
) -> Tensor:
    """Equation 6 for logits (n + m + m, C): new samples, then two draws of m exemplars.

    The distance is a mean over the heads there were at storage time, as in Mammoth; with the
    paper's squared norm alpha would be smaller by their number.

    Args:
        logits: Of the model now.
        labels: (n + m + m,).
        stored: (m, H) logits of the first draw when it was stored; H at most C.
        present: (m, H) bool, which of them there are.
        alpha: Weight of the distance.
        beta: Weight of the cross entropy of the second draw.
    """
    drawn, heads = stored.shape
    current, first, second = logits[: -2 * drawn], logits[-2 * drawn : -drawn], logits[-drawn:]
    distance = ((first[:, :heads] - stored).square() * present).sum() / present.sum()
    replayed = F.cross_entropy(second, labels[-drawn:])
    loss: Tensor = F.cross_entropy(current, labels[: len(current)])
    return loss + alpha * distance + beta * replayed


def _exemplar(sample: Sample, logits: bytes) -> Exemplar:
    return Exemplar(sample.label, sample.image, sample.caption.encode(), logits)
