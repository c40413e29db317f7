"""DualPrompt: Complementary Prompting for Rehearsal-free CL (Wang et al., ECCV 2022).

The backbone is frozen. Prompts are prefixes: vectors prepended to the keys and values of a layer.
The G-prompt, in the first layers, is learned in all phases. In the layers after these, each phase
learns its own E-prompt, with a key that is pulled to the queries of its samples (a query is the
feature of a sample without prompts):

    loss = CE(logits of the phase's classes) - pull * cos(query, key of the phase)

In training the phase is known. At test each sample takes the E-prompt of the phase seen so far
whose key is most similar to its query. An E-prompt starts as a copy of the previous phase's.

Widely used PyTorch ports mix the prefixes of keys with those of values and with other samples of
the batch by a reshape, and let keys of future phases compete at test; neither happens here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.prompts import GrowingPrompts, Prompted, uniform
from baselines.settings import Settings, setting
from baselines.vilt import Batch, Vilt
from baselines.vilt.blocks import Prefix


@dataclass(frozen=True)
class DualPromptSettings(Settings):
    """Settings of `DualPrompt`; the defaults are those of the official code for ImageNet-R."""

    g_length: int = setting(5, "keys, and values, of the G-prompt per layer", within="[1, inf)")
    e_length: int = setting(
        20, "keys, and values, of an E-prompt per layer", search=(5, 20), within="[1, inf)"
    )
    g_layers: int = setting(2, "first layers, with the G-prompt; all but one at most")
    e_layers: int = setting(
        3, "layers after these, with an E-prompt; as many as there are", within="[1, inf)"
    )
    pull: float = setting(
        1.0, "weight of the similarity of query and key", search=(0.1, 1.0), within="(0, inf)"
    )
    init: float = setting(
        0.01, "bound of the uniform initial prompts and keys", (0.01, 0.1, 1.0), within="(0, inf)"
    )


class Expert(nn.Module):
    """The E-prompt of a phase, prompts (layers, 2, length, D), and its key (D,)."""

    def __init__(self, layers: int, length: int, size: int, init: float, rng: Any) -> None:
        super().__init__()
        self.prompts = uniform((layers, 2, length, size), init, rng)
        self.key = uniform((size,), init, rng)


class DualPrompted(Prompted):
    """ViLT with G-prompt and E-prompts, and a linear head on the class token."""

    def __init__(
        self, vilt: Vilt, num_classes: int, generator: torch.Generator, settings: DualPromptSettings
    ) -> None:
        super().__init__(vilt, num_classes, generator)
        depth = len(vilt.model.encoder.layer)
        self.layers = split_layers(depth, settings.g_layers, settings.e_layers)
        shape = len(self.layers[0]), 2, settings.g_length, vilt.hidden_size
        self.general = uniform(shape, settings.init, generator)
        self.pull = settings.pull

    def answer(self, batch: Batch, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, num_seen), and the pull of the newest key to the queries."""
        keys = torch.stack([part.key for part in self.experts])
        similarity = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T
        newest = torch.full((len(batch),), len(keys) - 1, device=queries.device)
        chosen = newest if self.training else nearest(queries, keys)
        pool = torch.stack([part.prompts for part in self.experts])
        general, own = self.layers
        prefixes = gather(self.general[None], torch.zeros_like(chosen), general)
        prefixes |= gather(pool, chosen, own)
        logits = self.classify(self.vilt.class_token(batch, prefixes=prefixes))
        return logits, -self.pull * similarity[:, -1].mean()

    @property
    def experts(self) -> list[Expert]:
        """The E-prompts so far."""
        return [part for part in self.parts if isinstance(part, Expert)]


class DualPrompt(GrowingPrompts):
    """Learns a prompt for all phases and one for each, and a head; keeps no sample."""

    Settings = DualPromptSettings
    recipe: ClassVar[Mapping[str, Any]] = {
        "tuning": "head",
        "learning_rate": 0.005,  # what the official code scales by batch / 256, unscaled
        "weight_decay": 0.0,
    }
    about: ClassVar[Mapping[str, str]] = {
        "name": "DualPrompt",
        "paper": "Wang et al. 2022",
        "link": "https://arxiv.org/abs/2204.04799",
    }
    model: DualPrompted

    def build(self) -> DualPrompted:
        """ViLT, G-prompt and head."""
        return DualPrompted(self.vilt, self.context.num_classes, self.generator, self.settings)

    def part(self, generator: torch.Generator) -> Expert:
        """An E-prompt like that of the previous phase; its key is drawn at random."""
        settings, former = self.settings, self.model.experts
        layers, size = len(self.model.layers[1]), self.vilt.hidden_size
        expert = Expert(layers, settings.e_length, size, settings.init, generator)
        if former:
            expert.prompts.data.copy_(former[-1].prompts)
        return expert


def split_layers(depth: int, general: int, own: int) -> tuple[range, range]:
    """Layers with a G-prompt, and those with an E-prompt, of a backbone of some depth.

    The E-prompt distinguishes the phases, so at least one layer is left to it.

    >>> split_layers(12, 2, 3), split_layers(4, 2, 3), split_layers(2, 2, 3)
    ((range(0, 2), range(2, 5)), (range(0, 2), range(2, 4)), (range(0, 1), range(1, 2)))
    """
    first = min(general, depth - 1)
    return range(first), range(first, min(first + own, depth))


def nearest(queries: Tensor, keys: Tensor) -> Tensor:
    """Number (B,) of the key (T, D) that is most similar to each query (B, D), by the cosine.

    >>> keys = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    >>> nearest(torch.tensor([[0.6, 0.8], [-2, 0.1]]), keys).tolist()
    [1, 2]
    """
    return (F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T).argmax(1)


def gather(pool: Tensor, chosen: Tensor, layers: range) -> dict[int, Prefix]:
    """Layer -> keys and values (B, length, D) of the prompts that samples have chosen.

    Args:
        pool: (T, layers, 2, length, D), keys before values.
        chosen: (B,) numbers along T.
        layers: Where the prompts go.

    >>> pool = torch.tensor([[10.0, 20], [11, 21], [12, 22]]).view(3, 1, 2, 1, 1)
    >>> keys, values = gather(pool, torch.tensor([1, 1, 1, 1]), range(2, 3))[2]
    >>> keys.flatten().tolist(), values.flatten().tolist()
    ([11.0, 11.0, 11.0, 11.0], [21.0, 21.0, 21.0, 21.0])
    """
    own = pool[chosen].permute(1, 2, 0, 3, 4)
    return {layer: (own[i, 0], own[i, 1]) for i, layer in enumerate(layers)}
