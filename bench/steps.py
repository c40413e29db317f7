"""What the harness adds: a step beside a plain PyTorch loop, a late phase beside an early one.

A plain loop trains a second object of the same method on the same batches with the same optimizer
and schedule, a step of the one after a step of the other in one process, so that a busy machine
slows both; in the end both have the same weights, to the last digit. Then the second and the last
phase of a finished run are learnt again in turn, each from a copy of what lay on disk before it:
without a memory, and with one of fixed size, so that there is as much to decode. Test and
predictions are left out: they grow with the classes seen.

    python bench/steps.py [--steps 60] [--repeats 7]
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmark import isolation, phase
from benchmark.checkpoint import Checkpoint
from benchmark.config import RunConfig
from benchmark.devices import find_place, join
from benchmark.memory import Memory
from benchmark.memory_store import MemoryStore
from benchmark.method import Method, PhaseData
from benchmark.plan import Plan, make_plans
from benchmark.run import run
from benchmark.run_folder import RunFolder
from benchmark.training import train_phase

MOST = 1.05
#: Of one thread, so that waiting for other programs does not count.
clock = time.process_time


class PlainLoop:
    """A training loop as anybody writes it: what a method computes and nothing else."""

    def __init__(self, method: Method, train: Any, plan: Plan) -> None:
        self.method, self.train, self.parts = method, train, plan.config.micro_batches
        groups = method.parameter_groups(plan.recipe.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=plan.recipe.learning_rate, betas=(0.9, 0.98))
        steps = plan.config.steps or 0
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: method.schedule(step, steps)
        )
        method.model.train()

    def step(self, parts: Sequence[Sequence[int]]) -> float:
        """One step on the samples of these numbers, in as many micro-batches."""
        size, total = sum(map(len, parts)), 0.0
        self.optimizer.zero_grad()
        for part in parts:
            batch = self.method.collate([self.train[i] for i in part], self.method.context.rng("x"))
            loss = self.method.loss(batch) * (len(part) / size)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        self.optimizer.step()
        self.schedule.step()
        return total


def step_by_step(job: tuple[Plan, Path], tell: isolation.Report) -> tuple[list[float], ...]:
    """Seconds of each step of the harness and of the plain loop, and of writing a checkpoint.

    Raises:
        AssertionError: They did not do the same work.
    """
    plan, folder = job
    accelerator = join(plan.config, find_place(plan.config), "bench")
    memory = Memory(MemoryStore(folder / "memory", plan.budget))
    train = plan.data.train.of_classes(plan.classes(0))
    data = PhaseData(0, plan.classes(0), plan.sizes[0], train, plan.config.steps or 0)
    ours, theirs = (plan.method(plan.context(accelerator.device), plan.settings) for _ in "ab")
    for method in (ours, theirs):
        method.begin_phase(data, memory)
        method.collate(list(train), method.context.rng("warm"))  # samples are decoded once a phase
    numbers = {name: number for number, name in enumerate(train.file_names)}
    parts: list[list[int]] = []
    collate = ours.collate

    def noting(items: Any, rng: Any) -> Any:
        parts.append([numbers[item.file_name] for item in items])
        return collate(items, rng)

    ours.collate = noting  # type: ignore[method-assign]
    plain = PlainLoop(theirs, train, plan)
    harness: list[float] = []
    beside: list[float] = []
    begun = clock()

    def report(stage: str, step: int, steps: int, loss: float) -> None:
        nonlocal begun
        tell("step", 0, stage, step, steps, loss)
        harness.append(clock() - begun)
        begun = clock()
        same = plain.step(parts)
        beside.append(clock() - begun)
        assert abs(same - loss) <= 1e-6 * abs(loss), f"step {step}: {loss} beside {same}"
        parts.clear()
        begun = clock()

    saved = Checkpoint(folder / "amid", "", ours)
    train_phase(ours, data, memory, plan.recipe, plan.config, accelerator, saved, report)
    state = theirs.state()
    assert all(torch.equal(value, state[name]) for name, value in ours.state().items())
    saved = Checkpoint(folder / "amid", "", ours)
    saved.begin_stage(plain.optimizer, accelerator, 2)
    saved.step_done(0.0)
    written = []
    for _ in range(5):
        begun = clock()
        saved.write()
        written.append(clock() - begun)
    return harness, beside, written


def steps(count: int, output: Path) -> None:
    """Print a step of the harness beside one of the plain loop."""
    config = RunConfig(method=("replay",), steps=count, device="cpu", output=output)
    (plan,) = make_plans(config)
    told: list[Any] = []
    job = (plan, output)
    harness, plain, written = isolation.isolated(step_by_step, job, lambda *what: told.append(what))
    assert len(told) == count
    ours, theirs = (statistics.median(times[3:]) for times in (harness, plain))
    print(f"a step of the plain loop         {1000 * theirs:8.2f} ms")
    print(f"a step of the harness            {1000 * ours:8.2f} ms   {verdict(ours / theirs)}")
    often = statistics.median(written) / config.checkpoint_seconds
    print(f"a checkpoint                     {1000 * statistics.median(written):8.2f} ms   "
          f"{often:.5f} of the time, one every {config.checkpoint_seconds:g} s")  # fmt: skip


def verdict(ratio: float) -> str:
    """A ratio and whether it is small enough."""
    return f"{ratio:.3f} times   <= {MOST} {'ok' if ratio <= MOST else 'MISSED'}"


def learn_again(job: phase.LearnJob, tell: isolation.Report) -> float:
    """Seconds of learning a phase: preparing, training, choosing exemplars, writing."""
    begun = clock()
    phase.learn(job, tell)
    return clock() - begun


def late_phases(config: RunConfig, repeats: int) -> None:
    """Print the last phase of a run beside its second."""
    (plan,) = make_plans(config)
    last, commit = len(plan.sizes) - 1, RunFolder.commit
    kept = {index: config.output / f"before-{index}" for index in (1, last)}

    def copying(folder: RunFolder, record: Any) -> None:
        commit(folder, record)
        if (index := len(folder.done)) in kept:
            shutil.copytree(folder.path, kept[index])

    RunFolder.commit = copying  # type: ignore[method-assign, assignment]
    try:
        run(config)
    finally:
        RunFolder.commit = commit  # type: ignore[method-assign]
    times: dict[int, list[float]] = {index: [] for index in kept}
    for number in range(repeats):
        for index, before in kept.items():
            folder = config.output / f"again-{index}-{number}"
            shutil.copytree(before, folder)
            new = plan.classes(index)
            job = phase.LearnJob(
                cell=plan.cell, place=find_place(config), folder=folder, index=index,
                samples=plan.data.train.of_classes(new).apart(), new=new,
                before=RunFolder(before, writes=False).read_done()[-1], resumed=0,
                steps=plan.steps(index),
            )  # fmt: skip
            imports = plan.method.imports
            times[index].append(isolation.isolated(learn_again, job, lambda *_: None, imports))
    early, late = (statistics.median(times[index]) for index in kept)
    words = f"{config.method[0]}, phase {last + 1} beside phase 2"
    print(f"{words:<32} {late:8.2f} s beside {early:.2f} s   {verdict(late / early)}")


def main() -> int:
    """Print the measurements."""
    command = argparse.ArgumentParser(description="Time what the harness adds to training.")
    command.add_argument("--steps", type=int, default=60)
    command.add_argument("--repeats", type=int, default=7)
    given = command.parse_args()
    torch.set_num_threads(1)
    from baselines.learner import ViltMethod

    for module in ViltMethod.imports:
        importlib.import_module(module)
    here = importlib.import_module("bench.steps")  # as other processes know this file
    with tempfile.TemporaryDirectory() as folder:
        here.steps(given.steps, Path(folder) / "steps")
        base = RunConfig(device="cpu", growth="total", output=Path(folder))
        for method in ("finetune", "replay"):
            output = base.output / method
            config = dataclasses.replace(base, method=(method,), output=output)
            here.late_phases(config, given.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
