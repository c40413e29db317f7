"""Training: which samples in which step, going on amid a phase, several processes, randomness."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from benchmark.config import RunConfig
from benchmark.data import Sample, Samples, open_data
from benchmark.devices import find_place, join
from benchmark.evaluation import evaluate
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.find_method import find
from benchmark.memory import ContractError, Memory, MemoryStore
from benchmark.method import Method, MethodContext, NoSettings, PhaseData, Stage
from benchmark.training import StageSteps, learning_rate_factor, reduce_gradients, train_phase

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


def train(
    method: Method, phase: PhaseData, accelerator: Accelerator, checkpoint: Path, **options: Any
) -> list[float]:
    """Losses; `stop_after` steps it breaks off."""
    stop_after = options.pop("stop_after", None)
    losses = []

    def progress(step: int, steps: int, loss: float) -> None:
        losses.append(loss)
        assert steps == 15
        if step == stop_after:
            raise StoppedError

    exemplars = [Exemplar(s.label, s.image, b"") for s in phase.train[:2]]
    config = RunConfig(**{**vars(CONFIG), **options})
    assert train_phase(method, phase, exemplars, config, accelerator, checkpoint, progress) == 15
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
    one = SimpleNamespace(process_index=0, num_processes=1)
    steps = _Steps(method, phase, exemplars, CONFIG, one)  # type: ignore[arg-type]
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
        return _Steps(make_method(), phase, [], CONFIG, place)[step]

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
    assert not list(tmp_path.iterdir())


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
    first = predict(method, phase.train, 6, accelerator)
    assert draws() == before
    assert predict(method, phase.train, 6, accelerator) == first
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
        config = RunConfig(device="cpu", epochs=epochs)
        steps = train_phase(method, of, [], config, accelerator, tmp_path / "c", lambda *_: None)
        assert steps == 0


def test_predictions_are_of_classes_seen_and_do_not_depend_on_the_batch(
    phase: PhaseData, make_method: Callable[[], Method], accelerator: Accelerator
) -> None:
    method = make_method()
    everything = predict(method, phase.train, 6, accelerator)
    assert set(predict(method, phase.train, 2, accelerator)) <= {0, 1}
    assert everything == [
        predict(method, phase.train[i : i + 1], 6, accelerator)[0] for i in range(len(phase.train))
    ]
    assert predict(method, phase.train.of_classes([]), 6, accelerator) == []


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
