"""Results outlive names and layout: the table of code that gives identical results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark import results
from benchmark.load_method import load_method
from benchmark.registry import REGISTRY
from benchmark.same_code import HARNESS, known, oldest, same_code
from benchmark.source_hash import harness_sha256, method_sha256

RESULTS = Path(__file__).resolve().parents[2] / "results"
HOW = "run python -m studies.same_code: it shows that the digits are the same, or which differ"


def test_a_hash_stands_in_one_group_and_is_a_hash() -> None:
    hashes = [sha256 for group in known().values() for sha256 in group]
    assert len(set(hashes)) == len(hashes)
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)
    assert set(known()) == {HARNESS, *REGISTRY}


@pytest.mark.parametrize("name", REGISTRY)
def test_published_results_are_those_of_the_code_that_is_here(name: str) -> None:
    now = method_sha256(load_method(name)[0])
    assert now in known()[name], f"the code of {name} changed: {HOW}"
    folders = [*RESULTS.glob(f"*/{name}/seed*"), *RESULTS.glob(f"*/{name}@*/seed*")]
    assert folders
    for result in map(results.read, folders):
        assert same_code(result["method_sha256"], now), f"{result['method']}: {HOW}"
        assert same_code(result["harness_sha256"], harness_sha256()), f"the harness: {HOW}"


def test_other_code_is_not_the_same() -> None:
    one, other = known()["er"][0], known()["er_ace"][0]
    assert not same_code(one, other)
    assert oldest("0" * 64) == "0" * 64
