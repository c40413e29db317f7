"""The memory as a method sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from benchmark.errors import ContractError

if TYPE_CHECKING:
    from benchmark.exemplar import Exemplar, StoredExemplar
    from benchmark.memory_store import MemoryStore


class Memory:
    """The memory as a method sees it: what is kept, what may be kept, and `keep`."""

    __slots__ = ("__store",)
    __store: MemoryStore

    def __init__(self, store: MemoryStore) -> None:
        object.__setattr__(self, "_Memory__store", store)

    def __setattr__(self, name: str, value: object) -> None:
        raise ContractError(f"a method cannot set {name!r} of the memory")

    @property
    def currency(self) -> str:
        """`bytes`, `samples` or `exemplars`: in which costs and allowances are."""
        return self.__store.budget.currency

    def exemplars(self) -> list[Exemplar]:
        """All that is kept, by class, best first."""
        return self.__store.exemplars()

    def of_class(self, label: int) -> list[Exemplar]:
        """What is kept of one class, best first."""
        return [one.exemplar for one in self.__store.of_class(label)]

    def cost(self, exemplar: Exemplar) -> float:
        """What an exemplar is charged."""
        return self.__store.budget.cost(exemplar)

    def allowance(self, label: int) -> float:
        """What a class may cost now; nothing before it is seen.

        Where only the total binds (`Method.shares_allowance`) it is what the other classes leave.
        """
        return self.__store.allowance(label)

    def keep(self, label: int, ranking: Iterable[StoredExemplar | Exemplar]) -> int:
        """Store of a ranking what fits in the class's allowance; return how many that are.

        They take the place of what was kept of the class before, which may be handed in again.

        Raises:
            ContractError: The class is not seen yet, the memory is not open, an exemplar is of
                another class, of no sample of this phase or longer than its pixels could be raw.
        """
        return len(self.__store.keep(label, ranking))

    def selected(self) -> list[dict[str, Any]]:
        """File name, rank, bytes, cost and codec of the exemplars chosen in this phase."""
        return self.__store.selected()
