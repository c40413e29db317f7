"""One run: a method learns the phases one after another under a memory budget.

Every phase starts from what lies on disk and ends with one atomic file, `state/phase-NN.json`. So
going on after a kill is not a special case, and only the memory and a method's declared state can
pass from one phase to the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from benchmark import metrics, results
from benchmark.config import RunConfig
from benchmark.data import ColumnNames, Data, Sample, Samples, open_data
from benchmark.display import Display
from benchmark.memory import Budget, Exemplar, Memory, counts_of, make_budget
from benchmark.method import Method, Phase, Task, find, make_settings
from benchmark.results import records
from benchmark.results.schema import PhaseResult
from benchmark.training import predict, train_phase
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic
from mm_imagenet_r.phases import class_order, phase_sizes


@dataclasses.dataclass(frozen=True)
class Plan:
    """What follows from a configuration and its data before anything is trained."""

    config: RunConfig
    data: Data  # labels are positions in the class order
    order: list[int]
    sizes: list[int]
    budget: Budget

    def classes(self, phase: int) -> range:
        """Labels of a phase's new classes."""
        start = sum(self.sizes[:phase])
        return range(start, start + self.sizes[phase])


def make_plan(config: RunConfig, data: Data | None = None) -> Plan:
    """Open the data, order the classes, work out the budget.

    Raises:
        UserError: The data cannot be opened or do not fit the configuration.
    """
    if data is None:
        data = open_data_of(config)
    count = data.num_classes
    order = class_order(count, config.class_order_seed)
    sizes = phase_sizes(count, config.phases, config.base_classes)
    if config.like is None:
        budget = make_budget(
            config.memory,
            currency=config.currency,
            growth=config.growth,
            num_classes=count,
            mean_sample_bytes=mean_sample_bytes(data),
        )
    else:
        budget = Budget(0, "exemplars", config.growth, 1.0, _counts_like(config))
    return Plan(config, data.in_order(order), order, sizes, budget)


def open_data_of(config: RunConfig) -> Data:
    """The data set a configuration names."""
    return open_data(
        config.dataset,
        columns=ColumnNames(
            image=config.image_column, label=config.label_column, caption=config.caption_column
        ),
        captions=config.captions,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        validation=config.evaluate_on == "validation",
        bad_images=config.bad_images,
    )


def mean_sample_bytes(data: Data) -> float:
    """Mean length of the record of an untouched training sample: file, caption, label, framing."""
    lengths = [
        Exemplar(sample.label, sample.image, sample.caption.encode()).nbytes
        for sample in data.train
    ]
    return sum(lengths) / len(lengths)


def run_cell(config: RunConfig, display: Display, data: Data | None = None) -> Path:
    """Run one method with one seed, or go on with it, and return its folder.

    Raises:
        UserError: The configuration, the data or the output folder need the user's hand.
    """
    folder = config.folder()
    method_class, preset = find(config.method[0])
    settings = make_settings(method_class, preset, config.settings_of(config.method[0]))
    accelerator = make_accelerator(config, folder)
    main = accelerator.is_main_process
    if main and config.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    accelerator.wait_for_everyone()
    if (folder / results.RESULT).exists() and results.read(folder)["complete"]:
        display.already_done(folder)
        return folder
    with _own(folder) if main else contextlib.nullcontext():
        plan = make_plan(config, data)
        _check_same_data(folder, plan, main)
        run = _Run(plan, method_class, settings, accelerator, folder, display)
        accelerator.init_trackers("mm-imagenet-r", config=_flat(config))
        for phase in range(run.finished, len(plan.sizes)):
            run.learn(phase)
        accelerator.end_training()
        if main:
            run.write_result(preset)
            if config.tracker != "tensorboard":
                shutil.rmtree(folder / "tracker", ignore_errors=True)
        accelerator.wait_for_everyone()
    return folder


def make_accelerator(config: RunConfig, folder: Path) -> Accelerator:
    """Device, precision, processes and trackers; nothing is moved or started by it."""
    cpu = config.device == "cpu"
    if config.device not in ("auto", "cpu") and config.device not in _devices():
        raise UserError(
            f"--device {config.device}: this machine has {', '.join(['cpu', *_devices()])}"
        )
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=config.precision,
        log_with=None if config.tracker == "none" else config.tracker,
        project_dir=folder / "tracker",
    )
    if config.micro_batches % accelerator.num_processes:
        raise UserError(
            f"{accelerator.num_processes} processes cannot share {config.micro_batches} "
            f"micro-batches: give --micro-batches {accelerator.num_processes} or a multiple of it"
        )
    return accelerator


class _Run:
    """The state of one run between phases, as it is on disk."""

    def __init__(
        self,
        plan: Plan,
        method_class: type[Method],
        settings: Any,
        accelerator: Accelerator,
        folder: Path,
        display: Display,
    ) -> None:
        self.plan = plan
        self.method_class = method_class
        self.settings = settings
        self.accelerator = accelerator
        self.folder = folder
        self.state = folder / "state"
        self.display = display
        self.done: list[dict[str, Any]] = []
        while (path := self._file(len(self.done))).exists():
            self.done.append(json.loads(path.read_text(encoding="utf-8")))
        self.finished = len(self.done)
        display.start(plan.config, plan, self.finished)

    def learn(self, index: int) -> None:
        """Train, choose exemplars, evaluate, commit."""
        plan, accelerator = self.plan, self.accelerator
        clock = _Clock()
        method = self._method(index)
        memory = self._memory()
        phase = self._phase(index)
        memory.open_phase(index, phase.seen)
        self.display.stage(index, "looking at the new samples")
        method.begin_phase(phase, memory)
        clock.lap("prepare")

        def progress(step: int, steps: int, loss: float) -> None:
            self.display.step(index, step, steps, loss)
            if step % 10 == 0:
                accelerator.log({"loss": loss}, step=index * steps + step)

        items: list[Sample | Exemplar] = [*phase.train, *memory.exemplars()]
        partial = self.state / f"phase-{index:02d}.partial.pt"
        train_phase(method, items, plan.config, index, accelerator, partial, progress)
        clock.lap("train")
        self.display.stage(index, "choosing exemplars")
        method.model.eval()
        if not method.sees_all_data:
            method.end_phase(phase, memory)
        accelerator.wait_for_everyone()
        clock.lap("select")
        self.display.stage(index, "evaluating")
        test = plan.data.test.of_classes(range(phase.seen))
        predictions = predict(method, test, phase.seen, accelerator)
        clock.lap("evaluate")
        record = self._record(index, phase, memory, test, predictions, clock)
        state = method.state()
        record["outside_memory"] = {
            name: tensor.numel() * tensor.element_size() for name, tensor in state.items()
        }
        record["trainable_parameters"] = sum(
            p.numel() for p in method.model.parameters() if p.requires_grad
        )
        record["gallery"] = method.gallery(phase, memory)
        if accelerator.is_main_process:
            self._commit(index, record, state, memory)
        self.done.append(record)
        accelerator.log(_scalars(record), step=index)
        accelerator.wait_for_everyone()
        self.display.phase_done(index, record, self.plan)

    def write_result(self, preset: str) -> None:
        """Write result.json, predictions and exemplars from the committed phases."""
        plan, config = self.plan, self.plan.config
        data = plan.data
        predictions = [
            records.Prediction(phase["result"]["index"], file_name, int(label), guess)
            for phase in self.done
            for test in [data.test.of_classes(range(phase["seen"]))]
            for file_name, label, guess in zip(
                test.file_names, test.labels, phase["predictions"], strict=True
            )
        ]
        stored = [
            records.Stored(phase=phase["result"]["index"], **row)
            for phase in self.done
            for row in phase["stored"]
        ]
        records.write_predictions(self.folder / records.PREDICTIONS, predictions)
        records.write_exemplars(self.folder / records.EXEMPLARS, stored)
        gallery = [
            picture | {"class_name": data.class_names[picture["label"]]}
            for phase in self.done
            for picture in phase["gallery"]
        ]
        write_atomic(self.folder / "gallery.json", json.dumps(gallery).encode())
        last = self.done[-1]
        what = dict(last["outside_memory"])
        result = results.build(
            method=config.method[0].partition("@")[0],
            preset=preset or None,
            method_settings=dataclasses.asdict(self.settings),
            config=config.to_json(),
            dataset={
                "name": data.name,
                "num_classes": data.num_classes,
                "train": len(data.train),
                "test": len(data.test),
                "data_sha256": data.data_sha256,
                "split_sha256": data.split_sha256,
                "captions": data.captions,
            },
            class_order={
                "seed": config.class_order_seed,
                "order": plan.order,
                "sha256": hashlib.sha256(json.dumps(plan.order).encode()).hexdigest(),
                "names": list(data.class_names),
            },
            phases=[phase["result"] for phase in self.done],
            budget={
                "currency": plan.budget.currency,
                "growth": config.growth,
                "memory": f"like {config.like}" if config.like else config.memory,
                "unit": plan.budget.unit,
                "unit_meaning": {
                    "bytes": "mean bytes of an untouched training sample",
                    "samples": "one untouched sample",
                    "exemplars": "one exemplar, whatever it costs",
                }[plan.budget.currency],
                "amount": None if config.like else plan.budget.amount,
            },
            outside_memory={
                "trainable_parameters": last["trainable_parameters"],
                "bytes": sum(what.values()),
                "what": _grouped(what),
            },
            backbone=json.loads((self.folder / "run.json").read_text())["backbone"],
            seed=config.seeds[0],
            complete=True,
        )
        results.write(self.folder / results.RESULT, result)

    def _method(self, index: int) -> Method:
        config, accelerator = self.plan.config, self.accelerator
        task = Task(
            num_classes=len(self.plan.order),
            backbone=config.backbone,
            tuning=config.tuning,
            max_text_length=config.max_text_length,
            batch_size=config.batch_size,
            seed=config.seeds[0],
            device=accelerator.device,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        method = self.method_class(task, self.settings)
        if index == 0:
            self._remember(backbone=method.provenance())
        elif not method.sees_all_data:
            path = self.state / self.done[-1]["checkpoint"]
            method.load_state(torch.load(path, map_location="cpu", weights_only=True))
        return method

    def _memory(self) -> Memory:
        manifest = self.done[-1]["memory"] if self.done else {}
        memory = Memory(self.folder / "memory", self.plan.budget, manifest)
        memory.writes = self.accelerator.is_main_process
        memory.sweep()
        return memory

    def _phase(self, index: int) -> Phase:
        new = self.plan.classes(index)
        wanted = range(new.stop) if self.method_class.sees_all_data else new
        # A list of what this phase may see: nothing else of the data reaches the method.
        return Phase(index, new, new.stop, list(self.plan.data.train.of_classes(wanted)))

    def _record(
        self,
        index: int,
        phase: Phase,
        memory: Memory,
        test: Samples,
        predictions: list[int],
        clock: _Clock,
    ) -> dict[str, Any]:
        plan = self.plan
        owner = [t for t, size in enumerate(plan.sizes) for _ in range(size)]
        row = metrics.phase_accuracies(test.labels, predictions, owner, index + 1)
        sizes = [len(test.of_classes(plan.classes(t))) for t in range(index + 1)]
        result: PhaseResult = {
            "index": index,
            "classes": list(phase.new),
            "train": sum(sample.label in phase.new for sample in phase.train),
            "test": sizes[-1],
            "seconds": clock.laps,
            "accuracy": {
                "per_phase": row,
                "sample_weighted": metrics.sample_weighted_accuracy(row, sizes),
                "phase_weighted": metrics.phase_weighted_accuracy(row),
            },
            "memory": memory.ledger(),  # type: ignore[typeddict-item]
        }
        return {
            "result": result,
            "seen": phase.seen,
            "predictions": predictions,
            "stored": [row for row in memory.rows() if row["label"] in phase.new],
            "memory": memory.manifest(),
        }

    def _commit(
        self, index: int, record: dict[str, Any], state: dict[str, Any], memory: Memory
    ) -> None:
        """The JSON file comes last: with it the phase is done, without it nothing has happened."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        record["checkpoint"] = f"phase-{index:02d}.pt"
        write_atomic(self.state / record["checkpoint"], buffer.getvalue())
        write_atomic(self._file(index), json.dumps(record).encode())
        (self.state / f"phase-{index:02d}.partial.pt").unlink(missing_ok=True)
        if index:
            (self.state / f"phase-{index - 1:02d}.pt").unlink(missing_ok=True)
        memory.sweep()

    def _remember(self, **facts: Any) -> None:
        if self.accelerator.is_main_process:
            path = self.folder / "run.json"
            known = json.loads(path.read_text(encoding="utf-8"))
            write_atomic(path, json.dumps(known | facts, indent=1).encode())

    def _file(self, index: int) -> Path:
        return self.state / f"phase-{index:02d}.json"


class _Clock:
    """Seconds spent on each part of a phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


@contextlib.contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Keep a second process from working in the same folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): choose another --output"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is working in {folder}: wait for it, or choose another --output"
            ) from None
        yield


def _check_same_data(folder: Path, plan: Plan, main: bool) -> None:
    """A half-finished run goes on only with the data it began with."""
    facts = {
        "config": plan.config.to_json(),
        "data_sha256": plan.data.data_sha256,
        "split_sha256": plan.data.split_sha256,
    }
    path = folder / "run.json"
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if any(known[key] != facts[key] for key in ("data_sha256", "split_sha256")):
            raise UserError(
                f"{folder} was begun with other data than {plan.config.dataset} holds now: "
                "give --overwrite to start anew, or another --output"
            )
    elif main:
        write_atomic(path, json.dumps(facts, indent=1).encode())


def _counts_like(config: RunConfig) -> tuple[Any, ...]:
    assert config.like is not None
    model = dataclasses.replace(config, method=(config.like,), like=None)
    path = model.folder() / results.RESULT
    if not path.exists():
        raise UserError(
            f"--like {config.like}: its result {path} is not there. Run it first: {model.command()}"
        )
    return counts_of(path)


def _devices() -> list[str]:
    found = ["cuda"] if torch.cuda.is_available() else []
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def _flat(config: RunConfig) -> dict[str, Any]:
    return {k: v if isinstance(v, (int, float)) else str(v) for k, v in config.to_json().items()}


def _scalars(record: dict[str, Any]) -> dict[str, float]:
    result = record["result"]
    return {
        "accuracy": result["accuracy"]["sample_weighted"],
        "exemplars": result["memory"]["exemplars"],
        "memory_bytes": result["memory"]["bytes"],
    }


def _grouped(sizes: dict[str, int]) -> dict[str, int]:
    """Bytes by the first part of a tensor's name."""
    total: dict[str, int] = {}
    for name, size in sizes.items():
        total[name.partition(".")[0]] = total.get(name.partition(".")[0], 0) + size
    return total
