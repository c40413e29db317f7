"""What passes between the harness and a method: context, phases, stages, progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.data import Sample, Samples
    from benchmark.exemplar import Exemplar

_WARM_UP = 0.1  # share of a stage's steps in which the learning rate rises


@dataclass(frozen=True)
class MethodContext:
    """What a method is given once.

    Attributes:
        num_classes: Classes of all phases together (heads may be laid out for them).
        phase_sizes: Number of new classes of each phase (pools of prompts are divided among them).
        backbone: Name, folder or Hub id of the pretrained model.
        tuning: `ssf`, `full` or `head`.
        max_text_length: Text tokens a sample may have; None for the backbone's own limit.
        batch_size: Batch for passes without gradient.
        seed: The run's seed; derive all randomness from it by `rng`.
        device: Where to compute.
        rank, world: This process among several; all of them make the same decisions.
    """

    num_classes: int
    phase_sizes: tuple[int, ...]
    backbone: str
    tuning: str
    max_text_length: int | None
    batch_size: int
    seed: int
    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def num_phases(self) -> int:
        """Phases there will be."""
        return len(self.phase_sizes)

    def rng(self, purpose: str, *numbers: int) -> np.random.Generator:
        """A generator for each purpose and numbers (phase, class, ...), the same on every process.

        The harness draws from streams of its own, which no method can reach by a name.
        """
        from benchmark.randomness import stream

        return stream(self.seed, f"method/{purpose}", *numbers)


@dataclass(frozen=True)
class PhaseData:
    """The samples of one phase; labels count 0..num_seen-1 in the order classes appear.

    Attributes:
        index: 0 for the first.
        new: Labels of this phase's classes.
        num_seen: Number of classes up to and including this phase.
        train: This phase's training samples, of all phases so far if `Method.sees_all_data`. Their
            images are read from disk when asked for; `train.labels` are known without.
        steps: Training steps the phase has, the same for every method.
    """

    index: int
    new: range
    num_seen: int
    train: Samples
    steps: int = 0


@dataclass(frozen=True)
class Stage:
    """One training within a phase: on which items, for which share of the phase's steps.

    Every phase has the same number of steps for every method, so that keeping more does not mean
    learning more: its stages divide them.

    Attributes:
        items: What is trained on; None for the phase's samples and the memory's exemplars.
        share: Share of the phase's steps, of all its stages together at most 1; 0 trains nothing.
        replay_share: Share of each batch that is drawn from the exemplars among the items; None
            shuffles samples and exemplars together.
        learning_rate: Peak; None for what `--learning-rate` or the method's recipe says.
        name: For progress and results.

    Raises:
        ContractError: A share is not between 0 and 1.
    """

    items: Sequence[Sample | Exemplar] | None = None
    share: float = 1.0
    replay_share: float | None = None
    learning_rate: float | None = None
    name: str = "train"

    def __post_init__(self) -> None:
        """Refuse a share that cannot be one."""
        for name in ("share", "replay_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ContractError(f"Stage({name}={value}): a share lies between 0 and 1")


@dataclass(frozen=True)
class Progress:
    """How far training is; `Method.progress` holds it while `collate` and `loss` run.

    Attributes:
        stage: Number of the stage in its phase.
        step: Number of the step in its stage.
        steps: Steps of the stage.
    """

    stage: int = 0
    step: int = 0
    steps: int = 1

    @property
    def share(self) -> float:
        """Share of the stage's steps that are done, from 0 to below 1.

        >>> Progress(step=3, steps=12).share
        0.25
        """
        return self.step / self.steps


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up over the first tenth, then a cosine to zero.

    >>> [round(learning_rate_factor(s, 100), 3) for s in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
