"""Whether ledgers, the table of exemplars and the memory's files say the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from benchmark.budget import Budget
from benchmark.exemplar import CODECS, read_records
from benchmark.results.records import Stored
from benchmark.results.schema import ClassLedger, MemoryLedger, Result
from benchmark.run_files import EXEMPLARS, MEMORY, hash_in_name, read
from mm_imagenet_r.errors import UserError

_SHORTEST = 7  # bytes of the record of an exemplar of which nothing is kept


def ledger_faults(result: Result, exemplars: Sequence[Stored]) -> Iterator[str]:
    """Sums of exemplars (see `records.Stored`) against each ledger, and it against the budget."""
    chosen, phases = _chosen(exemplars), result["phases"]
    for (label, t), rows in sorted(chosen.items()):
        known = phases[t]["memory"]["per_class"] if 0 <= t < len(phases) else {}
        ledger = known.get(str(label))
        where = f"{EXEMPLARS}, class {label} chosen after phase {t}"
        if ledger is None or ledger["exemplars"] != len(rows):
            yield f"{where}: {len(rows)} exemplars, not as many as in the ledger"
        if [row.rank for row in rows] != list(range(len(rows))):
            yield f"{where}: ranks are not 0, 1, 2, ..."
        yield from _row_faults(result, where, rows)
        if 0 < t < len(phases) and label not in phases[t]["classes"]:
            before = phases[t - 1]["memory"]["per_class"].get(str(label))
            held = _held(chosen, label, t - 1, before["exemplars"] if before else 0)
            if new := {row.file_name for row in rows} - {row.file_name for row in held}:
                yield f"{where}: {min(new)} was not kept before, and the class is an earlier one"
    for t, phase in enumerate(phases):
        memory, classes = phase["memory"], list(phase["memory"]["per_class"].values())
        for key, ledger in memory["per_class"].items():
            held = _held(chosen, int(key), t, ledger["exemplars"])
            number, size = len(held), sum(row.bytes for row in held)
            cost = math.fsum(row.cost for row in held)
            where = f"memory after phase {t}, class {key}"
            if (number, size) != (ledger["exemplars"], ledger["bytes"]):
                yield (
                    f"{where}: {ledger['exemplars']} exemplars of {ledger['bytes']} bytes in the "
                    f"ledger, {number} of {size} in {EXEMPLARS}"
                )
            if not _close(cost, ledger["cost"]):
                yield f"{where}: cost {ledger['cost']}, but {cost} in {EXEMPLARS}"
            yield from _exceeded(where, ledger)
        for name in ("exemplars", "bytes", "cost"):
            said, total = cast(Any, memory)[name], math.fsum(cast(Any, of)[name] for of in classes)
            if not _close(total, said):
                yield f"memory after phase {t}: {name} {said}, but the classes sum to {total:.12g}"
        yield from _exceeded(f"memory after phase {t}", memory)


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
        path = files.pop(own[0])
        if (size := path.stat().st_size) != ledger["bytes"]:
            yield f"{where}: {own[0]} has {size} bytes, the ledger {ledger['bytes']}"
            continue
        try:
            records = read_records(read(path, hash_in_name(path), size))
        except UserError:
            yield f"{where}: {own[0]} has another hash than its name says"
            continue
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
    currency = result["budget"]["currency"]
    for row in rows:
        cost = {"bytes": row.bytes, "exemplars": 1.0}.get(currency)
        if row.bytes < _SHORTEST:
            yield f"{where}, {row.file_name}: {row.bytes} bytes, too few for any exemplar"
        elif not 0 < row.cost < math.inf or (cost is not None and row.cost != cost):
            yield f"{where}, {row.file_name}: cost {row.cost} of {row.bytes} bytes in {currency}"
        elif result["schema_version"] > 1 and row.codec not in CODECS:
            yield f"{where}, {row.file_name}: codec {row.codec!r} is unknown"


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


def _exceeded(where: str, ledger: ClassLedger | MemoryLedger) -> Iterator[str]:
    cost, budget = ledger["cost"], ledger["budget"]
    if budget is not None and cost > budget * (1 + 1e-9) + 1e-9:
        yield f"{where}: cost {cost} exceeds the budget {budget}"


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
