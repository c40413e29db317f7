"""What every registered method must do: a new one is tested here by being in the registry."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from running import fail_in_phase

from benchmark import results
from benchmark.config import RunConfig
from benchmark.exemplar import read_records
from benchmark.find_method import find
from benchmark.method import Method, MethodContext, PhaseData
from benchmark.plan import Plan, make_plans
from benchmark.registry import REGISTRY
from benchmark.results.records import EXEMPLARS, PREDICTIONS, read_exemplars, read_predictions
from benchmark.results.verify import verify
from benchmark.run import run
from benchmark.run_folder import RunFolder

Configure = Callable[..., RunConfig]
#: Settings that save time where a method has them.
FAST = {"codec": "jpeg", "quality": "60"}

every_method = pytest.mark.parametrize("name", REGISTRY)


@pytest.fixture(scope="module")
def configure(
    tmp_path_factory: pytest.TempPathFactory, coloured: Path, vilt_folder: Path
) -> Configure:
    """A small configuration; one that has been run before in this module is not run again."""
    output = tmp_path_factory.mktemp("runs")

    def configuration(name: str, **changes: object) -> RunConfig:
        fields = {field.name for field in dataclasses.fields(find(name)[0].Settings)}
        config = RunConfig(
            method=(name,), dataset=str(coloured), backbone=str(vilt_folder), output=output,
            device="cpu", phases=3, epochs=1, batch_size=8, memory="1",
            set=tuple(f"{k}={v}" for k, v in FAST.items() if k in fields),
        )  # fmt: skip
        return dataclasses.replace(config, **changes)  # type: ignore[arg-type]

    return configuration


@every_method
@pytest.mark.parametrize(
    ("currency", "growth"), [(c, g) for c in ("bytes", "samples") for g in ("per-class", "total")]
)
def test_the_budget_is_kept_and_the_files_agree(
    configure: Configure, name: str, currency: str, growth: str
) -> None:
    (folder,) = run(configure(name, currency=currency, growth=growth))
    assert verify(folder) == []
    result, files = results.read(folder), RunFolder(folder)
    files.reload()
    for phase in result["phases"]:
        assert all(
            entry["budget"] is not None and entry["cost"] <= entry["budget"]
            for entry in phase["memory"]["per_class"].values()
        )
    ledger = result["phases"][-1]["memory"]
    sizes = {}
    for label, entry in files.done[-1]["memory"].items():
        path = folder / "memory" / entry["file"]
        sizes[label] = path.stat().st_size
        records = read_records(path.read_bytes())
        cost = sum(1.0 if currency == "bytes" else record.pixel_fraction for record in records)
        if currency == "samples":
            assert ledger["per_class"][label]["cost"] == pytest.approx(cost)
    assert sizes == {label: entry["bytes"] for label, entry in ledger["per_class"].items()}
    assert sum(sizes.values()) == ledger["bytes"]
    assert {p.name for p in (folder / "memory").glob("*")} == {
        entry["file"] for entry in files.done[-1]["memory"].values()
    }
    train = {s.file_name: s.label for s in make_plans(configure(name))[0].data.train}
    for row in read_exemplars(folder / EXEMPLARS):
        assert train[row.file_name] == row.label  # never a test sample
    if growth == "total" and ledger["exemplars"]:
        whole = result["budget"]["amount"] or math.nan
        assert ledger["cost"] <= whole * (result["budget"]["unit"] or math.nan)


@every_method
def test_a_run_that_was_stopped_gives_the_same(
    configure: Configure, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (undisturbed,) = run(configure(name))
    config = configure(name, output=tmp_path, checkpoint_seconds=0)
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(config)
    assert (config.folder() / "state" / "phase-02.partial.pt").exists()
    (folder,) = run(config)
    for file in (PREDICTIONS, EXEMPLARS):
        assert (folder / file).read_bytes() == (undisturbed / file).read_bytes()


def taken_up(config: RunConfig) -> tuple[Plan, Method]:
    """A fresh object of a finished run's method, amid its last phase."""
    (path,) = run(config)
    (plan,) = make_plans(config)
    folder = RunFolder(path)
    folder.reload()
    context = MethodContext(
        num_classes=plan.data.num_classes, backbone=config.backbone, tuning=config.tuning,
        max_text_length=None, batch_size=5, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    method = plan.method(context, plan.settings)
    new = plan.classes(len(plan.sizes) - 1)
    train = plan.data.train if method.sees_all_data else plan.data.train.of_classes(new)
    phase = PhaseData(len(plan.sizes) - 1, new, new.stop, train)
    method.begin_phase(phase, folder.memory(plan.budget))
    method.load_state(folder.tensors())
    method.model.eval()
    return plan, method


@every_method
def test_state_is_all_there_is_and_batch_mates_do_not_matter(
    configure: Configure, name: str
) -> None:
    """What was saved predicts what the run predicted, one by one or many at once."""
    config = configure(name)
    plan, method = taken_up(config)
    samples = list(plan.data.test)
    generator = torch.get_rng_state()
    with torch.no_grad():
        together = method.predict(method.collate(samples, None))
        reverse = method.predict(method.collate(samples[::-1], None)).flip(0)
        alone = torch.cat([method.predict(method.collate([one], None)) for one in samples])
    assert torch.equal(torch.get_rng_state(), generator)
    assert together.shape[1] >= plan.data.num_classes
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, reverse, atol=1e-5, rtol=1e-5)
    last = [row for row in read_predictions(config.folder() / PREDICTIONS) if row.phase == 2]
    assert [row.file_name for row in last] == [sample.file_name for sample in samples]
    assert together.argmax(1).tolist() == alone.argmax(1).tolist() == [r.prediction for r in last]
    state = method.state()
    method.load_state({k: torch.zeros_like(v) for k, v in state.items()})
    method.load_state(state)
    assert all(torch.equal(tensor, state[k]) for k, tensor in method.state().items())


@every_method
def test_an_empty_memory_and_a_single_phase(configure: Configure, name: str) -> None:
    (folder,) = run(configure(name, memory="0", phases=2))
    assert verify(folder) == []
    assert results.read(folder)["phases"][-1]["memory"]["bytes"] == 0
    (folder,) = run(configure(name, phases=1))
    assert verify(folder) == []


@every_method
def test_what_is_carried_on_beside_the_memory_is_counted(configure: Configure, name: str) -> None:
    (folder,) = run(configure(name))
    result = results.read(folder)
    files = RunFolder(folder)
    files.reload()
    outside = result["outside_memory"]
    assert (
        outside["bytes"]
        == sum(outside["what"].values())
        == sum(tensor.numel() * tensor.element_size() for tensor in files.tensors().values())
    )
    assert result["sees_all_data"] is find(name)[0].sees_all_data
    assert len(result["backbone"]["sha256"]) == 64
