"""L2P: Learning to Prompt for Continual Learning (Wang et al., CVPR 2022).

The backbone is frozen. A pool of prompts is learned, each with a key; a sample uses those whose
keys are most similar to its query, the feature of the sample without prompts. The prompts enter
ViLT beside words and patches, and the mean of their outputs is classified.

    loss = CE(logits of the phase's classes) - pull * sum of the chosen keys' similarities

Each sample chooses for itself, in training and at test. The official code chooses once for a whole
batch, so that a prediction depends on the other samples; `batch_wise=true` does so in training
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.prompts import Prompted, PromptMethod, uniform
from baselines.settings import Settings, require, setting
from baselines.vilt import Batch, Vilt


@dataclass(frozen=True)
class L2PSettings(Settings):
    """Settings of `L2P`; the defaults are those of its ports to PyTorch."""

    pool: int = setting(10, "prompts in the pool")
    length: int = setting(5, "tokens of a prompt", search=(1, 5, 10), within="[1, inf)")
    top: int = setting(5, "prompts that a sample uses")
    pull: float = setting(0.1, "weight of the similarity of query and chosen keys", (0.1, 1.0))
    init: float = setting(
        1.0, "bound of the uniform initial prompts and keys", (0.01, 0.1, 1.0), within="(0, inf)"
    )
    batch_wise: bool = setting(
        False, "choose once per batch in training, as the official code does"
    )

    def __post_init__(self) -> None:
        """Refuse more prompts than there are in the pool."""
        super().__post_init__()
        require(1 <= self.top <= self.pool, f"top={self.top}: choose 1 to pool={self.pool}")


class L2PModel(Prompted):
    """ViLT with a pool of prompts, and a linear head on the mean output of the chosen ones."""

    def __init__(
        self, vilt: Vilt, num_classes: int, generator: torch.Generator, settings: L2PSettings
    ) -> None:
        super().__init__(vilt, num_classes, generator)
        size, pool = vilt.hidden_size, settings.pool
        self.prompts = uniform((pool, settings.length, size), settings.init, generator)
        self.keys = uniform((pool, size), settings.init, generator)
        self.settings = settings

    def answer(self, batch: Batch, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, num_seen), and the pull of the chosen keys to the queries."""
        settings = self.settings
        similarity = F.normalize(queries, dim=1) @ F.normalize(self.keys, dim=1).T
        batch_wise = settings.batch_wise and self.training
        chosen = choose(similarity, settings.top, batch_wise=batch_wise)
        out = self.vilt(batch, prompts=self.prompts[chosen].flatten(1, 2))
        logits = self.classify(out.hidden[:, out.prompts].mean(1))
        return logits, -settings.pull * similarity.gather(1, chosen).sum(1).mean()


class L2P(PromptMethod):
    """Learns a pool of prompts and a head; keeps no sample."""

    Settings = L2PSettings
    recipe: ClassVar[Mapping[str, Any]] = {
        "tuning": "head",
        "learning_rate": 0.00375,  # the official .03 * batch / 256, for batches of 32
        "weight_decay": 0.0,  # prompts that are not chosen would shrink
    }
    about: ClassVar[Mapping[str, str]] = {
        "name": "L2P", "paper": "Wang et al. 2022", "link": "https://arxiv.org/abs/2112.08654",
    }  # fmt: skip
    model: L2PModel

    def build(self) -> L2PModel:
        """ViLT, prompts and head."""
        return L2PModel(self.vilt, self.context.num_classes, self.generator, self.settings)


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
