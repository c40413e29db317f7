"""ER: Experience Replay with a reservoir (Chaudhry et al., 2019, as in Mammoth).

A reservoir holds a uniform sample of all samples seen. Half of each batch is drawn from it; the
loss is one mean cross entropy. In Mammoth a sample enters the stream in every epoch, here once, at
the end of its phase.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.replay_learner import SHARE, ReplayLearner, ReplaySettings
from baselines.settings import setting
from benchmark.data import Sample, Samples
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.memory import Memory
from benchmark.method import PhaseData

_SEEN = "samples_seen"


@dataclass(frozen=True)
class ERSettings(ReplaySettings):
    """Settings of `ER`; a reservoir draws at random, so there is no other selection."""

    replay_share: float = setting(0.5, SHARE, search=(0.5, 0.0, 0.75))
    selection: str = setting("random", "random: a reservoir has no other", choices=("random",))


class ER(ReplayLearner):
    """Replays a reservoir of whole samples in their native bytes."""

    Settings = ERSettings
    shares_allowance: ClassVar[bool] = True
    about: ClassVar[Mapping[str, str]] = {
        "name": "ER", "paper": "Chaudhry et al. 2019", "link": "https://arxiv.org/abs/1902.10486",
    }  # fmt: skip
    _seen = 0

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Stream the phase's samples through the reservoir once, in random order."""
        old, rng = memory.exemplars(), self.context.rng("reservoir", phase.index)
        extra = bytes(self.extra_bytes(phase))
        costs = [memory.cost(exemplar) for exemplar in old]
        total = memory.allowance(phase.new.start) + math.fsum(costs)  # new classes hold nothing yet
        costs += [memory.cost(whole(sample, extra)) for sample in phase.train]
        # Exemplars differ in cost: as many slots as there would be at the mean cost.
        slots = int(min(len(costs), total / max(math.fsum(costs) / max(len(costs), 1), 1e-12)))
        buffer = let_pass(len(old), len(phase.train), self._seen, slots, rng)
        self._seen += len(phase.train)
        buffer = [int(i) for i in rng.permutation(buffer)]
        spent = np.cumsum([costs[i] for i in buffer])
        self._keep(memory, phase, old, buffer[: int((spent <= total).sum())])

    def extra_bytes(self, phase: PhaseData) -> int:
        """Bytes that are stored with each sample besides picture and caption."""
        return 0

    def extras(self, samples: Samples) -> list[bytes]:
        """What is stored with each sample besides picture and caption."""
        return [b""] * len(samples)

    def _keep(
        self, memory: Memory, phase: PhaseData, old: Sequence[Exemplar], chosen: Sequence[int]
    ) -> None:
        """Store the chosen exemplars: first those of old classes, which makes room."""
        held = [old[i] for i in chosen if i < len(old)]
        for label in range(phase.new.start):
            memory.keep(label, [exemplar for exemplar in held if exemplar.label == label])
        samples = phase.train.select([i - len(old) for i in chosen if i >= len(old)])
        extras, names = self.extras(samples), samples.file_names
        for label in phase.new:
            own = [i for i, of in enumerate(samples.labels) if of == label]
            memory.keep(
                label, (StoredExemplar(whole(samples[i], extras[i]), names[i]) for i in own)
            )

    def state(self) -> dict[str, Tensor]:
        """What is trained, and the number of samples seen."""
        return {**super().state(), _SEEN: torch.tensor(self._seen)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        super().load_state({name: value for name, value in state.items() if name != _SEEN})
        self._seen = int(state[_SEEN])


def whole(sample: Sample, extra: bytes = b"") -> Exemplar:
    """A sample in its native bytes, with what is stored besides."""
    return Exemplar(sample.label, sample.image, sample.caption.encode(), extra)


def reservoir(
    buffer: list[int], stream: Sequence[int], seen: int, slots: int, draw: Callable[[int], int]
) -> list[int]:
    """Stream items through a reservoir (Vitter 1985), changed in place; return their slots.

    Free slots are filled; then the sample number n, counted from 0, takes the slot drawn from
    0..n, if there is such a slot. While the number of slots stays what it is, all samples of the
    stream are kept with equal chance.

    Args:
        buffer: The items held.
        stream: The new items.
        seen: Number of items that were streamed before.
        slots: Largest number of items held.
        draw: n -> a number from 0 to below n.

    Returns:
        The slot that each item took; -1 for none.

    >>> import numpy as np
    >>> held, legacy = [], np.random.RandomState(0)
    >>> reservoir(held, range(8), 0, 3, legacy.randint)
    [0, 1, 2, 0, 0, -1, -1, -1]
    >>> held
    [4, 1, 2]
    """
    taken = []
    for number, item in enumerate(stream, seen):
        if len(buffer) < slots:
            slot = len(buffer)
            buffer.append(item)
        else:
            slot = draw(number + 1)
            slot = slot if slot < slots else -1
            if slot >= 0:
                buffer[slot] = item
        taken.append(slot)
    return taken


def let_pass(old: int, new: int, seen: int, slots: int, rng: np.random.Generator) -> list[int]:
    """The samples that a reservoir holds after a phase, in which its size may have changed.

    If slots were added, the new samples get a part of all slots equal to their part of all samples
    seen, rounded at random; if they filled the free slots first, the reservoir would favor the last
    phase. While slots grow in proportion to samples, all samples are kept with equal chance.

    Args:
        old: Number of samples held; they count 0..old-1.
        new: Number of new samples; they are numbered from `old` on.
        seen: Number of items that were streamed before.
        slots: How many can be held now.
        rng: Draws everything.

    Returns:
        At most `slots` numbers, in no order.

    >>> held = let_pass(20, 200, 200, 40, np.random.default_rng(0))
    >>> len(held), sum(number < 20 for number in held)
    (40, 20)
    """
    stream = [old + int(number) for number in rng.permutation(new)]
    held = [int(number) for number in rng.permutation(old)]
    if slots <= old:
        held = held[:slots]
        reservoir(held, stream, seen, slots, lambda n: int(rng.integers(n)))
        return held
    share = int(slots * new / max(new + seen, 1) + rng.random())
    share = min(new, max(slots - old, share))
    return held[: slots - share] + stream[:share]
