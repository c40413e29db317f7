"""The shape of a result for other programs is that of the types here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmark import run_files
from benchmark.results.json_schema import FILE, json_schema
from benchmark.results.schema import Result, ResultFile
from benchmark.results.shape import mismatches


def test_what_is_shipped_is_made_from_the_types() -> None:
    shipped = json.loads(FILE.read_text())
    assert shipped == json_schema(), "run python -m benchmark.results.json_schema"
    jsonschema.Draft202012Validator.check_schema(shipped)


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        (lambda v: None, True),
        (lambda v: v.update(more=1), True),
        (lambda v: v["phases"][0].update(invariance=None), True),
        (lambda v: v.pop("budget"), False),
        (lambda v: v["budget"].update(unit="much"), False),
        (lambda v: v["phases"][0]["accuracy"].update(per_phase=["all"]), False),
        (lambda v: v["phases"][1]["memory"]["per_class"].update({"0": 3}), False),
        (lambda v: v["phases"][0].update(train=True), False),
        (lambda v: v.update(tuning={"recipe": "mine"}), False),
        (lambda v: v["class_order"].update(seed="1993"), False),
    ],
)
def test_both_accept_and_refuse_the_same(
    tmp_path: Path,
    synthetic_run: Callable[..., Result],
    change: Callable[[dict[str, Any]], object],
    valid: bool,
) -> None:
    synthetic_run(tmp_path, sizes=(3, 2), test=4)
    value = json.loads((tmp_path / run_files.RESULT).read_text())
    change(value)
    said = jsonschema.Draft202012Validator(json.loads(FILE.read_text()))
    shape: Any = ResultFile
    assert said.is_valid(value) == (not list(mismatches(value, shape, ""))) == valid
