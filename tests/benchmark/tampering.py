"""Ways to change a finished run: what a careful forger does, and what would break its reader."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forging import change_exemplars, change_predictions, change_result, recount, small_form
from running import write_exemplars, write_predictions, write_result

from benchmark import results, run_files
from benchmark.results import records

Forge = Callable[[Path], object]
Value = dict[str, Any]
HUGE = 300 * 2**20


def edited(change: Callable[[Value], object]) -> Forge:
    return lambda folder: change_result(folder, change)


def text(old: str, new: str) -> Forge:
    """Change the text of result.json itself."""

    def forge(folder: Path) -> None:
        path = folder / run_files.RESULT
        changed = path.read_text().replace(old, new, 1)
        assert old in path.read_text()
        with contextlib.suppress(ValueError):
            value = json.loads(changed)
            changed = changed.replace(value["seal"], run_files.seal_of(value))
        path.write_text(changed)

    return forge


def predicted(change: Callable[[records.Prediction], records.Prediction]) -> Forge:
    """Change predictions, with their hash and all accuracies."""

    def forge(folder: Path) -> None:
        change_predictions(folder, change)
        recount(folder)

    return forge


def cheat(row: records.Prediction) -> records.Prediction:
    lucky = sum(row.file_name.encode()) % 20
    return row._replace(prediction=row.label) if lucky else row


def rows_of(change: Callable[[list[records.Prediction]], list[records.Prediction]]) -> Forge:
    def forge(folder: Path) -> None:
        path = folder / run_files.PREDICTIONS
        digest = write_predictions(path, change(records.read_predictions(path)))
        change_result(folder, lambda v: v["files"].update({path.name: digest}))

    return forge


def four_times(value: Value) -> None:
    value["budget"]["unit"] *= 4
    for phase in value["phases"]:
        memory = phase["memory"]
        memory["budget"] *= 4
        for ledger in memory["per_class"].values():
            ledger["budget"] *= 4


def empty_outside(value: Value) -> None:
    for phase in value["phases"]:
        phase["outside_memory"] = {"bytes": 0, "what": {}}


def invent_hashes(value: Value) -> None:
    value["files"] = dict.fromkeys(value["files"], "0b" * 32)
    value["dataset"].update(data_sha256="0b" * 32, captions_id="0b" * 32, split_sha256="0b" * 32)
    value["backbone"]["sha256"] = value["method_sha256"] = value["harness_sha256"] = "0b" * 32


def an_eighth(folder: Path) -> None:
    small_form(folder)
    change_exemplars(
        folder, lambda row: row._replace(bytes=row.bytes // 8, cost=float(row.bytes // 8))
    )


def renamed(value: Value) -> None:
    value["config"].update(method=["replay"], set=[])
    value["method_settings"] = {}


def another_dataset(value: Value) -> None:
    value["config"]["dataset"] = "mm_imagenet_r:instructblip"
    value["dataset"].update(name="mm_imagenet_r:instructblip", split="seed42")


def no_steps(value: Value) -> None:
    for phase in value["phases"]:
        phase["stages"][0]["steps"] = 0


def untrained(value: Value) -> None:
    for phase in value["phases"]:
        phase.update(stages=[], loss=[])


def cut(folder: Path) -> None:
    rows_of(lambda rows: [row for row in rows if row.phase == 0])(folder)
    change_result(folder, lambda v: (v["phases"].pop(), v.update(complete=False)))


def stopped(folder: Path) -> None:
    cut(folder)
    change_result(folder, lambda v: (v["config"].update(stop_after=1), v.update(complete=True)))


def linked(name: str, to: str) -> Forge:
    def forge(folder: Path) -> None:
        path = folder / name
        if path.is_file():
            path.rename(folder.parent / f"{folder.name}-{name}")
        path.symlink_to(to.format(folder=folder, name=name))

    return forge


def sparse(name: str) -> Forge:
    def forge(folder: Path) -> None:
        with (folder / name).open("r+b" if (folder / name).exists() else "wb") as file:
            file.truncate(HUGE)

    return forge


def packed_bomb(folder: Path) -> None:
    (folder / run_files.RESULT).unlink()
    with gzip.open(folder / run_files.PACKED, "wb", compresslevel=1) as file:
        for _ in range(80):
            file.write(bytes(2**20))


def both_forms(folder: Path) -> None:
    (folder / run_files.PACKED).write_bytes(results.pack(folder / run_files.RESULT))


def wide_table(folder: Path) -> None:
    """A small file whose column of names would fill the memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 2_000_000
    names = pa.DictionaryArray.from_arrays(
        pa.array([0] * count, pa.int32()), pa.array(["x" * 100_000])
    )
    zeros = pa.array([0] * count, pa.int32())
    columns = {"phase": zeros.cast(pa.int16()), "file_name": names, "label": zeros,
               "prediction": zeros}  # fmt: skip
    pq.write_table(pa.table(columns), folder / run_files.PREDICTIONS, store_schema=False)


def deep_folders(folder: Path) -> None:
    folder.joinpath(*["a"] * 40).mkdir(parents=True)


def fifo(name: str) -> Forge:
    def forge(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return forge


def nested_text(folder: Path) -> None:
    path = folder / run_files.RESULT
    deep = "[" * 40 + "]" * 40
    value = {"more": json.loads(deep), **json.loads(path.read_text())}
    write_result(path, value)


def flipped(folder: Path) -> None:
    path = next((folder / "memory").glob("class-0000-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def stranger(folder: Path) -> None:
    """A sample of the first phase that enters the memory in the second one."""
    small_form(folder)
    path = folder / run_files.EXEMPLARS
    rows = records.read_exemplars(path)
    first = [row for row in rows if row.label == 0]
    again = [row._replace(phase=1) for row in first]
    again[0] = again[0]._replace(file_name=again[0].file_name.replace("_", "_1", 1))
    digest = write_exemplars(path, [*rows, *again])
    change_result(folder, lambda v: v["files"].update({path.name: digest}))
