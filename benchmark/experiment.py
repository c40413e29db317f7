"""One run: a method learns the phases one after another under a memory budget.

Every phase is learned in a process of its own and tested in another one, each from what lies on
disk, and ends with one atomic file. So resuming after a kill is not a special case, and only the
memory and a method's declared state can pass from one phase to the next.

The main loop from top to bottom:

    run.run                     every method and seed: parse, check
      plan.make_plans           open the data, order and divide the classes, fix the budget
      experiment.run_cell       the phases that are not done; after the last one, result.json
        phase.learn             in a process: load state and memory, train, select, save
          training.train_phase  stages and steps; these call the hooks of method.Method
        phase.test              in a second process: load, predict
        RunFolder.commit        one atomic file per phase; resuming counts these files
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmark import metrics
from benchmark.devices import Log, Place, tracking
from benchmark.display import Display
from benchmark.isolation import isolated
from benchmark.older_runs import age, finished_elsewhere
from benchmark.phase import LearnJob, TestJob, learn, meet, test
from benchmark.plan import Plan
from benchmark.randomness import stream
from benchmark.results.schema import MemoryLedger, PhaseRecord
from benchmark.run_folder import RunFolder
from benchmark.run_records import Learnt
from benchmark.write_results import restore, write_results
from mm_imagenet_r.errors import UserError

_LOGGED = 10  # steps between two losses that a tracker gets


def run_cell(plan: Plan, place: Place, display: Display) -> Path:
    """Run one method with one seed, or resume it, and return its folder.

    Raises:
        UserError: The folder needs the user's hand, or the method breaks its contract.
    """
    config = plan.config
    older = None if config.overwrite else finished_elsewhere(config, plan.data.data_sha256)
    if older is not None:
        display.already_done(older, age(older, plan))
        return older
    folder = RunFolder(config.folder(), writes=place.main, note=display.note)
    with folder.locked(), tracking(config, place) as log:
        if config.overwrite:
            folder.clear()
        if place.world > 1:
            isolated(meet, (config, place), display.report)
        folder.check_identity(**plan.facts(place))
        if folder.is_complete():
            display.notes(restore(plan, folder) if place.main else ())
            display.already_done(folder.path, age(folder.path, plan))
        else:
            folder.reload()
            experiment = Experiment(plan, folder, place, display, log)
            display.start(plan, len(folder.done))
            for index in range(len(folder.done), plan.num_learnt):
                experiment.learn(index)
            if place.main:
                write_results(plan, folder)
    return folder.path


class Experiment:
    """A run under way."""

    def __init__(
        self, plan: Plan, folder: RunFolder, place: Place, display: Display, log: Log
    ) -> None:
        """Resume the run in `folder` where it stopped."""
        self.plan = plan
        self.folder = folder
        self.place = place
        self.display = display
        self.log = log

    def learn(self, index: int) -> None:
        """Learn a phase, test it, commit."""
        learnt = self.folder.learnt(index) or self._learn(index)
        begun = time.perf_counter()
        predictions, invariance = self._test(index, learnt)
        learnt["seconds"]["evaluate"] = round(time.perf_counter() - begun, 3)
        record = self._record(index, learnt, predictions, invariance)
        self.folder.commit(record)
        sizes = [phase["result"]["test"] for phase in self.folder.done]
        accuracy = metrics.sample_weighted_accuracy(
            record["result"]["accuracy"]["per_phase"], sizes
        )
        memory = record["result"]["memory"]
        scalars = {"exemplars": memory["exemplars"], "memory_bytes": memory["bytes"]}
        self.log({"phase": index + 1, "accuracy": accuracy, **scalars}, self._steps())
        self.display.phase_done(index, record, accuracy)

    def _learn(self, index: int) -> Learnt:
        plan, folder = self.plan, self.folder
        new, everything = plan.classes(index), plan.data.train
        wanted = range(new.stop) if plan.method.sees_all_data else new
        job = LearnJob(
            cell=plan.cell,
            place=self.place,
            folder=folder.path,
            index=index,
            new=new,
            samples=everything.of_classes(wanted).apart(),
            before=folder.done[-1] if index else None,
            resumed=folder.begin(index),
            steps=plan.steps(index),
        )
        before = self._steps()

        def told(event: str, *what: Any) -> None:
            self.display.report(event, *what)
            if event == "step":
                _, _, step, steps, loss = what
                if step % _LOGGED == 0 or step == steps:
                    self.log({"loss": loss}, before + step)

        return isolated(learn, job, told, plan.method.imports)

    def _test(self, index: int, learnt: Learnt) -> tuple[dict[str, Any], Any]:
        """Predictions by classifier in the order of the test data, and the invariance check."""
        self.display.stage(index, "testing")
        seen = self.plan.data.test.of_classes(range(self.plan.classes(index).stop))
        order = stream(self.plan.config.seeds[0], "harness/test order", index).permutation(
            len(seen)
        )
        job = TestJob(
            cell=self.plan.cell,
            place=self.place,
            folder=self.folder.path,
            index=index,
            num_seen=self.plan.classes(index).stop,
            samples=seen.select(order).apart(anonymous=True),
            memory=learnt["memory"],
            state=learnt["state"],
        )
        found = isolated(test, job, self.display.report, self.plan.method.imports)
        former = list(self.folder.done[0]["predictions"]) if index else list(found.predictions)
        if list(found.predictions) != former:
            raise UserError(
                f"{self.plan.config.method[0]}, phase {index + 1}, test: predict returned scores "
                f"of {', '.join(found.predictions)}, but of {', '.join(former)} before: a method "
                "has the same classifiers in every phase"
            )
        back = order.argsort()
        predictions = {n: np.array(p, dtype=np.int32)[back] for n, p in found.predictions.items()}
        return predictions, found.invariance

    def _steps(self) -> int:
        """Training steps of the finished phases."""
        return sum(
            stage["steps"] for record in self.folder.done for stage in record["result"]["stages"]
        )

    def _record(
        self, index: int, learnt: Learnt, predictions: dict[str, Any], invariance: Any
    ) -> PhaseRecord:
        plan, new = self.plan, self.plan.classes(index)
        owner = [t for t, size in enumerate(plan.sizes) for _ in range(size)]
        labels = plan.data.test.of_classes(range(new.stop)).labels
        rows = {
            name: metrics.phase_accuracies(labels, guesses, owner, index + 1)
            for name, guesses in predictions.items()
        }
        own, *others = rows
        return {
            "result": {
                "index": index,
                "classes": list(new),
                "train": len(plan.data.train.of_classes(new)),
                "test": len(plan.data.test.of_classes(new)),
                "stages": learnt["stages"],
                "loss": learnt["loss"],
                "seconds": learnt["seconds"],
                "resumed": learnt["resumed"],
                "accuracy": {"per_phase": rows[own]},
                "other_classifiers": {name: {"per_phase": rows[name]} for name in others},
                "memory": cast(MemoryLedger, learnt["ledger"]),
                "outside_memory": learnt["outside_memory"],
                "trainable_parameters": learnt["trainable_parameters"],
                "invariance": invariance,
            },
            "predictions": predictions,
            "stored": learnt["stored"],
            "memory": learnt["memory"],
            "gallery": learnt["gallery"],
            "state": learnt["state"],
            "hardware": learnt["hardware"],
        }
