"""What many cases did: a table of doors and outcomes, and the failures by cause."""

from __future__ import annotations

from collections import Counter, defaultdict

from .judge import BAD, OUTCOMES
from .runner import Done


class Tally:
    """Cases by door and outcome."""

    def __init__(self) -> None:
        """Of no case yet."""
        self.failures: list[Done] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, done: Done) -> None:
        """Count a case."""
        self._counts[done.door.name, done.verdict.outcome] += 1
        self._seconds[done.door.name] += done.seconds
        if done.verdict.outcome in BAD:
            self.failures.append(done)

    @property
    def cases(self) -> int:
        """How many there are."""
        return self._counts.total()

    def table(self) -> str:
        """A line for each door, with the mean time of its cases."""
        shown = [
            name for name in OUTCOMES if any(self._counts[door, name] for door in self._seconds)
        ]
        lines = [f"{'':<20}" + "".join(f"{name:>10}" for name in shown) + f"{'s/case':>10}"]
        for door, seconds in self._seconds.items():
            cells = [self._counts[door, name] for name in shown]
            numbers = "".join(f"{cell or '.':>10}" for cell in cells)
            mean = seconds / sum(self._counts[door, name] for name in OUTCOMES)
            lines.append(f"{door:<20}{numbers}{mean:>10.2f}")
        return "\n".join(lines)

    def causes(self, options: str) -> str:
        """The failures, those of one cause together, with the command that repeats the first."""
        found: defaultdict[tuple[str, str, str], list[Done]] = defaultdict(list)
        for done in self.failures:
            found[done.door.name, done.verdict.outcome, done.verdict.cause].append(done)
        lines = []
        for (door, outcome, cause), cases in sorted(found.items(), key=lambda item: item[0]):
            first = min(cases, key=lambda done: done.number)
            again = f"python -m tests.fuzz --door {door} --case {first.number}"
            again += options
            lines.append(f"{door}: {outcome}, {len(cases)} x, {cause}; {first.damage}; {again}")
        return "\n".join(lines)
