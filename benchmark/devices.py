"""Where a run computes and where its curves go: device, processes, threads, precision, trackers.

The process of the command line plans and waits; it joins no group and computes nothing. Each phase
is computed in a process of its own, which becomes one of those that torchrun or accelerate started.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, clear_environment
from torch._C._distributed_c10d import PrefixStore, TCPStore

from benchmark.config import RunConfig
from benchmark.threads import choose
from mm_imagenet_r.errors import UserError

#: Called with figures to plot, and the training step they belong to.
Log = Callable[[dict[str, Any], int], None]


@dataclass(frozen=True)
class Place:
    """Where this process computes."""

    device: str  # `cpu`, `cuda` or `mps`
    rank: int = 0  # its number among the processes, and theirs
    world: int = 1
    threads: int | None = None  # on the CPU; None leaves the number to torch
    notes: tuple[str, ...] = ()  # what the user should know about it

    @property
    def main(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0


def find_place(config: RunConfig) -> Place:
    """Say where a configuration is going to be computed, without computing anything.

    Raises:
        UserError: The configuration cannot run on this machine, or not in so many processes.
    """
    accelerators = _accelerators()
    if config.device not in ("auto", "cpu", *accelerators):
        raise UserError(
            f"--device {config.device}: this machine has {', '.join(['cpu', *accelerators])}"
        )
    device = config.device if config.device != "auto" else (*accelerators, "cpu")[0]
    if device == "cpu" and config.precision == "fp16":
        raise UserError("--precision fp16 needs a GPU: give --precision bf16 or no")
    if config.tracker != "none" and importlib.util.find_spec(config.tracker) is None:
        raise UserError(
            f"--tracker {config.tracker} is not installed: "
            f"pip install 'mm-imagenet-r[{config.tracker}]'"
        )
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")  # the launcher's own default
    if launched not in ("no", config.precision):
        raise UserError(
            f"the launcher was given --mixed_precision {launched}, the run --precision "
            f"{config.precision}: give both the same"
        )
    rank, world = (int(os.environ.get(name, n)) for name, n in (("RANK", 0), ("WORLD_SIZE", 1)))
    if config.micro_batches % world:
        raise UserError(
            f"{world} processes cannot share {config.micro_batches} micro-batches: "
            f"give --micro-batches {world} or a multiple of it"
        )
    if config.jobs > 1 and world > 1:
        raise UserError(
            f"--jobs {config.jobs}: a launcher has started {world} processes for one run at a "
            "time; leave out the one or the other"
        )
    threads, note = choose(config, device, world)
    return Place(device, rank, world, threads, (note,) if note else ())


def join(config: RunConfig, place: Place, meeting: str) -> Accelerator:
    """Become the process of a phase: join the others, choose device and precision.

    Args:
        config: Of one cell.
        place: From `find_place`.
        meeting: The same on all processes, a different one for each phase that is computed.

    Raises:
        UserError: The precision is not available here.
    """
    if place.threads is not None:
        torch.set_num_threads(place.threads)
    AcceleratorState._reset_state(reset_partial_state=True)
    if place.world > 1 and not torch.distributed.is_initialized():
        # torchrun keeps the store for all phases and restarts: each needs names of its own in it.
        served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            place.world,
            is_master=place.main and not served,
        )
        torch.distributed.init_process_group(
            "nccl" if place.device == "cuda" else "gloo",
            store=PrefixStore(f"{attempt}/{meeting}", store),
            rank=place.rank,
            world_size=place.world,
        )
    try:
        # Without cpu=True, processes on a machine without GPU do not meet.
        return Accelerator(
            cpu=place.device == "cpu",
            mixed_precision=config.precision,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
    except ValueError as error:
        raise UserError(f"--precision {config.precision}: {error} Give --precision no") from error


@contextlib.contextmanager
def tracking(config: RunConfig, place: Place) -> Iterator[Log]:
    """Start the tracker, if one is asked for, and close it whatever happens."""
    if config.tracker == "none" or not place.main:
        yield lambda values, step: None
        return
    AcceleratorState._reset_state(reset_partial_state=True)
    with clear_environment():  # else it would wait for the other processes
        PartialState(cpu=True)
    accelerator = Accelerator(
        cpu=True,
        log_with=config.tracker,
        project_dir=config.folder() if config.tracker == "tensorboard" else None,
    )
    name = f"{config.method[0]}-seed{config.seeds[0]}-{config.fingerprint()[:8]}"
    plain = {k: v if isinstance(v, (int, float)) else str(v) for k, v in config.to_json().items()}
    accelerator.init_trackers(
        "tracker" if config.tracker == "tensorboard" else "mm-imagenet-r",
        config=plain,
        init_kwargs={
            "trackio": {"name": name, "resume": "allow"},
            "wandb": {"name": name, "id": config.fingerprint()[:16], "resume": "allow"},
        },
    )
    try:
        yield lambda values, step: accelerator.log(values, step=step)
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()


@contextlib.contextmanager
def same_digits(device: torch.device) -> Iterator[None]:
    """Let a GPU add up in the same order every time; torch warns of a kernel that cannot."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def _accelerators() -> list[str]:
    # Asked of the driver: CUDA itself cannot be used in a process that is forked after it.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    found = ["cuda"] if torch.cuda.is_available() else []
    return found + (["mps"] if torch.backends.mps.is_available() else [])
