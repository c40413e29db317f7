"""A memory without files, for tests of methods alone: it keeps what fits and forgets no name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from benchmark.exemplar import Exemplar, StoredExemplar


class ListMemory:
    """What a method sees of `benchmark.memory.Memory`; `stored` also has the names.

    Args:
        each: What a class may cost, or all of them together with `shared`.
    """

    def __init__(
        self, each: float = math.inf, *, currency: str = "bytes", shared: bool = False
    ) -> None:
        self.each, self.currency, self.shared = each, currency, shared
        self.stored: dict[int, list[StoredExemplar]] = {}

    def exemplars(self) -> list[Exemplar]:
        return [one.exemplar for label in sorted(self.stored) for one in self.stored[label]]

    def of_class(self, label: int) -> list[Exemplar]:
        return [one.exemplar for one in self.stored.get(label, ())]

    def cost(self, exemplar: Exemplar) -> float:
        return exemplar.nbytes if self.currency == "bytes" else exemplar.pixel_fraction

    def total(self) -> float:
        return math.fsum(map(self.cost, self.exemplars()))

    def allowance(self, label: int) -> float:
        own = math.fsum(map(self.cost, self.of_class(label)))
        return self.each - (self.total() - own) if self.shared else self.each

    def keep(self, label: int, ranking: Iterable[StoredExemplar | Exemplar]) -> int:
        names = {one.exemplar: one for one in self.stored.get(label, ())}
        room, kept = self.allowance(label), []
        for one in ranking:
            stored = names[one] if isinstance(one, Exemplar) else one
            assert stored.exemplar.label == label
            room -= self.cost(stored.exemplar)
            if room < 0:
                break
            kept.append(stored)
        self.stored[label] = kept
        return len(kept)

    def names(self, label: int) -> list[str]:
        return [one.file_name for one in self.stored.get(label, ())]

    def selected(self) -> list[dict[str, Any]]:
        return [
            {
                "label": label,
                "rank": rank,
                "file_name": one.file_name,
                "bytes": one.exemplar.nbytes,
                "cost": self.cost(one.exemplar),
                "codec": one.codec,
            }
            for label, kept in sorted(self.stored.items())
            for rank, one in enumerate(kept)
        ]
