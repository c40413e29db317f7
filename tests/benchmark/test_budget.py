"""How much may be kept, and what of a ranking fits."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.budget import Budget, fill, make_budget
from benchmark.exemplar import Exemplar
from mm_imagenet_r.errors import UserError

SETTING = {"num_classes": 40, "mean_sample_bytes": 3412.5}


@pytest.mark.parametrize(
    ("memory", "currency", "growth", "room_early", "room_late"),
    [
        ("5", "bytes", "per-class", 17062.5, 17062.5),
        ("5", "bytes", "total", 170625.0, 17062.5),
        ("5", "samples", "per-class", 5.0, 5.0),
        ("0.5", "samples", "total", 5.0, 0.5),
        (".5", "samples", "per-class", 0.5, 0.5),
        ("2MB", "bytes", "total", 500_000.0, 50_000.0),
        ("2MB", "bytes", "per-class", 50_000.0, 50_000.0),
        ("500 kb", "bytes", "total", 125_000.0, 12_500.0),
        ("1GiB", "bytes", "total", 2**28, 2**30 / 40),
        ("0", "bytes", "total", 0.0, 0.0),
    ],
)
def test_what_a_class_may_cost(
    memory: str, currency: str, growth: str, room_early: float, room_late: float
) -> None:
    budget = make_budget(memory, currency=currency, growth=growth, **SETTING)
    assert budget.allowance(0, phase=0, seen=4) == pytest.approx(room_early)
    assert budget.allowance(3, phase=9, seen=40) == pytest.approx(room_late)


@pytest.mark.parametrize("memory", ["5x", "-1", "", "nan", "1e3", "MB", "5 5", "1,5", "0x10"])
def test_a_senseless_amount_says_what_to_write(memory: str) -> None:
    with pytest.raises(
        UserError, match=r"write a number of untouched samples per class \(5, 0.5\)"
    ):
        make_budget(memory, currency="bytes", growth="total", **SETTING)


def test_a_size_in_bytes_is_no_number_of_samples() -> None:
    with pytest.raises(UserError, match=r"20MB is a size in bytes.*or --currency bytes"):
        make_budget("20MB", currency="samples", growth="total", **SETTING)


def test_each_currency_charges_something_else() -> None:
    exemplar = Exemplar(3, bytes(100), b"text", pixel_fraction=0.25)
    prices = {c: Budget(1, c, "total", 1).cost(exemplar) for c in ("bytes", "samples", "exemplars")}
    assert prices["bytes"] == exemplar.nbytes == 4 + 3 + 104
    assert prices["samples"] == pytest.approx(0.25, abs=1 / 65535)
    assert prices["exemplars"] == 1


def test_counts_are_those_of_the_phase() -> None:
    budget = Budget(0, "exemplars", "total", 1, counts=({0: 7}, {0: 4, 1: 5}))
    assert [budget.allowance(0, 0, 1), budget.allowance(0, 1, 2), budget.allowance(1, 1, 2)] == [
        7,
        4,
        5,
    ]
    assert budget.allowance(1, 0, 2) == 0


costs = st.one_of(
    st.lists(st.integers(0, 5000), max_size=60),
    st.lists(st.integers(1, 65535).map(lambda n: n / 65535), max_size=60),
)


@given(costs, st.floats(0, 20000))
def test_fill_takes_in_order_what_fits_and_never_more(prices: list[float], room: float) -> None:
    taken = fill(enumerate(prices), lambda item: item[1], room)
    assert math.fsum(price for _, price in taken) <= room
    places = [place for place, _ in taken]
    assert places == sorted(set(places))
    # Whatever was passed over would have burst the budget when it was looked at.
    for place, price in enumerate(prices):
        if place in places or len([p for p in range(place) if p not in places]) >= 16:
            continue
        before = math.fsum(prices[p] for p in places if p < place)
        assert math.fsum((before, price)) > room


@given(st.integers(1, 300))
def test_equal_shares_fill_a_sample_to_the_last(parts: int) -> None:
    """Sums of shares like a tenth are exact: no exemplar is lost to rounding, none sneaks in."""
    pixels = Exemplar(0, b"", b"", pixel_fraction=1 / parts).pixel_fraction
    taken = fill([pixels] * (parts + 2), float, room=1.0)
    assert len(taken) == int(1 / Fraction(round(pixels * 65535), 65535))


def test_fill_gives_up_after_sixteen_misses_in_a_row() -> None:
    asked: list[int] = []

    def cost(number: int) -> float:
        asked.append(number)
        return 9 if number else 1

    assert fill(range(100), cost, room=2) == [0]
    assert asked == list(range(17))
    assert len(fill([1, *[9] * 15, 1, *[9] * 15, 1, 1], float, room=3)) == 3
