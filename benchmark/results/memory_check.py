"""Whether ledgers, the table of exemplars and the memory's files say the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from benchmark.budget import Budget
from benchmark.exemplar import CODECS, read_records
from benchmark.results.file_check import MEMORY
from benchmark.results.records import EXEMPLARS, Stored
from benchmark.results.schema import ClassLedger, Result

_SHORTEST = 7  # bytes of the record of an exemplar of which nothing is kept


def ledger_faults(result: Result, exemplars: Sequence[Stored]) -> Iterator[str]:
    """Sums of the exemplars against the ledger of every phase, and the ledger against the budget.

    What counts after phase t of a class is said in `records.Stored`.
    """
    chosen = _chosen(exemplars)
    for (label, t), rows in sorted(chosen.items()):
        ledger = _ledger(result, t, label)
        where = f"{EXEMPLARS}, class {label} chosen after phase {t}"
        if ledger is None or ledger["exemplars"] != len(rows):
            yield f"{where}: {len(rows)} exemplars, not as many as in the ledger"
        if [row.rank for row in rows] != list(range(len(rows))):
            yield f"{where}: ranks are not 0, 1, 2, ..."
        yield from _row_faults(result, where, rows)
        yield from _strangers(result, chosen, label, t)
    for t, phase in enumerate(result["phases"]):
        memory = phase["memory"]
        for key, ledger in memory["per_class"].items():
            held = _held(chosen, int(key), t, ledger["exemplars"])
            sums = (len(held), sum(r.bytes for r in held), math.fsum(r.cost for r in held))
            where = f"memory after phase {t}, class {key}"
            if sums[:2] != (ledger["exemplars"], ledger["bytes"]):
                yield (
                    f"{where}: {ledger['exemplars']} exemplars of {ledger['bytes']} bytes in the "
                    f"ledger, {sums[0]} of {sums[1]} in {EXEMPLARS}"
                )
            if not _close(sums[2], ledger["cost"]):
                yield f"{where}: cost {ledger['cost']}, but {sums[2]} in {EXEMPLARS}"
            yield from _exceeded(where, ledger["cost"], ledger["budget"])
        classes = list(memory["per_class"].values())
        for name, total in (
            ("exemplars", sum(ledger["exemplars"] for ledger in classes)),
            ("bytes", sum(ledger["bytes"] for ledger in classes)),
            ("cost", math.fsum(ledger["cost"] for ledger in classes)),
        ):
            said = cast(Mapping[str, float], memory)[name]
            if not _close(total, said):
                yield f"memory after phase {t}: {name} {said}, but the classes sum to {total}"
        yield from _exceeded(f"memory after phase {t}", memory["cost"], memory["budget"])


def file_faults(folder: Path, result: Result, exemplars: Sequence[Stored]) -> Iterator[str]:
    """The files of the memory, if they are there, against last ledger and table of exemplars."""
    if not (folder / MEMORY).is_dir():
        return
    last = len(result["phases"]) - 1
    of = result["budget"]
    budget = Budget(0, of["currency"], of["growth"], 1.0, of["sample_bytes"] or math.inf)
    chosen = _chosen(exemplars)
    there = sorted((folder / MEMORY).iterdir())
    files = {p.name: p for p in there if p.is_file() and not p.is_symlink()}
    for path in there:
        if path.name not in files:
            yield f"{MEMORY}/{path.name} is not a regular file"
    for key, ledger in result["phases"][last]["memory"]["per_class"].items():
        own = [name for name in files if name.startswith(f"class-{int(key):04d}-")]
        where = f"{MEMORY}, class {key}"
        if len(own) != 1:
            yield f"{where}: {len(own)} files instead of one"
            continue
        data = files.pop(own[0]).read_bytes()
        if f"-{hashlib.sha256(data).hexdigest()[:16]}." not in own[0]:
            yield f"{where}: {own[0]} has another hash than its name says"
        if len(data) != ledger["bytes"]:
            yield f"{where}: {own[0]} has {len(data)} bytes, the ledger {ledger['bytes']}"
        try:
            records = read_records(data)
        except ValueError as error:
            yield f"{where}: {own[0]} cannot be read: {error}"
            continue
        held = _held(chosen, int(key), last, ledger["exemplars"])
        said = [(row.label, row.bytes, round(row.cost, 9)) for row in held]
        found = [(one.label, one.nbytes, round(budget.cost(one), 9)) for one in records]
        if said != found:
            yield f"{where}: the records of {own[0]} are not those of {EXEMPLARS}"
    for name in sorted(files):
        yield f"{MEMORY}/{name} belongs to no class of the ledger"


def _row_faults(result: Result, where: str, rows: Sequence[Stored]) -> Iterator[str]:
    """Length, cost and codec of each exemplar by themselves."""
    currency = result["budget"]["currency"]
    for row in rows:
        cost = {"bytes": row.bytes, "exemplars": 1.0}.get(currency)
        if row.bytes < _SHORTEST:
            yield f"{where}, {row.file_name}: {row.bytes} bytes, too few for any exemplar"
        elif not 0 < row.cost < math.inf or (cost is not None and row.cost != cost):
            yield f"{where}, {row.file_name}: cost {row.cost} of {row.bytes} bytes in {currency}"
        elif result["schema_version"] > 1 and row.codec not in CODECS:
            yield f"{where}, {row.file_name}: codec {row.codec!r} is none"


def _strangers(
    result: Result, chosen: Mapping[tuple[int, int], list[Stored]], label: int, phase: int
) -> Iterator[str]:
    """Of an old class only what was kept before can be kept again."""
    if not 0 < phase < len(result["phases"]) or label in result["phases"][phase]["classes"]:
        return
    before = _ledger(result, phase - 1, label)
    held = _held(chosen, label, phase - 1, before["exemplars"]) if before else []
    if new := {row.file_name for row in chosen[label, phase]} - {row.file_name for row in held}:
        yield (
            f"{EXEMPLARS}, class {label} chosen after phase {phase}: {min(new)} was not kept "
            "before, and the class is of an earlier phase"
        )


def _chosen(exemplars: Sequence[Stored]) -> dict[tuple[int, int], list[Stored]]:
    """Rows by class and phase, best first."""
    found: dict[tuple[int, int], list[Stored]] = {}
    for row in sorted(exemplars, key=lambda row: row.rank):
        found.setdefault((row.label, row.phase), []).append(row)
    return found


def _held(
    chosen: Mapping[tuple[int, int], list[Stored]], label: int, phase: int, count: int
) -> list[Stored]:
    latest = max((t for owner, t in chosen if owner == label and t <= phase), default=phase)
    return chosen.get((label, latest), [])[:count]


def _ledger(result: Result, phase: int, label: int) -> ClassLedger | None:
    if not 0 <= phase < len(result["phases"]):
        return None
    return result["phases"][phase]["memory"]["per_class"].get(str(label))


def _exceeded(where: str, cost: float, budget: float | None) -> Iterator[str]:
    if budget is not None and cost > budget * (1 + 1e-9) + 1e-9:
        yield f"{where}: cost {cost} exceeds the budget {budget}"


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
