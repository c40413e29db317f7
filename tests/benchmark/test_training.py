"""Training: which samples in which step, going on amid a phase, several processes, randomness."""

from __future__ import annotations

import dataclasses
import io
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from benchmark import run_files
from benchmark.budget import Budget
from benchmark.checkpoint import Checkpoint
from benchmark.config import RunConfig
from benchmark.data import Sample, Samples, open_data
from benchmark.devices import find_place, join
from benchmark.errors import ContractError
from benchmark.evaluation import evaluate
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.load_method import load_method
from benchmark.memory import Memory
from benchmark.memory_store import MemoryStore
from benchmark.method import (
    Method,
    MethodContext,
    NoSettings,
    PhaseData,
    Stage,
    learning_rate_factor,
)
from benchmark.recipe import Recipe
from benchmark.training import StageSteps, reduce_gradients, train_phase
from mm_imagenet_r.errors import UserError

CONFIG = RunConfig(device="cpu", batch_size=8, micro_batches=4, checkpoint_seconds=0)


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.fixture
def accelerator() -> Accelerator:
    return join(CONFIG, find_place(CONFIG), "test")


@pytest.fixture(scope="module")
def samples(coloured: Path) -> Samples:
    return open_data(str(coloured)).train


@pytest.fixture
def phase(samples: Samples) -> PhaseData:
    """Fifteen steps of eight: more than three passes over the samples."""
    return PhaseData(1, range(6), 6, samples, 15)


@pytest.fixture
def make_method(mean_colour: Path) -> Callable[[], Method]:
    """A method that draws from all global generators, wherever it may."""
    base: Any = load_method(f"{mean_colour}:MeanColour")[0]

    class Careless(base):  # type: ignore[misc]
        def collate(self, items: Sequence[Sample | Exemplar], rng: Any = None) -> Any:
            colours, labels = super().collate(items, rng)
            if rng is not None:
                colours = colours + random.random() * 0.1 + float(np.random.rand()) * 0.1
                colours = colours + torch.rand(3) * 0.1 + float(rng.random()) * 0.1
            return colours, labels

        def loss(self, batch: Any) -> torch.Tensor:
            colours, labels = batch
            colours = torch.nn.functional.dropout(colours, 0.3) * (1 + 0.1 * random.random())
            loss: torch.Tensor = super().loss((colours, labels))
            return loss

        def predict(self, batch: Any) -> torch.Tensor:
            scores: torch.Tensor = super().predict(batch)
            return scores + 1e-9 * torch.rand(()) + 1e-9 * random.random()

    def make() -> Method:
        context = MethodContext(6, (2, 2, 2), "", "ssf", None, 4, 0, torch.device("cpu"))
        torch.manual_seed(5)
        return Careless(context, NoSettings())

    return make


RECIPE = Recipe(tuning="ssf", learning_rate=1e-2, weight_decay=0.01)


def no_memory(tmp_path: Path, exemplars: Sequence[Exemplar] = ()) -> Memory:
    """A memory that holds these."""
    store = MemoryStore(tmp_path / "memory", Budget(1e9, "bytes", "per-class", 1.0))
    store.open_phase(0, 6)
    for label in {one.label for one in exemplars}:
        own = [one for one in exemplars if one.label == label]
        store.keep(label, [StoredExemplar(one, f"{n}") for n, one in enumerate(own)])
    return Memory(store)


def train(
    method: Method, phase: PhaseData, accelerator: Accelerator, checkpoint: Path, **options: Any
) -> list[float]:
    """Losses; `stop_after` steps it breaks off."""
    stop_after, losses = options.pop("stop_after", None), []

    def report(stage: str, step: int, steps: int, loss: float) -> None:
        losses.append(loss)
        if len(losses) == stop_after:
            raise StoppedError

    exemplars = [Exemplar(s.label, s.image, b"") for s in phase.train[: options.pop("kept", 2)]]
    config = RunConfig(**{**vars(CONFIG), **options})
    memory = no_memory(checkpoint.parent, exemplars)
    training = train_phase(
        method, phase, memory, RECIPE, config, accelerator, Checkpoint(checkpoint, "", method),
        report,
    )  # fmt: skip
    assert training.steps == phase.steps
    return losses


def unsealed(path: Path) -> dict[str, Any]:
    data = run_files.unseal_bytes(path.read_bytes(), "")
    found: dict[str, Any] = torch.load(io.BytesIO(data))
    return found


def seal(path: Path, saved: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    path.write_bytes(run_files.seal_bytes(buffer.getvalue(), ""))


def batches(
    make_method: Callable[[], Method], items: Sequence[Any], stage: Stage, steps: int
) -> list[list[list[str]]]:
    """The names in each micro-batch of each step of a stage; an exemplar's begins with `old`."""
    method = make_method()
    method.collate = lambda items, rng: [  # type: ignore[method-assign]
        item.file_name if isinstance(item, Sample) else item.image.decode() for item in items
    ]
    one: Any = SimpleNamespace(process_index=0, num_processes=1)
    found = StageSteps(method, (1, 0), items, stage.replay_share, steps, CONFIG, one)
    parts = [found[step] for step in range(len(found))]
    for of_step in parts:
        assert [part.share for part in of_step] == [len(part.batch) / 8 for part in of_step]
    return [[part.batch for part in of_step] for of_step in parts]


def old(count: int) -> list[Exemplar]:
    return [Exemplar(0, f"old {number:02}".encode(), b"") for number in range(count)]


def passes(names: Sequence[str], count: int) -> list[list[str]]:
    """A stream of names in pieces of so many; a last one that is shorter is left out."""
    whole = range(0, len(names) - count + 1, count)
    return [list(names[start : start + count]) for start in whole]


def test_batches_are_full_and_each_pass_has_every_item_once_in_an_order_of_its_own(
    phase: PhaseData, make_method: Callable[[], Method]
) -> None:
    items = [*phase.train, *old(2)]
    everything = sorted([*phase.train.file_names, "old 00", "old 01"])
    steps = batches(make_method, items, Stage(), 15)
    assert [[len(part) for part in parts] for parts in steps] == [[2, 2, 2, 2]] * 15
    assert len(items) % 8, "a pass ends amid a batch"
    found = passes([name for parts in steps for part in parts for name in part], len(items))
    assert len(found) == 3
    assert all(sorted(one) == everything for one in found)
    assert all(one != other for one, other in itertools.combinations(found, 2))


@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.25, 2), (2 / 3, 5), (0.0, 0), (1.0, 8)])
def test_a_share_of_each_batch_is_drawn_from_the_exemplars(
    phase: PhaseData, make_method: Callable[[], Method], share: float, count: int
) -> None:
    """Whatever their number; and each micro-batch has as much of the mix as can be."""
    for kept in (3, 30):
        items = [*phase.train, *old(kept)]
        steps = batches(make_method, items, Stage(replay_share=share), 40)
        streams: dict[bool, list[str]] = {True: [], False: []}
        for parts in steps:
            replayed = [[name.startswith("old") for name in part] for part in parts]
            assert sum(map(sum, replayed)) == count
            assert sum(map(len, parts)) == 8
            for own in (True, False):
                counts = [one.count(own) for one in replayed]
                assert max(counts) - min(counts) <= 1
            for part in parts:
                for name in part:
                    streams[name.startswith("old")].append(name)
        for own, names in (
            (True, [f"old {number:02}" for number in range(kept)]),
            (False, list(phase.train.file_names)),
        ):
            of_pool = passes(streams[own], len(names))
            assert len(of_pool) == 40 * (count if own else 8 - count) // len(names)
            assert all(sorted(one) == sorted(names) for one in of_pool)
            assert len(set(map(tuple, of_pool))) == len(of_pool) or kept == 3


def test_the_share_is_the_same_where_items_are_the_phase_and_the_memory(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    """Where a stage names no items: half are exemplars, or as many as there are of them."""
    method, counts = make_method(), []
    collate = method.collate

    def count(items: Sequence[Sample | Exemplar], rng: Any) -> Any:
        counts.append(sum(isinstance(item, Exemplar) for item in items))
        return collate(items, rng)

    method.collate = count  # type: ignore[method-assign]
    method.stages = lambda phase, memory: iter([Stage(replay_share=0.5)])  # type: ignore[method-assign]
    train(method, phase, accelerator, tmp_path / "a.pt")
    assert counts == [1] * 4 * 15
    counts.clear()
    method.stages = lambda phase, memory: iter([Stage()])  # type: ignore[method-assign]
    train(method, phase, accelerator, tmp_path / "b.pt")
    passes_of_two = 15 * 8 / (len(phase.train) + 2)
    assert 2 * int(passes_of_two) <= sum(counts) <= 2 * int(passes_of_two) + 2


@pytest.mark.parametrize("share", [None, 0.25, 0.5, 1.0])
def test_without_exemplars_all_is_new_and_without_samples_all_is_old(
    phase: PhaseData, make_method: Callable[[], Method], share: float | None
) -> None:
    new = batches(make_method, list(phase.train), Stage(replay_share=share), 3)
    kept = batches(make_method, old(5), Stage(replay_share=share), 3)
    for steps, is_old in ((new, False), (kept, True)):
        assert [sum(map(len, parts)) for parts in steps] == [8, 8, 8]
        names = [name for parts in steps for part in parts for name in part]
        assert {name.startswith("old") for name in names} == {is_old}
    assert batches(make_method, [], Stage(replay_share=share), 3) == []


@pytest.mark.parametrize("share", [None, 0.5])
@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_micro_batches_of_one(
    phase: PhaseData, make_method: Callable[[], Method], world: int, share: float | None
) -> None:
    def parts(rank: int, world: int, step: int) -> list[Any]:
        place: Any = SimpleNamespace(process_index=rank, num_processes=world)
        stage = Stage(replay_share=share)
        items = [*phase.train, *(Exemplar(s.label, s.image, b"") for s in phase.train[:9])]
        return StageSteps(make_method(), (1, 0), items, stage.replay_share, 15, CONFIG, place)[step]

    for step in (0, 4, 14):  # in one of them a pass ends
        alone = parts(0, 1, step)
        shared = [part for rank in range(world) for part in parts(rank, world, step)]
        alike = [(tuple(p.batch[0].flatten().tolist()), p.share) for p in alone]
        assert sorted(alike) == sorted(
            (tuple(p.batch[0].flatten().tolist()), p.share) for p in shared
        )


@pytest.mark.parametrize(("stop_after", "scaled"), [(1, False), (5, False), (14, False), (6, True)])
def test_a_phase_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path,
    phase: PhaseData,
    make_method: Callable[[], Method],
    accelerator: Accelerator,
    stop_after: int,
    scaled: bool,
) -> None:
    """With a scale of the loss, too, as fp16 has it on a GPU: the last run left another one."""
    if scaled:
        accelerator.scaler = torch.amp.GradScaler("cpu")
    undisturbed, stopped, again = make_method(), make_method(), make_method()
    losses = train(undisturbed, phase, accelerator, tmp_path / "a.pt")
    if scaled:
        accelerator.scaler.update(1024.0)
    with pytest.raises(StoppedError):
        train(stopped, phase, accelerator, tmp_path / "b.pt", stop_after=stop_after)
    torch.rand(7), random.random(), np.random.rand()  # other draws than before
    rest = train(again, phase, accelerator, tmp_path / "b.pt")
    # The step that was broken off had not been saved yet.
    assert rest == losses[stop_after - 1 :]
    assert not scaled or accelerator.scaler.get_scale() == 65536
    for name, tensor in undisturbed.state().items():
        assert torch.equal(tensor, again.state()[name])


def test_workers_change_nothing(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    alone = train(make_method(), phase, accelerator, tmp_path / "a.pt", checkpoint_seconds=9)
    shared = train(
        make_method(), phase, accelerator, tmp_path / "b.pt", workers=2, checkpoint_seconds=9
    )
    assert alone == shared
    assert not list(tmp_path.glob("*.pt"))


def test_nothing_outside_notices_what_a_method_draws(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    def draws() -> list[Any]:
        return [
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
        ]  # type: ignore[index, union-attr]

    method = make_method()
    before = draws()
    train(method, phase, accelerator, tmp_path / "a.pt")
    assert draws() == before
    first = evaluate(method, phase.train, 6, accelerator, 1)
    assert draws() == before
    assert evaluate(method, phase.train, 6, accelerator, 1) == first
    assert not method.model.training


def of_shares(make_method: Callable[[], Method], shares: Sequence[float]) -> Method:
    """A method that trains in stages of these shares."""
    method = make_method()
    method.stages = lambda phase, memory: (  # type: ignore[method-assign]
        Stage(share=share, name=f"stage {number}") for number, share in enumerate(shares)
    )
    return method


@pytest.mark.parametrize(
    "shares",
    [(1 / 3,) * 3, (0.5, 0.25, 0.25), (0.1,) * 10, (0.01,) * 100, (0.9, 0.0, 0.1), (0.4, 0.2)],
    ids=str,
)
def test_the_stages_of_a_phase_divide_its_steps_without_a_rest(
    tmp_path: Path,
    phase: PhaseData,
    make_method: Callable[[], Method],
    accelerator: Accelerator,
    shares: Sequence[float],
) -> None:
    method, memory = of_shares(make_method, shares), no_memory(tmp_path)
    training = train_phase(
        method, phase, memory, RECIPE, CONFIG, accelerator,
        Checkpoint(tmp_path / "a.pt", "", method), lambda *_: None,
    )  # fmt: skip
    steps = [stage["steps"] for stage in training.stages]
    assert training.steps == sum(steps) == round(15 * sum(shares))
    for done, asked in zip(itertools.accumulate(steps), itertools.accumulate(shares), strict=True):
        assert abs(done - 15 * asked) <= 0.5 + 1e-9  # no stage's rounding adds to another's
    assert [stage["name"] for stage in training.stages] == [
        f"stage {number}" for number in range(len(shares))
    ]
    assert all(stage.keys() == {"name", "items", "steps"} for stage in training.stages)


def test_stages_that_want_more_than_the_phase_has_are_refused(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    message = r"the stages up to 'stage 1' ask for 1.1 of the phase's steps: together they may"
    with pytest.raises(ContractError, match=message):
        train(of_shares(make_method, (0.6, 0.5)), phase, accelerator, tmp_path / "a.pt")
    for wrong in ({"share": 1.5}, {"share": -0.1}, {"replay_share": 2.0}):
        with pytest.raises(ContractError, match="a share lies between 0 and 1"):
            Stage(**wrong)  # type: ignore[arg-type]


def test_more_exemplars_take_no_more_steps(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    losses = [
        train(make_method(), phase, accelerator, tmp_path / str(kept) / "a.pt", kept=kept)
        for kept in (0, 2, 30)
    ]
    assert [len(of_run) for of_run in losses] == [15, 15, 15]
    assert losses[0] != losses[1] != losses[2]  # they are trained on


def test_optimizers_of_former_phases_are_let_go(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    for number in range(3):
        train(make_method(), phase, accelerator, tmp_path / f"{number}.pt")
    assert accelerator._optimizers == []


def test_nothing_to_train_is_no_step(
    tmp_path: Path, phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    frozen = make_method()
    frozen.model.requires_grad_(False)
    none = dataclasses.replace(phase, train=phase.train.of_classes([]))
    for method, of in (
        (frozen, phase),
        (make_method(), none),
        (make_method(), dataclasses.replace(phase, steps=0)),
    ):
        memory = no_memory(tmp_path)
        training = train_phase(
            method, of, memory, RECIPE, CONFIG, accelerator,
            Checkpoint(tmp_path / "c", "", method), lambda *_: None,
        )  # fmt: skip
        assert training.steps == 0
        assert training.loss == []


def test_predictions_are_of_classes_seen_and_do_not_depend_on_the_batch(
    phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    def predict(samples: Samples, num_seen: int) -> list[int]:
        return evaluate(make_method(), samples, num_seen, accelerator, 1).predictions[""]

    everything = predict(phase.train, 6)
    assert set(predict(phase.train, 2)) <= {0, 1}
    assert everything == [predict(phase.train[i : i + 1], 6)[0] for i in range(len(phase.train))]
    assert predict(phase.train.of_classes([]), 6) == []


def test_gradients_of_processes_are_summed_and_none_stays_none() -> None:
    used, other, unused = (torch.nn.Parameter(torch.zeros(2, 2)) for _ in range(3))
    used.grad = torch.ones(2, 2)

    class Two:
        """The second process has a gradient of the second parameter instead, and a loss of 2."""

        num_processes, device = 2, torch.device("cpu")

        def reduce(self, flat: torch.Tensor, reduction: str) -> torch.Tensor:
            assert reduction == "sum"
            return flat + torch.tensor([2.0, 0, 1, 0, *[0] * 4, *[3] * 4, *[0] * 4])

    loss = reduce_gradients([used, other, unused], torch.tensor(1.0), Two())  # type: ignore[arg-type]
    assert float(loss) == 3
    assert used.grad is not None
    assert other.grad is not None
    assert torch.equal(used.grad, torch.ones(2, 2))
    assert torch.equal(other.grad, torch.full((2, 2), 3.0))
    assert unused.grad is None


def test_the_learning_rate_rises_and_falls() -> None:
    for steps in (1, 2, 5, 40, 1000):
        factors = [learning_rate_factor(step, steps) for step in range(steps)]
        assert max(factors) == 1
        assert all(0 <= factor <= 1 for factor in factors)
        assert factors[0] > 0
        top = factors.index(1)
        assert factors[: top + 1] == sorted(factors[: top + 1])
        assert factors[top:] == sorted(factors[top:], reverse=True)


def staged(base: Any, codes: list[str]) -> Any:
    """A method that trains twice, noting what runs between: it freezes and adds a moving mean."""

    class Staged(base):  # type: ignore[misc]
        mean = torch.zeros(1)

        def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
            codes.append("before")
            yield Stage(share=10 / 12, name="first")
            codes.append("between")
            with torch.no_grad():  # depends on the weights, and on a draw
                self.model.weight.mul_(1 + self.model.bias.mean() + 0.1 * torch.rand(()))
            self.model.bias.requires_grad_(False)
            yield Stage(phase.train[:9], share=2 / 12, learning_rate=0.5, name="second")

        def loss(self, batch: Any) -> torch.Tensor:
            loss: torch.Tensor = super().loss(batch)
            self.mean = 0.9 * self.mean + 0.1 * loss.detach()
            assert 0 <= self.progress.share < 1
            assert self.progress.steps == (10, 2)[self.progress.stage]
            return loss

        def transient(self) -> dict[str, torch.Tensor]:
            return {"mean": self.mean}

        def load_transient(self, tensors: Mapping[str, torch.Tensor]) -> None:
            self.mean = tensors["mean"]

        def before_step(self) -> None:
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
            assert norm.isfinite()

    return Staged


@pytest.mark.parametrize("stop_after", [1, 4, 10, 11, 12])
def test_a_method_of_two_stages_that_was_stopped_resumes_in_either(
    tmp_path: Path, phase: PhaseData, accelerator: Accelerator, mean_colour: Path, stop_after: int
) -> None:
    """Ten steps in the first stage, two in the second; the code between them runs again."""
    codes: list[str] = []
    kind = staged(load_method(f"{mean_colour}:MeanColour")[0], codes)

    def make() -> Method:
        torch.manual_seed(5)
        method: Method = kind(
            MethodContext(6, (2, 2, 2), "", "ssf", None, 4, 0, torch.device("cpu")), NoSettings()
        )
        return method

    phase = dataclasses.replace(phase, steps=12)
    undisturbed, stopped, again = make(), make(), make()
    losses = train(undisturbed, phase, accelerator, tmp_path / "a.pt")
    assert codes == ["before", "between"]
    with pytest.raises(StoppedError):
        train(stopped, phase, accelerator, tmp_path / "b.pt", stop_after=stop_after)
    saved = min(stop_after - 1, 10) if stop_after < 11 else stop_after - 1
    assert train(again, phase, accelerator, tmp_path / "b.pt") == losses[saved:]
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert torch.equal(undisturbed.transient()["mean"], again.transient()["mean"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path,
    phase: PhaseData,
    accelerator: Accelerator,
    make_method: Callable[[], Method],
    value: float,
) -> None:
    method = make_method()
    loss = method.loss
    method.loss = lambda batch: loss(batch) * (value if method.progress.step == 7 else 1)  # type: ignore[method-assign]
    with pytest.raises(ContractError, match=r"the loss is (nan|inf) at step 8 of 15 of stage"):
        train(method, phase, accelerator, tmp_path / "a.pt")
    assert unsealed(tmp_path / "a.pt")["step"] == 7


def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, phase: PhaseData, accelerator: Accelerator, make_method: Callable[[], Method]
) -> None:
    path = tmp_path / "a.pt"
    with pytest.raises(StoppedError):
        train(make_method(), phase, accelerator, path, stop_after=5)
    saved = unsealed(path)
    seal(path, {**saved, "amid": {**saved["amid"], "state": {}}})
    with pytest.raises(UserError, match="delete it to train this phase from its beginning"):
        train(make_method(), phase, accelerator, path)


def test_a_damaged_checkpoint_is_dropped_and_the_phase_trained_from_its_beginning(
    tmp_path: Path, phase: PhaseData, accelerator: Accelerator, make_method: Callable[[], Method]
) -> None:
    losses = train(make_method(), phase, accelerator, tmp_path / "whole")
    path = tmp_path / "a.pt"
    with pytest.raises(StoppedError):
        train(make_method(), phase, accelerator, path, stop_after=5)
    saved, written = unsealed(path), path.read_bytes()
    assert not Checkpoint(path, "", make_method()).dropped
    assert Checkpoint(path, "another run", make_method()).dropped
    flipped = bytearray(written)
    flipped[len(flipped) // 2] ^= 1
    broken: list[Any] = [bytes(flipped), written[:-1], b"torn", b""]
    broken += [{**saved, **change} for change in ({"step": 10**9}, {"amid": {}}, {"training": {}})]
    for one in broken:
        if isinstance(one, bytes):
            path.write_bytes(one)
        else:  # by one who knows of the seal
            seal(path, one)
        assert Checkpoint(path, "", make_method()).dropped
    assert train(make_method(), phase, accelerator, path) == losses


def test_what_runs_between_stages_sees_the_tensors_of_then(
    tmp_path: Path, phase: PhaseData, accelerator: Accelerator, mean_colour: Path
) -> None:
    """A state that is not copied, and that the second stage writes over, is copied all the same."""
    base: Any = load_method(f"{mean_colour}:MeanColour")[0]
    anchors: list[float] = []

    class Anchored(base):  # type: ignore[misc]
        def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
            yield Stage(share=0.5)
            anchors.append(float(self.model.weight.detach().sum()))
            yield Stage(share=0.5)

        def state(self) -> dict[str, torch.Tensor]:
            return dict(self.model.state_dict())

    def make() -> Method:
        torch.manual_seed(5)
        context = MethodContext(6, (2, 2, 2), "", "ssf", None, 4, 0, torch.device("cpu"))
        method: Method = Anchored(context, NoSettings())
        return method

    phase = dataclasses.replace(phase, steps=10)
    with pytest.raises(StoppedError):
        train(make(), phase, accelerator, tmp_path / "a.pt", stop_after=8)
    train(make(), phase, accelerator, tmp_path / "a.pt")
    first, again = anchors
    assert first == again
