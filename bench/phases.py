"""What a phase costs beyond its work: its two processes, and the second prediction of 64 samples.

Starting a process that only imports the model's module is timed for each way of starting one.
Reading the method again for the test, and predicting with and without the second prediction, are
timed in turn on a finished run of the embedded data, and stand beside its last phase.

    python bench/phases.py [--repeats 7]
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark import isolation
from benchmark.config import RunConfig

#: What a process imports that has nothing imported yet.
MODEL = "transformers.models.vilt.modeling_vilt"


def only_import(module: str, tell: isolation.Report) -> None:
    """The work of a process that is only started."""
    importlib.import_module(module)


def seconds(work: Callable[[], Any]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def processes(repeats: int, imports: tuple[str, ...]) -> None:
    for name in ("fork", "forkserver", "spawn"):
        isolation.start_method = lambda name=name: name  # type: ignore[misc]
        # By the name of this file as a module: another process does not know it as __main__.
        work = importlib.import_module("bench.phases").only_import
        times = [
            seconds(lambda: isolation.isolated(work, MODEL, lambda *_: None, imports))  # noqa: B023
            for _ in range(repeats if name != "spawn" else 2)
        ]
        first, rest = times[0], statistics.median(times[1:])
        print(f"process by {name:<11} first {1000 * first:7.0f} ms, then {1000 * rest:7.1f} ms")


def testing(repeats: int, output: Path) -> None:
    import torch

    from benchmark import evaluation, results
    from benchmark.devices import find_place, join
    from benchmark.phase import TestJob, restore
    from benchmark.plan import make_plans
    from benchmark.run import run
    from benchmark.run_folder import RunFolder

    torch.set_num_threads(1)
    config = RunConfig(method=("replay",), epochs=1, phases=4, device="cpu", output=output)
    (folder,) = run(config)
    (plan,) = make_plans(config)
    record, place = RunFolder(folder, writes=False).read_done()[-1], find_place(config)
    job = TestJob(
        cell=plan.cell, place=place, folder=folder, index=3, num_seen=40,
        samples=plan.data.test.apart(anonymous=True), memory=record["memory"],
        state=record["state"],
    )  # fmt: skip
    accelerator = join(config, place, "bench")
    method = restore(job, accelerator)

    def predict(again: int) -> Any:
        evaluation._AGAIN = again
        return evaluation.evaluate(method, job.samples, 40, accelerator, 3)

    parts = (lambda: restore(job, accelerator), lambda: predict(0), lambda: predict(64))
    rounds = [[seconds(part) for part in parts] for _ in range(repeats)]
    made, plain, checked = zip(*rounds, strict=True)
    phase = results.read(folder)["phases"][-1]["seconds"]
    extra = statistics.median(b - a for a, b in zip(plain, checked, strict=True))
    ratio = statistics.median(b / a for a, b in zip(plain, checked, strict=True))
    print(f"method made again for the test   {statistics.median(made):.3f} s")
    print(f"predicting 800 samples           {statistics.median(plain):.3f} s")
    print(f"64 of them again                 {extra:.3f} s ({ratio:.3f} times the prediction)")
    print(f"the phase itself (one epoch)     {sum(phase.values()):.3f} s")


def main() -> int:
    """Print the measurements."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--repeats", type=int, default=7)
    given = command.parse_args()
    from baselines.learner import ViltMethod

    for module in ViltMethod.imports:
        importlib.import_module(module)
    way = isolation.start_method
    processes(given.repeats, ViltMethod.imports)
    isolation.start_method = way
    isolation.computes_nothing()
    isolation._computes_nothing = True
    with tempfile.TemporaryDirectory() as folder:
        testing(given.repeats, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
