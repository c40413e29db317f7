"""Training: which samples in which step, going on amid a phase, several processes, randomness."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from benchmark.budget import Budget
from benchmark.config import Recipe, RunConfig
from benchmark.data import Sample, Samples, open_data
from benchmark.devices import find_place, join
from benchmark.errors import ContractError
from benchmark.evaluation import evaluate
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.find_method import find
from benchmark.memory import Memory, MemoryStore
from benchmark.method import (
    Method,
    MethodContext,
    NoSettings,
    PhaseData,
    Stage,
    learning_rate_factor,
)
from benchmark.training import StageSteps, reduce_gradients, train_phase
from mm_imagenet_r.errors import UserError

CONFIG = RunConfig(device="cpu", epochs=3, batch_size=8, micro_batches=4, checkpoint_seconds=0)


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
    return PhaseData(1, range(6), 6, samples)


@pytest.fixture
def make_method(mean_colour: Path) -> Callable[[], Method]:
    """A method that draws from all global generators, wherever it may."""
    base: Any = find(f"{mean_colour}:MeanColour")[0]

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
        context = MethodContext(6, 3, "", "ssf", None, 4, 0, torch.device("cpu"))
        torch.manual_seed(5)
        return Careless(context, NoSettings())

    return make


RECIPE = Recipe(tuning="ssf", epochs=3, learning_rate=1e-2, weight_decay=0.01)


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
    stop_after, total = options.pop("stop_after", None), options.pop("total", 15)
    losses = []

    def report(stage: str, step: int, steps: int, loss: float) -> None:
        losses.append(loss)
        if len(losses) == stop_after:
            raise StoppedError

    exemplars = [Exemplar(s.label, s.image, b"") for s in phase.train[:2]]
    config = RunConfig(**{**vars(CONFIG), **options})
    memory = no_memory(checkpoint.parent, exemplars)
    training = train_phase(
        method, phase, memory, RECIPE, config, accelerator, checkpoint, report
    )  # fmt: skip
    assert training.steps == total
    return losses


def test_each_epoch_has_every_item_once_in_an_order_of_its_own(
    phase: PhaseData, make_method: Callable[[], Method]
) -> None:
    orders = []
    method = make_method()
    method.collate = lambda items, rng: [  # type: ignore[method-assign]
        item.file_name if isinstance(item, Sample) else item for item in items
    ]
    exemplars = [Exemplar(0, b"old", b"")] * 2
    one: Any = SimpleNamespace(process_index=0, num_processes=1)
    steps = StageSteps(method, 1, 0, [*phase.train, *exemplars], 3, CONFIG, one)
    count = len(phase.train) + 2
    assert len(steps) == 3 * -(-count // 8)
    for epoch in range(3):
        of_epoch = [steps[epoch * steps.per_epoch + i] for i in range(steps.per_epoch)]
        assert all(sum(part.share for part in parts) == pytest.approx(1) for parts in of_epoch)
        items = [item for parts in of_epoch for part in parts for item in part.batch]
        assert sorted(map(str, items)) == sorted(map(str, [*phase.train.file_names, *exemplars]))
        orders.append(items)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_micro_batches_of_one(
    phase: PhaseData, make_method: Callable[[], Method], world: int
) -> None:
    def parts(rank: int, world: int, step: int) -> list[Any]:
        place: Any = SimpleNamespace(process_index=rank, num_processes=world)
        return StageSteps(make_method(), 1, 0, phase.train, 3, CONFIG, place)[step]

    for step in (0, 3, 4):  # the last of an epoch is a small one
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
    none = PhaseData(0, range(6), 6, phase.train.of_classes([]))
    for method, of, epochs in (
        (frozen, phase, 1),
        (make_method(), none, 1),
        (make_method(), phase, 0),
    ):
        recipe, memory = dataclasses.replace(RECIPE, epochs=epochs), no_memory(tmp_path)
        training = train_phase(
            method, of, memory, recipe, CONFIG, accelerator, tmp_path / "c", lambda *_: None
        )
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
            yield Stage(epochs=2, name="first")
            codes.append("between")
            with torch.no_grad():  # depends on the weights, and on a draw
                self.model.weight.mul_(1 + self.model.bias.mean() + 0.1 * torch.rand(()))
            self.model.bias.requires_grad_(False)
            yield Stage(phase.train[:9], epochs=1, learning_rate=0.5, name="second")

        def loss(self, batch: Any) -> torch.Tensor:
            loss: torch.Tensor = super().loss(batch)
            self.mean = 0.9 * self.mean + 0.1 * loss.detach()
            assert 0 <= self.progress.share < 1
            return loss + 0 * self.progress.epoch

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
    kind = staged(find(f"{mean_colour}:MeanColour")[0], codes)

    def make() -> Method:
        torch.manual_seed(5)
        method: Method = kind(
            MethodContext(6, 3, "", "ssf", None, 4, 0, torch.device("cpu")), NoSettings()
        )
        return method

    undisturbed, stopped, again = make(), make(), make()
    losses = train(undisturbed, phase, accelerator, tmp_path / "a.pt", total=12)
    assert codes == ["before", "between"]
    with pytest.raises(StoppedError):
        train(stopped, phase, accelerator, tmp_path / "b.pt", total=12, stop_after=stop_after)
    saved = min(stop_after - 1, 10) if stop_after < 11 else stop_after - 1
    assert train(again, phase, accelerator, tmp_path / "b.pt", total=12) == losses[saved:]
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
    assert torch.load(tmp_path / "a.pt")["step"] == 7


def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, phase: PhaseData, accelerator: Accelerator, make_method: Callable[[], Method]
) -> None:
    path = tmp_path / "a.pt"
    with pytest.raises(StoppedError):
        train(make_method(), phase, accelerator, path, stop_after=5)
    saved = torch.load(path)
    for change in ({"step": 10**9}, {"step": -1}, {"amid": {}}, {"training": {"steps": 3}}):
        torch.save({**saved, **change}, path)
        with pytest.raises(UserError, match="delete it to train this phase from its beginning"):
            train(make_method(), phase, accelerator, path)
    path.write_bytes(b"torn")
    with pytest.raises(UserError, match="delete it"):
        train(make_method(), phase, accelerator, path)


def test_what_runs_between_stages_sees_the_tensors_of_then(
    tmp_path: Path, phase: PhaseData, accelerator: Accelerator, mean_colour: Path
) -> None:
    """A state that is not copied, and that the second stage writes over, is copied all the same."""
    base: Any = find(f"{mean_colour}:MeanColour")[0]
    anchors: list[float] = []

    class Anchored(base):  # type: ignore[misc]
        def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
            yield Stage(epochs=1)
            anchors.append(float(self.model.weight.detach().sum()))
            yield Stage(epochs=1)

        def state(self) -> dict[str, torch.Tensor]:
            return dict(self.model.state_dict())

    def make() -> Method:
        torch.manual_seed(5)
        context = MethodContext(6, 3, "", "ssf", None, 4, 0, torch.device("cpu"))
        method: Method = Anchored(context, NoSettings())
        return method

    with pytest.raises(StoppedError):
        train(make(), phase, accelerator, tmp_path / "a.pt", stop_after=8, total=10)
    train(make(), phase, accelerator, tmp_path / "a.pt", total=10)
    first, again = anchors
    assert first == again
