"""DER++: Dark Experience for General Continual Learning (Buzzega et al., NeurIPS 2020).

A reservoir holds samples with the logits that the network had for them. A third of each batch is
new, a third is replayed to keep its logits as they were, a third is replayed for its labels.

    CE(current) + alpha * MSE(logits, stored logits) + beta * CE(replayed)        (eq. 6)

The logits are part of the exemplar, four bytes each, and charged. Mammoth stores a sample with the
logits of the step in which it is seen; here they are of the model at the end of its phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.er import ER, ERSettings
from baselines.learner import Labelled
from baselines.replay_learner import SHARE
from baselines.settings import require, setting
from baselines.vilt import collate
from benchmark.data import Sample, Samples
from benchmark.exemplar import Exemplar
from benchmark.method import PhaseData


@dataclass(frozen=True)
class DERppSettings(ERSettings):
    """Settings of `DERpp`; the weights are those of Mammoth for CIFAR-100 with 500 samples."""

    replay_share: float = setting(2 / 3, SHARE, search=(2 / 3, 0.5))
    alpha: float = setting(
        0.3,
        "weight of the distance to the stored logits, a mean over heads",
        search=(0.3, 0.1, 1.0),
    )
    beta: float = setting(0.5, "weight of the cross entropy of replayed samples")

    def __post_init__(self) -> None:
        """Refuse distillation, of which this is a form."""
        super().__post_init__()
        require(not self.distillation, "distillation: DER++ has its own, see alpha")


@dataclass(frozen=True)
class Mixed(Labelled):
    """n new samples, then m exemplars with their logits, then exemplars for their labels.

    Attributes:
        new: n.
        stored: (m, H) logits as they were stored, zero where there was no head.
        present: (m, H) where there was one.
    """

    new: int
    stored: Tensor
    present: Tensor


class DERpp(ER):
    """Replays a reservoir's logits and labels."""

    Settings = DERppSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "DER++", "paper": "Buzzega et al. 2020", "link": "https://arxiv.org/abs/2004.07211",
    }  # fmt: skip

    def collate(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None
    ) -> Labelled:
        """In training, the first half of the exemplars comes with its logits."""
        replayed = [item for item in items if isinstance(item, Exemplar)]
        if rng is None or not replayed:
            plain: Labelled = super().collate(items, rng)
            return plain
        new = [item for item in items if not isinstance(item, Exemplar)]
        together: list[Sample | Exemplar] = [*new, *replayed]
        first = replayed[: -(-len(replayed) // 2)]
        logits = [np.frombuffer(exemplar.extra, "<f4") for exemplar in first]
        heads = np.array([len(row) for row in logits])
        present = np.arange(heads.max()) < heads[:, None]
        stored = np.zeros(present.shape, dtype=np.float32)
        stored[present] = np.concatenate(logits)
        return Mixed(
            collate(self.augment(together, rng)),
            torch.tensor([item.label for item in together]),
            len(new),
            torch.from_numpy(stored),
            torch.from_numpy(present),
        )

    def loss(self, batch: Labelled) -> Tensor:
        """Equation 6; in the first phase cross entropy alone."""
        logits = self.model(batch.inputs)
        if not isinstance(batch, Mixed):
            return F.cross_entropy(logits, batch.labels)
        return derpp_loss(
            logits, batch.labels, batch.new, batch.stored, batch.present,
            alpha=self.settings.alpha, beta=self.settings.beta,
        )  # fmt: skip

    def extra_bytes(self, phase: PhaseData) -> int:
        """Four for each head."""
        return 4 * phase.num_seen

    def extras(self, samples: Samples) -> list[bytes]:
        """Logits of the samples."""
        rows = self.encode(
            self.inputs(samples), lambda batch: list(self.model(batch).float().cpu().numpy())
        )
        return [row.astype("<f4").tobytes() for row in rows]


def derpp_loss(
    logits: Tensor,
    labels: Tensor,
    new: int,
    stored: Tensor,
    present: Tensor,
    *,
    alpha: float,
    beta: float,
) -> Tensor:
    """Equation 6 for logits (B, C) and labels (B,) of a `Mixed` batch.

    The distance is a mean over the heads there were at storage time, as in Mammoth; with the
    paper's squared norm alpha would be smaller by their number.
    """
    drawn, heads = stored.shape
    first, second = logits[new : new + drawn], logits[new + drawn :]
    loss = alpha * ((first[:, :heads] - stored).square() * present).sum() / present.sum()
    if new:
        loss = loss + F.cross_entropy(logits[:new], labels[:new])
    if len(second):
        loss = loss + beta * F.cross_entropy(second, labels[new + drawn :])
    return loss
