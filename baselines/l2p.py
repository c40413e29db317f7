"""L2P: Learning to Prompt for Continual Learning (Wang et al., CVPR 2022).

The backbone is frozen. A pool of prompts is learnt, each with a key; a sample uses those whose keys
are most like its query, which is what the backbone makes of the sample without prompts. The prompts
enter ViLT beside words and patches, and the mean of what becomes of them is classified.

    loss = CE(logits of the phase's classes) - pull * sum of the chosen keys' similarities

Each sample chooses for itself, in training and at test. The official code chooses once for a whole
batch, so that a prediction depends on batch mates; `batch_wise=true` does so in training alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.learner import Classifier, Labelled, ViltLearner, require, setting
from baselines.views import Batch
from benchmark.data import Sample
from benchmark.exemplar import Exemplar
from benchmark.memory import Memory
from benchmark.method import Kind, Method, PhaseData


@dataclass(frozen=True)
class L2PSettings:
    """Settings of `L2P`; the defaults are those of its ports to PyTorch."""

    pool: int = setting(10, "prompts in the pool")
    length: int = setting(5, "tokens of a prompt")
    top: int = setting(5, "prompts a sample uses")
    pull: float = setting(0.1, "weight of the similarity of query and chosen keys")
    init: float = setting(1.0, "prompts and keys are drawn between minus and plus this")
    batch_wise: bool = setting(False, "choose once for a batch in training, as the official code")

    def __post_init__(self) -> None:
        """Refuse what cannot be chosen from."""
        require(1 <= self.top <= self.pool, f"top={self.top}: choose 1 to pool={self.pool}")
        require(self.length >= 1, f"length={self.length}: a prompt has at least one token")
        require(self.pull >= 0, f"pull={self.pull}: cannot be negative")
        require(self.init > 0, f"init={self.init}: must be positive")


@dataclass(frozen=True)
class Queried:
    """Views with labels (B,) and queries (B, D), which training computes once a phase."""

    views: Batch
    labels: Tensor
    queries: Tensor

    def to(self, device: torch.device, **_: Any) -> Queried:
        """Move all."""
        moved = self.labels.to(device), self.queries.to(device)
        return Queried(self.views.to(device), *moved)


class Prompted(Classifier):
    """ViLT with a pool of prompts, and a linear head on the mean of what the chosen ones become."""

    def __init__(
        self, vilt: Any, num_classes: int, generator: torch.Generator, settings: L2PSettings
    ) -> None:
        super().__init__(vilt, num_classes, generator)
        shape = settings.pool, settings.length, vilt.hidden_size
        drawn = torch.rand(shape, generator=generator), torch.rand(shape[::2], generator=generator)
        self.prompts, self.keys = (nn.Parameter((2 * x - 1) * settings.init) for x in drawn)
        self.top, self.batch_wise = settings.top, settings.batch_wise

    @torch.no_grad()
    def query(self, batch: Batch) -> Tensor:
        """What the frozen backbone makes of the samples without prompts (B, D)."""
        return self.vilt.class_token(batch)

    def answer(self, batch: Batch, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, num_seen), and the mean over the batch of the chosen keys' similarity."""
        similarity = F.normalize(queries, dim=1) @ F.normalize(self.keys, dim=1).T
        chosen = choose(similarity, self.top, batch_wise=self.batch_wise and self.training)
        prompts = self.prompts[chosen].flatten(1, 2)
        out = self.vilt(batch, prompts=prompts)
        logits = self.classify(out.hidden[:, out.prompts].mean(1))
        return logits, similarity.gather(1, chosen).sum(1).mean()


class L2P(ViltLearner):
    """Learns prompts and a head; keeps no sample."""

    Settings = L2PSettings
    kind: ClassVar[Kind] = "memory-free"
    recipe: ClassVar[Mapping[str, Any]] = {
        "tuning": "head",
        "learning_rate": 0.00375,  # the official .03 * batch / 256, for batches of 32
        "weight_decay": 0.0,  # prompts that are not chosen would shrink
    }
    unused: ClassVar[frozenset[str]] = frozenset({"tuning"})
    about: ClassVar[Mapping[str, str]] = {
        "name": "L2P",
        "paper": "Wang et al. 2022",
        "link": "https://arxiv.org/abs/2112.08654",
    }
    model: Prompted
    save_pretrained = Method.save_pretrained  # prompts have no place in a ViltModel
    _first = 0
    _queries: Mapping[str, Tensor] = {}

    def build(self) -> Prompted:
        """ViLT, prompts and head."""
        return Prompted(self.vilt, self.context.num_classes, self.generator, self.settings)

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Query the frozen backbone for every sample: it answers the same in every epoch."""
        super().begin_phase(phase, memory)
        self._first = phase.new.start
        queries = torch.from_numpy(self.features(self.views(phase.train), self.model.query))
        self._queries = dict(zip(phase.train.file_names, queries, strict=True))

    def collate(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None
    ) -> Labelled | Queried:
        """Add the queries in training; at test they are asked for in `predict`."""
        plain: Labelled = super().collate(items, rng)
        if rng is None:
            return plain
        own = [self._queries[item.file_name] for item in items if isinstance(item, Sample)]
        return Queried(plain.views, plain.labels, torch.stack(own))

    def loss(self, batch: Queried) -> Tensor:
        """Cross entropy among the phase's classes, and keys pulled to the queries."""
        logits, similarity = self.model.answer(batch.views, batch.queries)
        loss = phase_cross_entropy(logits, batch.labels, self._first)
        return loss - float(self.settings.pull) * similarity

    def before_step(self) -> None:
        """Clip the norm of the whole gradient to one."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(trained, 1.0)

    def predict(self, batch: Any) -> Tensor:
        """Logits of the classes seen (B, num_seen)."""
        return self.model.answer(batch.views, self.model.query(batch.views))[0]

    def optimizer(
        self, groups: list[dict[str, Any]], learning_rate: float
    ) -> torch.optim.Optimizer:
        """Adam; a new one for each phase, as in the official code."""
        return torch.optim.Adam(groups, lr=learning_rate)

    def schedule(self, step: int, steps: int) -> float:
        """Constant."""
        return 1.0


def choose(similarity: Tensor, top: int, *, batch_wise: bool = False) -> Tensor:
    """Numbers (B, top) of the prompts with the highest similarity (B, M), highest first.

    With `batch_wise` all samples get those that most samples would choose.

    >>> rows = torch.tensor([[0.6, 0.8, 0, 0.99], [0, 0.38, 0.92, 0.27], [1, 0, 0, 0.71]])
    >>> choose(rows, 2).tolist()
    [[3, 1], [2, 1], [0, 3]]
    >>> choose(rows, 2, batch_wise=True).sort(1).values.tolist()
    [[1, 3], [1, 3], [1, 3]]
    """
    chosen = similarity.topk(top, dim=1).indices
    if not batch_wise:
        return chosen
    counts = chosen.flatten().bincount(minlength=similarity.shape[1])
    return counts.topk(top).indices.expand(len(similarity), top)


def phase_cross_entropy(logits: Tensor, labels: Tensor, first: int) -> Tensor:
    """Cross entropy of logits (B, C) with labels (B,), without the classes before `first`.

    >>> logits = torch.tensor([[2.0, 1.0, 0.5, -1.0]])
    >>> round(float(phase_cross_entropy(logits, torch.tensor([2]), 2)), 6)
    0.201413
    """
    return F.cross_entropy(logits[:, first:], labels - first)
