"""The memory on disk: what may be kept of old phases, what it costs, and what comes back.

An exemplar is bytes: what is written here is charged, and is the only way from an old phase to a
new one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import exemplar as records
from benchmark import run_files
from benchmark.budget import CURRENCIES, Budget, fill
from benchmark.errors import ContractError, damaged
from benchmark.exemplar import CODECS, Exemplar, RawSize, StoredExemplar
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic


class BudgetError(ContractError):
    """A method tried to keep more than its budget; a fault of the method, never of the user."""


class MemoryStore:
    """The exemplars of all classes seen, on disk, one file per class.

    Files are immutable: a change writes a new one. `manifest` lists those that count; the caller
    commits it together with the rest of a phase, so a kill leaves the former state whole.
    """

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        manifest: Mapping[str, Any] | None = None,
        *,
        shared: bool = False,
        writes: bool = True,
    ) -> None:
        """Open a memory as it was left.

        Args:
            folder: Where its files are.
            budget: What it may hold.
            manifest: What `manifest` returned; None for an empty memory.
            shared: Only the total binds, classes may differ.
            writes: Of several processes only one writes; all know the same.

        Raises:
            UserError: A file is missing or was changed.
        """
        self.folder = folder
        self.budget = budget
        self.phase = 0
        self.num_seen = 0
        self._shared = shared
        self._writes = writes
        self._classes: dict[int, list[StoredExemplar]] = {}
        self._files: dict[int, str] = {}
        self._chosen: set[int] = set()
        self._open = False
        self._raw: Mapping[str, RawSize] | None = None
        self._sizes: dict[str, RawSize] = {}  # of what is kept, where bytes are not charged
        try:
            for key, entry in (manifest or {}).items():
                self._read(int(key), entry)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(damaged(folder)) from error  # of a version without seals

    def open_phase(
        self,
        phase: int,
        num_seen: int,
        samples: Mapping[str, RawSize] | None = None,
        *,
        may_keep: bool = True,
    ) -> None:
        """Make room after training: with a total budget, old classes give up their surplus.

        The first exemplars of the stored order stay, so methods store their best ones first.

        Args:
            phase: Its index.
            num_seen: Classes seen with it.
            samples: Samples that may be kept now, beside those that are kept already, and how much
                of them there is; None for any, unmeasured.
            may_keep: Whether the method is one that keeps anything.
        """
        self.phase, self.num_seen, self._raw, self._open = phase, num_seen, samples, may_keep
        self._chosen.clear()
        if self._shared:
            self._shrink_together()
            return
        for label, kept in list(self._classes.items()):
            stay = len(kept)
            while stay and self._cost(kept[:stay]) > self.allowance(label):
                stay -= 1
            if stay < len(kept):
                self._write(label, kept[:stay])

    def _shrink_together(self) -> None:
        """Where only the total binds, the classes that cost most give up their last exemplars."""
        total = self.budget.total(self.phase, self.num_seen)
        held = {label: list(kept) for label, kept in self._classes.items()}
        costs = {label: self._cost(kept) for label, kept in held.items()}
        while costs and math.fsum(costs.values()) > total:
            label = max(costs, key=lambda label: (costs[label], label))
            held[label].pop()
            costs[label] = self._cost(held[label])
        for label, kept in held.items():
            if len(kept) < len(self._classes[label]):
                self._write(label, kept)

    def allowance(self, label: int) -> float:
        """What a class may cost now, in the budget's currency; nothing before it is seen."""
        if label >= self.num_seen:
            return 0.0
        if not self._shared:
            return self.budget.allowance(label, self.phase, self.num_seen)
        others = (one for other, kept in self._classes.items() if other != label for one in kept)
        return self.budget.total(self.phase, self.num_seen) - self._cost(others)

    def keep(
        self, label: int, ranking: Iterable[StoredExemplar | Exemplar]
    ) -> list[StoredExemplar]:
        """See `Memory.keep`."""
        if not self._open:
            raise ContractError(
                "nothing can be kept here: call memory.keep in end_phase, of a method whose `kind` "
                "is 'replay'"
            )
        if not 0 <= label < self.num_seen:
            raise ContractError(f"class {label} is not among the {self.num_seen} seen")
        held = {one.exemplar: one for one in self._classes.get(label, ())}
        checked = (self._checked(label, one, held) for one in ranking)
        kept = fill(checked, lambda one: self.budget.cost(one.exemplar), self.allowance(label))
        self._write(label, kept)
        self._chosen.add(label)
        return kept

    def exemplars(self) -> list[Exemplar]:
        """All that is kept, by class, best first."""
        return [one.exemplar for label in sorted(self._classes) for one in self._classes[label]]

    def of_class(self, label: int) -> list[StoredExemplar]:
        """What is kept of one class, best first."""
        return list(self._classes.get(label, ()))

    def manifest(self) -> dict[str, Any]:
        """Which file holds each class, its size and hash, and where its exemplars came from."""
        return {
            str(label): {
                "file": self._files[label],
                "bytes": sum(one.exemplar.nbytes for one in kept),
                "sources": [[one.file_name, one.codec] for one in kept],
                "raw": [self._sizes.get(one.file_name) for one in kept],
            }
            for label, kept in sorted(self._classes.items())
        }

    def ledger(self) -> dict[str, Any]:
        """What is kept and what it costs, per class and in sum, checked against the files.

        Raises:
            BudgetError: A class costs more than its allowance, or all classes more than the total.
            RuntimeError: A file's size differs from what is charged.
        """
        per_class: dict[str, dict[str, float | None]] = {}
        for label, kept in sorted(self._classes.items()):
            cost = self._cost(kept)
            allowance = None if self._shared else self.allowance(label)
            size = sum(one.exemplar.nbytes for one in kept)
            if allowance is not None and cost > allowance:
                raise BudgetError(f"class {label} costs {cost} of {allowance}")
            if self._writes and (self.folder / self._files[label]).stat().st_size != size:
                raise RuntimeError(f"{self._files[label]} is not as long as what is charged")
            entry = {"exemplars": len(kept), "bytes": size, "cost": cost, "budget": allowance}
            per_class[str(label)] = entry
        everything = [one for kept in self._classes.values() for one in kept]
        cost = self._cost(everything)
        total = self.budget.total(self.phase, self.num_seen)
        if not self._shared:
            total = math.fsum(map(self.allowance, range(self.num_seen)))
        elif cost > total:
            raise BudgetError(f"the classes together cost {cost} of {total}")
        return {
            "exemplars": len(everything),
            "bytes": sum(one.exemplar.nbytes for one in everything),
            "cost": cost,
            "budget": total,
            "per_class": per_class,
        }

    def selected(self) -> list[dict[str, Any]]:
        """One row for each exemplar of the classes chosen in this phase, for the audit file."""
        return [
            {
                "label": label,
                "rank": rank,
                "file_name": one.file_name,
                "bytes": one.exemplar.nbytes,
                "cost": self.budget.cost(one.exemplar),
                "codec": one.codec,
            }
            for label in sorted(self._chosen)
            for rank, one in enumerate(self._classes[label])
        ]

    def _checked(
        self,
        label: int,
        one: StoredExemplar | Exemplar,
        held: Mapping[Exemplar, StoredExemplar],
    ) -> StoredExemplar:
        """What is handed in, if it can be what it claims to be."""
        if isinstance(one, Exemplar):
            if one not in held:
                raise ContractError(
                    f"an exemplar handed in again for class {label} is not one kept of it: hand "
                    "in StoredExemplar(exemplar, file_name) for a new one"
                )
            return held[one]
        if not isinstance(one, StoredExemplar):
            raise ContractError(
                f"{type(one).__name__} was handed in for class {label}: hand in "
                "StoredExemplar.whole(sample), or StoredExemplar(exemplar, file_name)"
            )
        if one.exemplar.label != label:
            raise ContractError(
                f"an exemplar of class {one.exemplar.label} was handed in for {label}"
            )
        if one.codec not in CODECS:
            known = ", ".join(sorted(CODECS))
            raise ContractError(f"codec {one.codec!r} is not one of {known}")
        if one.old is not None:
            if one.old not in held:
                raise ContractError("the exemplar to encode again is not one that is kept")
            one = StoredExemplar(one.exemplar, held[one.old].file_name, one.codec)
        elif self._raw is not None:
            if one.file_name not in self._raw:
                raise ContractError(f"{one.file_name!r} is not a sample of this phase")
            if CURRENCIES[self.budget.currency].noun:  # then no payload is charged by its length
                self._sizes[one.file_name] = self._raw[one.file_name]
        if one.file_name in self._sizes:
            records.refuse_too_long(one, self._sizes[one.file_name])
        return one

    def _cost(self, kept: Iterable[StoredExemplar]) -> float:
        return math.fsum(self.budget.cost(one.exemplar) for one in kept)

    def _write(self, label: int, kept: Sequence[StoredExemplar]) -> None:
        data = b"".join(one.exemplar.to_bytes() for one in kept)
        self._files[label] = run_files.exemplars_name(label, data)
        self._classes[label] = list(kept)
        if self._writes:
            write_atomic(self.folder / self._files[label], data)

    def _read(self, label: int, entry: Mapping[str, Any]) -> None:
        path = self.folder / entry["file"]
        data = run_files.read(path, run_files.hash_in_name(path), entry["bytes"])
        self._files[label] = entry["file"]
        sources = entry["sources"]
        for (file_name, _), raw in zip(sources, entry["raw"], strict=True):
            if raw is not None:
                self._sizes[file_name] = RawSize(*raw)
        self._classes[label] = [
            StoredExemplar(exemplar, *source)
            for exemplar, source in zip(records.read_records(data), sources, strict=True)
        ]
