"""One run: a method learns the phases one after another under a memory budget.

Every phase starts from what lies on disk and ends with one atomic file. So going on after a kill is
not a special case, and only the memory and a method's declared state can pass from one phase to the
next.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from accelerate import Accelerator

from benchmark import metrics, report
from benchmark.data import Samples
from benchmark.devices import make_accelerator, same_digits, tracking
from benchmark.display import Display
from benchmark.memory import Memory
from benchmark.method import Method, PhaseData
from benchmark.outcome import write_outcome
from benchmark.plan import Plan
from benchmark.randomness import seeded
from benchmark.results.schema import MemoryLedger, PhaseResult
from benchmark.run_folder import PhaseRecord, RunFolder
from benchmark.training import predict, train_phase

_LOGGED = 10  # steps from one loss that a tracker is told to the next
_MAKE, _BEGIN, _END, _SHOW = 10, 11, 12, 13  # names of random streams


def run_cell(plan: Plan, display: Display) -> Path:
    """Run one method with one seed, or go on with it, and return its folder.

    Raises:
        UserError: The folder needs the user's hand.
    """
    config = plan.config
    accelerator = make_accelerator(config)
    main = accelerator.is_main_process
    folder = RunFolder(config.folder(), writes=main)
    with folder.locked(), same_digits(accelerator.device):
        if config.overwrite:
            folder.clear()
        accelerator.wait_for_everyone()
        folder.agree(**plan.facts(accelerator.device))
        folder.reload()
        if folder.is_complete():
            display.already_done(folder.path)
        else:
            _learn_all(plan, folder, accelerator, display)
        if main and not (folder.path / report.REPORT).exists():
            display.wrote("report", report.write_report(folder.path))
        accelerator.wait_for_everyone()
    return folder.path


def _learn_all(plan: Plan, folder: RunFolder, accelerator: Accelerator, display: Display) -> None:
    display.start(plan, len(folder.done))
    with tracking(accelerator, plan.config):
        experiment = Experiment(plan, folder, accelerator, display)
        for index in range(len(folder.done), len(plan.sizes)):
            experiment.learn(index)
    if accelerator.is_main_process:
        write_outcome(plan, folder)


class Experiment:
    """A run under way."""

    def __init__(
        self, plan: Plan, folder: RunFolder, accelerator: Accelerator, display: Display
    ) -> None:
        """Take up the run in `folder` where it stopped."""
        self.plan = plan
        self.folder = folder
        self.accelerator = accelerator
        self.display = display
        self.context = plan.context(
            accelerator.device, accelerator.process_index, accelerator.num_processes
        )
        self._agreed = False

    def learn(self, index: int) -> None:
        """Prepare, train, choose exemplars, evaluate, commit."""
        clock, resumed = _Clock(), self.folder.begin(index)
        self.display.stage(index, "looking at the new samples")
        method = self._method(index)
        memory = self.folder.memory(self.plan.budget)
        phase = self._phase(index)
        with seeded(self.context.rng(_BEGIN, index)):
            method.begin_phase(phase, memory)
        clock.lap("prepare")

        steps = self._train(method, phase, memory)
        clock.lap("train")

        self.display.stage(index, "choosing exemplars")
        method.model.eval()
        memory.open_phase(index, phase.num_seen, set(phase.train.file_names))
        if not method.sees_all_data:
            with seeded(self.context.rng(_END, index)):
                method.end_phase(phase, memory)
        state = method.state()  # before any test sample is looked at
        self.accelerator.wait_for_everyone()  # the main process has written the exemplars
        clock.lap("select")

        self.display.stage(index, "evaluating")
        test = self.plan.data.test.of_classes(range(phase.num_seen))
        predictions = predict(method, test, phase.num_seen, self.accelerator)
        clock.lap("evaluate")

        with seeded(self.context.rng(_SHOW, index)):
            gallery = method.gallery(phase, memory)
        record = PhaseRecord(
            result=self._result(phase, memory, test, predictions, steps, clock.laps, resumed),
            predictions=predictions,
            stored=memory.selected(),
            memory=memory.manifest(),
            outside_memory={k: t.numel() * t.element_size() for k, t in state.items()},
            trainable_parameters=sum(
                p.numel() for p in method.model.parameters() if p.requires_grad
            ),
            gallery=gallery,
        )
        self.folder.commit(record, state)
        self.accelerator.wait_for_everyone()
        self.folder.reload()
        self.accelerator.log(_scalars(record), step=self._steps())
        self.display.phase_done(index, self.folder.done[index])

    def _method(self, index: int) -> Method:
        with seeded(self.context.rng(_MAKE)):
            method = self.plan.method(self.context, self.plan.settings)
        if not self._agreed:
            self.folder.agree(backbone=method.provenance())
            self._agreed = True
        if index and not method.sees_all_data:
            method.load_state(self.folder.tensors())
        return method

    def _phase(self, index: int) -> PhaseData:
        new = self.plan.classes(index)
        wanted = range(new.stop) if self.plan.method.sees_all_data else new
        return PhaseData(index, new, new.stop, self.plan.data.train.of_classes(wanted))

    def _train(self, method: Method, phase: PhaseData, memory: Memory) -> int:
        """Train and return the number of steps."""
        index, before = phase.index, self._steps()

        def progress(step: int, steps: int, loss: float) -> None:
            self.display.step(index, step, steps, loss)
            if step % _LOGGED == 0 or step == steps:
                self.accelerator.log({"loss": loss}, step=before + step)

        return train_phase(
            method,
            phase,
            memory.exemplars(),
            self.plan.config,
            self.accelerator,
            self.folder.partial(index),
            progress,
        )

    def _steps(self) -> int:
        """Training steps of the finished phases."""
        return sum(record["result"]["steps"] for record in self.folder.done)

    def _result(
        self,
        phase: PhaseData,
        memory: Memory,
        test: Samples,
        predictions: list[int],
        steps: int,
        seconds: dict[str, float],
        resumed: int,
    ) -> PhaseResult:
        plan = self.plan
        owner = [t for t, size in enumerate(plan.sizes) for _ in range(size)]
        row = metrics.phase_accuracies(test.labels, predictions, owner, phase.index + 1)
        sizes = [len(test.of_classes(plan.classes(t))) for t in range(phase.index + 1)]
        return {
            "index": phase.index,
            "classes": list(phase.new),
            "train": len(phase.train.of_classes(phase.new)),
            "test": sizes[-1],
            "steps": steps,
            "seconds": seconds,
            "resumed": resumed,
            "accuracy": {
                "per_phase": row,
                "sample_weighted": metrics.sample_weighted_accuracy(row, sizes),
                "phase_weighted": metrics.phase_weighted_accuracy(row),
            },
            "memory": cast(MemoryLedger, memory.ledger()),
        }


class _Clock:
    """Seconds spent on each part of a phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _scalars(record: PhaseRecord) -> dict[str, Any]:
    result = record["result"]
    return {
        "phase": result["index"] + 1,
        "accuracy": result["accuracy"]["sample_weighted"],
        "exemplars": result["memory"]["exemplars"],
        "memory_bytes": result["memory"]["bytes"],
    }
