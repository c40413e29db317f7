"""What happens to one phase, in a process of its own: learning it, and testing it afterwards.

A process starts from what lies on disk. Learning writes exemplars and tensors; testing sees these
and samples without labels.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from benchmark import state_file, tuned_recipe
from benchmark.checkpoint import Checkpoint
from benchmark.config import RunConfig
from benchmark.data import Sample, Samples
from benchmark.devices import Place, join, same_digits
from benchmark.errors import ContractError
from benchmark.evaluation import Evaluation, evaluate
from benchmark.exemplar import RawSizes
from benchmark.isolation import Report
from benchmark.memory import Memory
from benchmark.memory_store import MemoryStore
from benchmark.method import Method, PhaseData
from benchmark.plan import Cell
from benchmark.randomness import seeded, stream
from benchmark.results.provenance import hardware
from benchmark.results.schema import PhaseRecord, StateInfo
from benchmark.run_folder import RunFolder
from benchmark.run_records import Learnt
from benchmark.training import train_phase
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True)
class Job:
    """What every process of a phase is handed."""

    cell: Cell  # method, settings, phases, budget
    place: Place  # where
    folder: Path  # the run's
    index: int  # of the phase


@dataclass(frozen=True)
class LearnJob(Job):
    """What the process that learns a phase is handed."""

    new: range  # labels of its classes
    samples: Samples  # its training samples and no others
    before: PhaseRecord | None  # the phase before as it was finished; None for the first
    resumed: int  # how often this one was interrupted
    steps: int  # training steps it has


@dataclass(frozen=True)
class TestJob(Job):
    """What the process that tests a phase is handed."""

    __test__ = False  # not a test of pytest

    num_seen: int  # classes seen
    samples: Sequence[Sample]  # test samples of these, in an order of their own and without labels
    memory: Mapping[str, Any]  # manifest of the memory
    state: StateInfo  # hash and length of the file of the method's tensors


@dataclass(frozen=True)
class SaveJob(TestJob):
    """What the process that saves a model is handed."""

    target: Path  # folder to write to
    class_names: tuple[str, ...]  # of the classes seen, by label


def meet(where: tuple[RunConfig, Place], tell: Report) -> None:
    """Wait until all processes are here: the first has made the folder ready."""
    config, place = where
    join(config, place, f"{config.fingerprint()}/meet").wait_for_everyone()
    torch.distributed.destroy_process_group()


def learn(job: LearnJob, tell: Report) -> Learnt:
    """Prepare, train, choose exemplars, and write what the next phase gets.

    Raises:
        UserError: The method breaks its contract, or a file is not as it was written.
    """
    cell, index, seed = job.cell, job.index, job.cell.config.seeds[0]
    # What a method declares is read before its code runs.
    sees_all_data, may_keep = cell.method.sees_all_data, cell.method.kind == "replay"
    manifest = job.before["memory"] if job.before else None
    with _process(job, "learn") as accelerator:
        clock, folder = _Clock(), RunFolder(job.folder, writes=accelerator.is_main_process)
        tell("stage", index, "looking at the new samples")
        # Until it is opened, the memory is that of the phase before.
        store = _store(job, manifest, max(index - 1, 0), job.new.start, writes=folder.writes)
        method = _method(job, accelerator)
        backbone = method.provenance()
        if index == 0 and cell.config.tuned_by is not None:
            tuned_recipe.read(cell.config.tuned_by).refuse_other_backbone(backbone)
        folder.check_identity(backbone=backbone)
        if job.before and not sees_all_data:
            _load(method, folder.tensors(index - 1), job.before["state"])
        memory = Memory(store)
        phase = PhaseData(index, job.new, job.new.stop, job.samples, job.steps)
        method.model.eval()
        with seeded(stream(seed, "harness/begin", index)):
            method.begin_phase(phase, memory)
        clock.lap("prepare")

        def report(stage: str, step: int, steps: int, loss: float) -> None:
            tell("step", index, stage, step, steps, loss)

        saved = Checkpoint(folder.partial(index), folder.place(folder.partial(index)), method)
        if saved.dropped:
            tell("note", f"{saved.path} was changed: its phase is trained from the beginning")
        training = train_phase(
            method, phase, memory, cell.recipe, cell.config, accelerator, saved, report
        )
        clock.lap("train")

        tell("stage", index, "choosing exemplars")
        method.model.eval()
        sizes = RawSizes(method, job.samples)
        store.open_phase(index, phase.num_seen, sizes, may_keep=may_keep)
        with seeded(stream(seed, "harness/end", index)):
            method.end_phase(phase, memory)
        tensors, info, outside = state_file.encode(method.state())
        accelerator.wait_for_everyone()  # the main process has written the exemplars
        with seeded(stream(seed, "harness/gallery", index)):
            gallery = method.gallery(phase, memory)
        clock.lap("select")
        learnt: Learnt = {
            "stages": training.stages,
            "loss": training.loss,
            "seconds": clock.laps,
            "resumed": job.resumed,
            "ledger": store.ledger(),
            "memory": store.manifest(),
            "stored": store.selected(),
            "outside_memory": outside,
            "trainable_parameters": training.parameters,
            "gallery": gallery,
            "state": info,
            "hardware": hardware(
                accelerator.device.type, accelerator.num_processes, _accelerator_name(accelerator)
            ),
        }
        folder.write_learnt(index, learnt, tensors)
        accelerator.wait_for_everyone()
        return learnt


def test(job: TestJob, tell: Report) -> Evaluation:
    """Make the method again from its tensors and the memory, and predict.

    Raises:
        UserError: The method breaks its contract, or a file is not as it was written.
    """
    with _process(job, "test") as accelerator:
        method = restore(job, accelerator)
        return evaluate(method, job.samples, job.num_seen, accelerator, job.index)


def restore(job: TestJob, accelerator: Accelerator) -> Method:
    """A fresh object of a method, ready to predict as it was after a phase.

    Raises:
        ContractError: It does not take back its own state.
        UserError: A file is not as it was written.
    """
    store = _store(job, job.memory, job.index, job.num_seen, writes=False)
    method = _method(job, accelerator)
    folder = RunFolder(job.folder, writes=False)
    folder.check_backbone(method.provenance())
    _load(method, folder.tensors(job.index), job.state)
    method.model.eval()
    with seeded(stream(job.cell.config.seeds[0], "harness/begin test", job.index)):
        method.begin_test(job.num_seen, Memory(store))
    return method


def save(job: SaveJob, tell: Report) -> None:
    """Write the model of a run as others read it.

    Raises:
        UserError: The method is more than such a model can hold.
    """
    with _process(job, "save") as accelerator, torch.no_grad():
        restore(job, accelerator).save_pretrained(job.target, job.class_names)


def _accelerator_name(accelerator: Accelerator) -> str:
    if accelerator.device.type != "cuda":
        return ""
    return str(torch.cuda.get_device_name(accelerator.device))


@contextlib.contextmanager
def _process(job: Job, doing: str) -> Iterator[Accelerator]:
    """Join the other processes; a broken contract is reported with method and phase.

    Raises:
        UserError: In place of a ContractError.
    """
    config = job.cell.config
    accelerator = join(config, job.place, f"{config.fingerprint()}/{doing}-{job.index}")
    try:
        with same_digits(accelerator.device):
            yield accelerator
            accelerator.wait_for_everyone()
    except ContractError as error:
        raise UserError(f"{config.method[0]}, phase {job.index + 1}, {doing}: {error}") from error
    except Exception as error:
        if not isinstance(error, UserError):
            error.add_note(f"in {config.method[0]}, phase {job.index + 1}, {doing}")
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _method(job: Job, accelerator: Accelerator) -> Method:
    cell = job.cell
    context = cell.context(accelerator.device, accelerator.process_index, accelerator.num_processes)
    with seeded(stream(context.seed, "harness/make")):
        return cell.method(context, cell.settings)


def _load(method: Method, path: Path, info: StateInfo) -> None:
    try:
        method.load_state(state_file.read(path, info))
    except (ValueError, KeyError, RuntimeError) as error:
        raise ContractError(
            f"a new object cannot load its own state: {error}. Does load_state make room for what "
            "begin_phase adds, or was something frozen when the phase ended?"
        ) from error


def _store(
    job: Job, manifest: Mapping[str, Any] | None, phase: int, num_seen: int, *, writes: bool
) -> MemoryStore:
    """The memory as it was after a phase; nothing can be kept in it before it is opened."""
    shared = job.cell.method.shares_allowance
    folder = job.folder / "memory"
    store = MemoryStore(folder, job.cell.budget, manifest, shared=shared, writes=writes)
    store.phase, store.num_seen = phase, num_seen
    return store


class _Clock:
    """Seconds spent on each part of a phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
