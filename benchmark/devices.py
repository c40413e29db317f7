"""Where a run computes and where its curves go: device, processes, precision, trackers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from benchmark.config import RunConfig
from mm_imagenet_r.errors import UserError


def join_processes(config: RunConfig) -> PartialState:
    """Become one of the processes that torchrun or accelerate started, or the only one.

    Raises:
        UserError: The configuration cannot run on this machine, or not in so many processes.
    """
    accelerators = _accelerators()
    if config.device not in ("auto", "cpu", *accelerators):
        raise UserError(
            f"--device {config.device}: this machine has {', '.join(['cpu', *accelerators])}"
        )
    cpu = config.device == "cpu" or (config.device == "auto" and not accelerators)
    if cpu and config.precision == "fp16":
        raise UserError("--precision fp16 needs a GPU: give --precision bf16 or no")
    if config.tracker != "none" and importlib.util.find_spec(config.tracker) is None:
        raise UserError(
            f"--tracker {config.tracker} is not installed: "
            f"pip install -e '.[{config.tracker}]' in the folder of this project"
        )
    state = PartialState(
        cpu=cpu
    )  # without cpu=True, processes on a machine without GPU do not meet
    if config.micro_batches % state.num_processes:
        raise UserError(
            f"{state.num_processes} processes cannot share {config.micro_batches} micro-batches: "
            f"give --micro-batches {state.num_processes} or a multiple of it"
        )
    return state


def make_accelerator(config: RunConfig) -> Accelerator:
    """Device, precision, processes and trackers of one cell; nothing is moved or started by it."""
    AcceleratorState._reset_state()  # else all cells of a process must have the same precision
    tracker = None if config.tracker == "none" else config.tracker
    try:
        return Accelerator(
            cpu=PartialState().device.type == "cpu",
            mixed_precision=config.precision,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            log_with=tracker,
            project_dir=config.folder() if tracker == "tensorboard" else None,
        )
    except ValueError as error:
        raise UserError(f"--precision {config.precision}: {error} Give --precision no") from error


@contextlib.contextmanager
def tracking(accelerator: Accelerator, config: RunConfig) -> Iterator[None]:
    """Start the tracker, if one is asked for, and close it whatever happens."""
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
        yield
    finally:
        for tracker in accelerator.trackers:  # `end_training` would part the processes too
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
    found = ["cuda"] if torch.cuda.is_available() else []
    return found + (["mps"] if torch.backends.mps.is_available() else [])
