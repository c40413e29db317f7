"""CIM: class-incremental exemplar compression (Luo et al., CVPR 2023, arXiv 2303.14042).

One box of an exemplar stays sharp, drawn around the evidence for its class; the rest is reduced by
eta in area. New samples are shown that way too, at random and increasingly often during training,
so that old and new ones look alike. On ViLT the class activation map is one of
`baselines.evidence`. Epochs of the paper's code are shares of the phase's steps here: boxes of new
samples are redrawn after each fifth (every 40th of 200 epochs), and each time the chance to show
them grows by a tenth.

With `learned` a mask network (`baselines.bilevel`) draws the boxes and takes its bilevel steps at
the same moments. All else is as in the other replay methods: cross entropy (and distillation) where
the paper has FOSTER, and a ranking from which exemplars that do not fit are skipped, where the
paper's code stops. The box is widened to whole squares of root eta pixels, so that the rate
b + (1 - b) / eta is exact. The caption stays whole, at two bytes per token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.bilevel import MaskNetwork, twins
from baselines.box_replay import BoxReplay, BoxSettings
from baselines.exemplars.boxes import coarse_patches, inside
from baselines.learner import Labelled
from baselines.settings import require, setting
from baselines.vilt import Batch, collate
from benchmark.data import Sample
from benchmark.exemplar import Exemplar
from benchmark.memory import Memory
from benchmark.method import MethodContext, PhaseData

_PARTS = 5  # of a phase's steps; boxes are redrawn after each
_META_BATCH = 16  # samples in each of the two batches of a bilevel step
_BOXES, _PHI = "boxes", "phi"  # their names among the tensors that are carried on


@dataclass(frozen=True)
class CIMSettings(BoxSettings):
    """Settings of `CIM`."""

    compress_new: float = setting(
        0.1,
        "chance to see a new sample compressed, added after each fifth of a phase",
        within=f"[0, {1 / (_PARTS - 1)}]",
    )
    compress_all: bool = setting(
        False, "see every new sample compressed from the start; CIM does not", (False, True)
    )
    learned: bool = setting(False, "draw boxes by a mask network that is learned too")
    outer_steps: float = setting(
        0.5, "its steps after each fifth of a phase, per new class", within="(0, inf)"
    )

    def __post_init__(self) -> None:
        """Refuse values that could not take effect."""
        super().__post_init__()
        both = self.compress_all and self.compress_new != 0.1
        require(not both, "compress_new has no effect with compress_all=true")
        alone = self.outer_steps != 0.5 and not self.learned
        require(not alone, "outer_steps has no effect without learned=true")


@dataclass(frozen=True)
class Boxable(Labelled):
    """A training batch of which some samples are compressed when its loss is computed.

    Attributes:
        numbers: (B,) number of each new sample in its phase, -1 for exemplars.
        draws: (B,) from 0 to 1; those below the current chance are compressed.
    """

    numbers: Tensor
    draws: Tensor

    def compressed(self, boxes: Tensor, chance: float, eta: int) -> Labelled:
        """The batch with some new samples as they would be stored, without loss.

        Args:
            boxes: (N, 4) those of all N samples of the phase.
            chance: That a new sample is compressed.
            eta: Pixels that become one; its root divides the patches' sides.
        """
        inputs, size = self.inputs, self.inputs.patches.shape[1]
        owner = inputs.patch_mask.nonzero()[:, 0]  # of each patch
        found = boxes.to(owner.device)[self.numbers.clamp(min=0)][owner]
        chosen = ((self.numbers >= 0) & (self.draws < chance))[owner, None, None]
        sharp = inside(found, inputs.patch_indices, inputs.grids, size) | ~chosen
        patches = torch.where(sharp[..., None], inputs.patches, coarse_patches(inputs.patches, eta))
        return Labelled(replace(inputs, patches=patches), self.labels)


class CIM(BoxReplay):
    """Keeps a sharp box of each exemplar, and shows new samples that way increasingly often.

    Attributes:
        network: Draws the boxes if `learned`.
    """

    Settings = CIMSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "CIM", "paper": "Luo et al. 2023", "link": "https://arxiv.org/abs/2303.14042",
    }  # fmt: skip

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.network = MaskNetwork(self.model) if settings.learned else None

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Draw boxes only if they are needed in the first fifth of the phase."""
        super().begin_phase(phase, memory)
        self._phase, self._exemplars = phase, memory.exemplars()
        self._numbers = {name: number for number, name in enumerate(phase.train.file_names)}
        self._boxes = torch.zeros(len(phase.train), 4, dtype=torch.int32)
        if self.settings.compress_all:
            self._boxes = torch.tensor(self.draw_boxes(phase), dtype=torch.int32)
        if self.network:
            self.network.restart()

    def collate(self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None) -> Any:
        """In training, whole inputs and what is needed to compress some of them."""
        plain = super().collate(items, rng)
        if rng is None:
            return plain
        new = [self._numbers[i.file_name] if isinstance(i, Sample) else -1 for i in items]
        draws = torch.from_numpy(rng.random(len(items)))
        return Boxable(plain.inputs, plain.labels, torch.tensor(new), draws)

    def loss(self, batch: Any) -> Tensor:
        """That of the other replay methods, with some inputs compressed."""
        chance = self._part(self.progress.step) * self.settings.compress_new
        chance = 1.0 if self.settings.compress_all else chance
        return super().loss(batch.compressed(self._boxes, chance, self.settings.eta))

    def _part(self, step: int) -> int:
        """The fifth of the phase that a step belongs to, counted from 0."""
        return step * _PARTS // self.progress.steps

    def optimizer(
        self, groups: list[dict[str, Any]], learning_rate: float
    ) -> torch.optim.Optimizer:
        """That of the other replay methods; its rate is used for the virtual step too."""
        self._peak = learning_rate
        return super().optimizer(groups, learning_rate)

    def before_step(self) -> None:
        """After each fifth of the steps but the last, learn phi and redraw the boxes."""
        following = self._part(self.progress.step + 1)
        if following == self._part(self.progress.step) or following == _PARTS:
            return
        if self.network:
            self._learn(self.network, self.context.rng("bilevel", self._phase.index, following))
        if self.settings.compress_new and not self.settings.compress_all:
            self._boxes = torch.tensor(self.draw_boxes(self._phase), dtype=torch.int32)

    def _learn(self, network: MaskNetwork, rng: np.random.Generator) -> None:
        """Take the bilevel steps that are due."""
        rate = self._peak * self.schedule(self.progress.step, self.progress.steps)
        for _ in range(max(1, int(self.settings.outer_steps * len(self._phase.new)))):
            first, second = self._draw(rng), self._draw(rng)
            network.learn(first, second, self.settings, rate, self.progress.share)

    def _draw(self, rng: np.random.Generator) -> Labelled:
        """A small batch of new samples and exemplars."""
        samples, exemplars = self._phase.train, self._exemplars
        count = len(samples) + len(exemplars)
        items = [
            samples[i] if i < len(samples) else exemplars[i - len(samples)]
            for i in rng.choice(count, min(count, _META_BATCH), replace=False).tolist()
        ]
        inputs = collate([self.input(item) for item in items])
        return Labelled(inputs, torch.tensor([item.label for item in items])).to(
            self.context.device
        )

    def evidence(self, batch: Batch, labels: Tensor) -> Tensor:
        """By the mask network, if there is one."""
        with twins(self.vilt, self.network.phi if self.network else None):
            return super().evidence(batch, labels)

    def state(self) -> dict[str, Tensor]:
        """What is trained, the codec, and phi if it is learned."""
        own = {_PHI: self.network.phi.detach()} if self.network else {}
        return {**super().state(), **own}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        if self.network:
            self.network.load_phi(state[_PHI])
        super().load_state({name: value for name, value in state.items() if name != _PHI})

    def transient(self) -> dict[str, Tensor]:
        """The last boxes of the new samples, and the state of the optimizer of phi."""
        return {_BOXES: self._boxes, **(self.network.progress() if self.network else {})}

    def load_transient(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `transient` returned."""
        self._boxes = tensors[_BOXES]
        if self.network:
            self.network.load_progress(tensors)
