"""Exemplars as bytes, and a memory that lies on disk and never holds more than it may."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.budget import Budget
from benchmark.errors import ContractError
from benchmark.exemplar import Exemplar, RawSize, StoredExemplar, read_records
from benchmark.memory import Memory
from benchmark.memory_store import BudgetError, MemoryStore
from mm_imagenet_r.errors import UserError

exemplars = st.builds(
    Exemplar,
    label=st.integers(0, 65535),
    image=st.binary(max_size=400),
    text=st.binary(max_size=300),
    extra=st.binary(max_size=5),
    pixel_fraction=st.floats(0, 1, exclude_min=True),
)


def kept(label: int, sizes: Sequence[int], pixels: float = 1.0) -> list[StoredExemplar]:
    """Exemplars whose images have these sizes."""
    return [
        StoredExemplar(
            Exemplar(label, bytes([n % 256]) * size, b"", pixel_fraction=pixels), f"{label}/{n}.jpg"
        )
        for n, size in enumerate(sizes)
    ]


def bytes_budget(amount: float, growth: str = "per-class") -> Budget:
    return Budget(amount, "bytes", growth, 1.0)


@given(st.lists(exemplars, max_size=6))
def test_records_survive_writing_and_are_as_long_as_charged(records: list[Exemplar]) -> None:
    data = b"".join(record.to_bytes() for record in records)
    assert read_records(data) == records
    assert len(data) == sum(record.nbytes for record in records)


@given(exemplars, st.data())
def test_a_cut_record_is_noticed(record: Exemplar, data: st.DataObject) -> None:
    whole = record.to_bytes()
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(ValueError, match="cut off"):
        read_records(whole[:cut])


@given(st.floats(0, 1, exclude_min=True))
def test_the_share_of_pixels_is_never_understated(pixels: float) -> None:
    stored = Exemplar(0, b"", b"", pixel_fraction=pixels).pixel_fraction
    assert stored > 0
    assert pixels - 1e-10 <= stored <= pixels + 1 / 65535 + 1e-10
    assert Exemplar(0, b"", b"", pixel_fraction=stored).pixel_fraction == stored


@pytest.mark.parametrize(("label", "pixels"), [(-1, 1.0), (65536, 1.0), (0, 0.0), (0, 1.01)])
def test_impossible_exemplars_are_refused(label: int, pixels: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Exemplar(label, b"", b"", pixel_fraction=pixels)


phases_strategy = st.lists(  # of each phase: sizes of the images of each of its classes
    st.lists(st.lists(st.integers(0, 120), max_size=25), min_size=1, max_size=3),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(
    phases_strategy,
    st.sampled_from(["bytes", "samples", "exemplars"]),
    st.sampled_from(["per-class", "total"]),
    st.floats(0, 400),
    st.floats(0.01, 1),
    st.data(),
)
def test_the_budget_is_kept_and_the_ledger_is_the_files(
    phases: list[list[list[int]]],
    currency: str,
    growth: str,
    amount: float,
    pixels: float,
    data: st.DataObject,
) -> None:
    """Over all phases, with rewriting of old classes and a fresh start from disk before each."""
    if currency == "samples":
        amount /= 40
    total = sum(map(len, phases))
    counts = tuple(
        dict.fromkeys(range(total), data.draw(st.integers(0, 9))) for _ in range(len(phases))
    )
    budget = Budget(amount, currency, growth, 1.0, 1.0, counts if currency == "exemplars" else ())
    with TemporaryDirectory() as name:
        folder, manifest, seen = Path(name) / "memory", {}, 0
        for phase, classes in enumerate(phases):
            memory = MemoryStore(folder, budget, manifest)
            before = {label: memory.of_class(label) for label in range(seen)}
            seen += len(classes)
            memory.open_phase(phase, seen)
            for label, old in before.items():
                assert memory.of_class(label) == old[: len(memory.of_class(label))]
            for label, sizes in enumerate(classes, seen - len(classes)):
                memory.keep(label, kept(label, sizes, pixels))
            if data.draw(st.booleans()):
                again = data.draw(st.integers(0, seen - 1))
                memory.keep(again, reversed(memory.of_class(again)))
            ledger, manifest = memory.ledger(), memory.manifest()
            files = {key: folder / entry["file"] for key, entry in manifest.items()}
            for key, entry in ledger["per_class"].items():
                assert entry["bytes"] == files[key].stat().st_size == manifest[key]["bytes"]
                assert entry["cost"] <= entry["budget"] == budget.allowance(int(key), phase, seen)
                costs = [budget.cost(one) for one in read_records(files[key].read_bytes())]
                assert math.fsum(costs) == entry["cost"]
            assert ledger["bytes"] == sum(path.stat().st_size for path in files.values())
            assert ledger["cost"] <= ledger["budget"] * (1 + 1e-12)
            if currency != "exemplars":
                whole = amount * (1 if growth == "total" else seen)
                assert ledger["budget"] == pytest.approx(whole)
            assert MemoryStore(folder, budget, manifest).exemplars() == memory.exemplars()


def test_a_shrinking_memory_keeps_its_first_exemplars(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(400, "total"))
    memory.open_phase(0, 1)
    first = memory.keep(0, kept(0, [60, 10, 90, 20, 5, 5]))
    assert len(first) == 6
    memory.open_phase(1, 4)  # 100 bytes a class
    assert memory.of_class(0) == first[:2]
    memory.open_phase(2, 400)
    assert memory.of_class(0) == []
    assert memory.ledger()["per_class"]["0"] == {
        "exemplars": 0, "bytes": 0, "cost": 0, "budget": 1,
    }  # fmt: skip


def test_training_sees_the_memory_before_it_shrinks(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(400, "total"))
    memory.open_phase(0, 1)
    memory.keep(0, kept(0, [100, 100, 100]))
    again = MemoryStore(tmp_path, memory.budget, memory.manifest())
    assert len(again.exemplars()) == 3
    again.open_phase(1, 2)
    assert len(again.exemplars()) == 1


def test_a_budget_below_one_exemplar_keeps_nothing(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(50))
    memory.open_phase(0, 2)
    assert memory.keep(0, kept(0, [60, 70])) == []
    assert [one.exemplar.image for one in memory.keep(1, kept(1, [60, 3]))] == [b"\1" * 3]
    assert memory.ledger()["exemplars"] == 1


def test_only_what_was_chosen_in_a_phase_is_reported_for_it(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(1000))
    memory.open_phase(0, 2)
    memory.keep(0, kept(0, [5, 6]))
    memory.keep(1, kept(1, [7]))
    assert [(row["label"], row["rank"], row["file_name"]) for row in memory.selected()] == [
        (0, 0, "0/0.jpg"), (0, 1, "0/1.jpg"), (1, 0, "1/0.jpg"),
    ]  # fmt: skip
    memory.open_phase(1, 3)
    memory.keep(2, [])
    memory.keep(1, kept(1, [8, 9]))
    assert [row["bytes"] for row in memory.selected()] == [7 + 8, 7 + 9]


def test_classes_not_seen_and_foreign_exemplars_are_refused(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(1000))
    with pytest.raises(ContractError, match="nothing can be kept here"):
        memory.keep(0, kept(0, [5]))
    memory.open_phase(0, 2, may_keep=False)
    with pytest.raises(ContractError, match="whose `kind` is 'replay'"):
        memory.keep(0, kept(0, [5]))
    memory.open_phase(0, 2)
    for label in (2, -1):
        with pytest.raises(ContractError, match="not among the 2 seen"):
            memory.keep(label, [])
    with pytest.raises(ContractError, match="of class 0 was handed in for 1"):
        memory.keep(1, kept(0, [5]))
    assert memory.allowance(2) == 0


SMALL = RawSize(pixels=100, file=250, caption=8)


def test_what_is_not_charged_cannot_carry_anything(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(1000))
    memory.open_phase(0, 1, {"0/0.jpg": SMALL, "0/1.jpg": SMALL})
    (first, second) = kept(0, [5, 6])
    assert len(memory.keep(0, [first, second])) == 2
    with pytest.raises(ContractError, match="'notes' is not a sample of this phase"):
        memory.keep(0, [dataclasses.replace(first, file_name="notes")])
    with pytest.raises(ContractError, match="codec 'tale' is not one of avif"):
        memory.keep(0, [dataclasses.replace(first, codec="tale")])
    memory.open_phase(1, 2, {"1/0.jpg": SMALL})
    assert memory.keep(0, [second.exemplar]) == [second]  # what is kept already may stay
    with pytest.raises(ContractError, match=r"'0/0\.jpg' is not a sample"):
        memory.keep(0, [first])
    with pytest.raises(ContractError, match="is not one kept of it"):
        memory.keep(0, [first.exemplar])


@pytest.mark.parametrize("currency", ["samples", "exemplars"])
def test_payloads_are_no_longer_than_what_is_charged_where_bytes_are_not(
    tmp_path: Path, currency: str
) -> None:
    budget = Budget(50, currency, "per-class", 1.0, 4000.0, counts=({0: 9},))
    memory = MemoryStore(tmp_path, budget)
    memory.open_phase(0, 1, {"a": RawSize(pixels=1000, file=900, caption=10)})

    def keep(fraction: float = 1.0, **payload: int) -> int:
        parts = {"image": b"", "text": b""} | {k: bytes(n) for k, n in payload.items()}
        one = Exemplar(0, **parts, pixel_fraction=fraction)  # type: ignore[arg-type]
        return len(memory.keep(0, [StoredExemplar(one, "a", "raw")]))

    assert keep(image=3000) == keep(0.5, image=1500) == keep(text=30, extra=800) == 1
    with pytest.raises(ContractError, match="the image kept of a is 1800 bytes long"):
        keep(0.5, image=1800)
    with pytest.raises(ContractError, match="the image kept of a"):
        keep(1e-9, image=8_300_000)
    with pytest.raises(ContractError, match="the text kept of a"):
        keep(text=1000)
    with pytest.raises(ContractError, match="the extra kept of a"):
        keep(extra=8_300_000)


def test_extra_payload_is_charged_where_samples_are_counted(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, Budget(1, "samples", "per-class", 1.0, 4000.0))
    memory.open_phase(0, 1)
    half = [
        StoredExemplar(Exemplar(0, b"", b"", bytes(1000), pixel_fraction=0.25), str(n))
        for n in range(4)
    ]
    assert len(memory.keep(0, half)) == 1  # a quarter of the pixels, a quarter of the bytes
    assert memory.ledger()["cost"] == pytest.approx(0.5, abs=1e-4)


def test_an_old_exemplar_may_be_encoded_again_as_what_its_pixels_can_be(tmp_path: Path) -> None:
    budget = Budget(2, "samples", "per-class", 1.0, 4000.0)
    memory = MemoryStore(tmp_path, budget)
    memory.open_phase(0, 1, {"0/0.jpg": RawSize(pixels=1000, file=900, caption=10)})
    memory.keep(0, kept(0, [50]))
    memory = MemoryStore(tmp_path, budget, memory.manifest())
    memory.open_phase(1, 2, {})
    (old,) = (one.exemplar for one in memory.of_class(0))
    shorter, longer = Exemplar(0, bytes(40), b""), Exemplar(0, bytes(60), b"")
    claimed = Exemplar(0, bytes(400), b"", pixel_fraction=1e-9)
    (now,) = memory.keep(0, [StoredExemplar(shorter, codec="webp", old=old)])
    assert (now.file_name, now.codec) == ("0/0.jpg", "webp")
    assert len(memory.keep(0, [StoredExemplar(longer, old=shorter)])) == 1
    with pytest.raises(ContractError, match=r"the image kept of 0/0\.jpg is 400 bytes long"):
        memory.keep(0, [StoredExemplar(claimed, old=longer)])
    with pytest.raises(ContractError, match="not one that is kept"):
        memory.keep(0, [StoredExemplar(shorter, old=old)])


def test_classes_that_share_give_up_what_a_smaller_total_does_not_hold(tmp_path: Path) -> None:
    counts: tuple[dict[int, int], ...] = ({0: 4, 1: 4}, {0: 2, 1: 1})
    memory = MemoryStore(tmp_path, Budget(0, "exemplars", "total", 1.0, counts=counts), shared=True)
    memory.open_phase(0, 2)
    memory.keep(0, kept(0, [5] * 6))
    memory.keep(1, kept(1, [5] * 2))
    memory.open_phase(1, 2)
    assert [len(memory.of_class(label)) for label in (0, 1)] == [2, 1]
    assert memory.ledger()["cost"] == 3


@pytest.mark.parametrize("growth", ["per-class", "total"])
def test_classes_that_share_their_allowance_are_bound_by_the_total_alone(
    tmp_path: Path, growth: str
) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(200, growth), shared=True)
    memory.open_phase(0, 2)
    total = 400 if growth == "per-class" else 200
    memory.keep(0, kept(0, [90]))  # 97 with its framing
    assert memory.allowance(1) == total - 97
    memory.keep(1, kept(1, [30] * 20))
    assert memory.allowance(0) == total - memory.ledger()["per_class"]["1"]["cost"]
    ledger = memory.ledger()
    assert ledger["cost"] <= ledger["budget"] == total
    assert all(entry["budget"] is None for entry in ledger["per_class"].values())
    again = MemoryStore(tmp_path, memory.budget, memory.manifest(), shared=True)
    again.open_phase(1, 3)  # nothing is cut where the total still holds it
    assert again.exemplars() == memory.exemplars()


def test_a_method_has_no_door_to_the_budget_or_the_names(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path, bytes_budget(100))
    memory = Memory(store)
    store.open_phase(0, 1)
    assert memory.keep(0, kept(0, [50])) == 1
    assert memory.of_class(0) == memory.exemplars() == [kept(0, [50])[0].exemplar]
    with pytest.raises(ContractError, match="cannot set 'budget'"):
        memory.budget = None  # type: ignore[attr-defined]
    for name in ("budget", "manifest", "folder", "_store"):
        assert not hasattr(memory, name)
    assert (memory.currency, memory.allowance(0)) == ("bytes", 100)
    assert memory.cost(memory.exemplars()[0]) == 57


def test_a_class_that_costs_too_much_or_a_changed_file_is_noticed(tmp_path: Path) -> None:
    memory = MemoryStore(tmp_path, bytes_budget(100))
    memory.open_phase(0, 1)
    memory.keep(0, kept(0, [50]))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(RuntimeError, match="not as long"):
        memory.ledger()
    memory.budget = bytes_budget(20)
    with pytest.raises(BudgetError, match="costs 57"):
        memory.ledger()


def test_files_are_checked_when_they_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    memory = MemoryStore(folder, bytes_budget(100))
    memory.open_phase(0, 1)
    memory.keep(0, kept(0, [50]))
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"was changed after it was written.*--overwrite"):
        MemoryStore(folder, memory.budget, memory.manifest())
    path.unlink()
    with pytest.raises(UserError, match=r"is missing.*--overwrite"):
        MemoryStore(folder, memory.budget, memory.manifest())


def test_one_that_does_not_write_knows_the_same(tmp_path: Path) -> None:
    writer = MemoryStore(tmp_path / "a", bytes_budget(100))
    reader = MemoryStore(tmp_path / "b", bytes_budget(100), writes=False)
    for memory in (writer, reader):
        memory.open_phase(0, 1)
        memory.keep(0, kept(0, [30, 30, 30]))
    assert reader.manifest() == writer.manifest()
    assert reader.ledger() == writer.ledger()
    assert not (tmp_path / "b").exists()
