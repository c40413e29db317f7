"""The records of a run's folder beside those of finished phases, and how a record is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from benchmark import run_files
from benchmark.errors import damaged
from benchmark.results.schema import BackboneInfo, OutsideMemory, StageResult, StateInfo
from benchmark.results.shape import mismatches
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.reading import parse_json


class Facts(TypedDict):
    """What a run was started with; see `Plan.facts`."""

    device: NotRequired[str]
    config: NotRequired[dict[str, Any]]
    data: NotRequired[str]
    split: NotRequired[str]
    method: NotRequired[str]
    harness: NotRequired[str]
    counts: NotRequired[str]
    backbone: NotRequired[BackboneInfo]


class Learnt(TypedDict):
    """What learning a phase left, besides tensors and exemplars; it is not tested yet."""

    stages: list[StageResult]  # the trainings
    loss: list[list[float]]  # points of their loss curves
    seconds: dict[str, float]  # by activity
    resumed: int  # how often the phase was interrupted
    ledger: dict[str, Any]  # what the memory holds, of `MemoryStore.ledger`
    memory: dict[str, Any]  # which files hold it
    stored: list[dict[str, Any]]  # one row for each exemplar that was selected
    outside_memory: OutsideMemory  # what is carried on beside it
    trainable_parameters: int  # their number
    gallery: list[dict[str, Any]]  # pictures for the report
    state: StateInfo  # hash and length of the file of the method's tensors
    hardware: dict[str, Any]  # what it was learned on


def read_record(path: Path, place: str, kind: Any) -> tuple[Any, bool]:
    """A record and whether it is sealed; older versions sealed none, and its shape is looked at.

    Raises:
        UserError: It is missing, or not as it was written.
    """
    data = run_files.read(path)
    try:
        if run_files.is_sealed(data):
            return run_files.unseal(data, place), True
        record = parse_json(data)
        found = list(mismatches(record, kind))
    except ValueError as error:
        raise UserError(damaged(path)) from error
    if found:
        raise UserError(damaged(path, f"was changed after it was written ({found[0]})"))
    return record, False


def labels(found: Any) -> npt.NDArray[np.int32]:
    """Predictions as a record holds them; TypeError or OverflowError if it does not."""
    if not isinstance(found, list) or not all(type(label) is int for label in found):
        raise TypeError("not a list of labels")
    return np.array(found, dtype=np.int32)
