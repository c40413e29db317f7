"""Where the training of a phase stands: what a kill may interrupt and the same command resumes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from benchmark import run_files
from benchmark.errors import ContractError
from benchmark.method import Method
from benchmark.results.schema import StageResult
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import write_atomic

_POINTS = 20  # of the loss curve of a stage


@dataclass
class Training:
    """What results say of the training of a phase."""

    #: Name, items and steps of each finished stage
    stages: list[StageResult] = field(default_factory=list)
    #: Points of their loss curves: step of the phase, mean loss since the point before
    loss: list[list[float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # loss of each step of the stage under way
    parameters: int = 0  # most that were trained in a stage

    @property
    def steps(self) -> int:
        """Steps of all finished stages."""
        return sum(stage["steps"] for stage in self.stages)

    def finish_stage(self, result: StageResult) -> None:
        """Take a stage into the account."""
        self.loss += curve(self.losses, self.steps)
        self.stages.append(result)
        self.losses = []


def curve(losses: list[float], before: int) -> list[list[float]]:
    """About twenty points of a loss curve: number of the step, mean loss since the last point.

    >>> curve([4.0, 2.0, 1.0], before=10)
    [[11, 4.0], [12, 2.0], [13, 1.0]]
    >>> curve([1.0] * 45, before=0)[:2]
    [[3, 1.0], [6, 1.0]]
    """
    every = -(-len(losses) // _POINTS)
    parts = [losses[at : at + every] for at in range(0, len(losses), every)] if losses else []
    ends = (before + min((n + 1) * every, len(losses)) for n in range(len(parts)))
    return [[end, round(sum(part) / len(part), 5)] for end, part in zip(ends, parts, strict=True)]


class Checkpoint:
    """The tensors at the end of each finished stage, and all that changes within the current one.

    A method's code between two stages is not recorded but run again, from the same tensors.

    Attributes:
        path: Its file.
        finished: What the method was at the end of each finished stage.
        step: Steps done of the stage under way.
        training: What results say of all steps so far.
        dropped: Whether a file was there that is not as it was written: training starts afresh.
    """

    def __init__(self, path: Path, place: str, method: Method) -> None:
        """Read what was saved of a phase at its `place` (see `run_files`), or start afresh."""
        self.path = path
        self._place = place
        self._method = method
        self._parts: dict[str, Any] = {}
        found = _read(path, place) if path.exists() else {}
        self.dropped = found is None
        saved = found or {"finished": [], "step": 0, "amid": {}, "training": Training()}
        self.finished: list[dict[str, Any]] = saved["finished"]
        self.step: int = saved["step"]
        self.training: Training = saved["training"]
        self._amid: dict[str, Any] = saved["amid"]

    def restore(self, stage: int) -> None:
        """Make the method what it was at the end of a finished stage; UserError as below."""
        with self._fitting():
            _load(self._method, self.finished[stage])

    def begin_stage(self, optimizer: Any, accelerator: Accelerator, steps: int) -> None:
        """Go back to where the stage under way was interrupted, if it was.

        With fp16 the loss is multiplied by a scale that adapts; each stage starts with the same.

        Raises:
            UserError: The checkpoint is of another training.
        """
        self._parts = {"optimizer": optimizer}
        if accelerator.scaler is not None:
            fresh = torch.amp.GradScaler(accelerator.device.type)
            accelerator.scaler.load_state_dict(fresh.state_dict())
            self._parts["scaler"] = accelerator.scaler
        if not self._amid:
            return
        with self._fitting():
            if not 0 < self.step < steps:
                raise ValueError(f"step {self.step} of {steps}")
            _load(self._method, self._amid)
            for name, part in self._parts.items():
                part.load_state_dict(self._amid[name])
        self._amid = {}

    def step_done(self, loss: float) -> None:
        """Count a step of the stage under way."""
        self.step += 1
        self.training.losses.append(loss)

    def finish_stage(self, result: StageResult) -> None:
        """The stage under way is trained."""
        self.training.finish_stage(result)
        self.finished.append(_tensors(self._method))
        self.step, self._parts = 0, {}

    @contextlib.contextmanager
    def _fitting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # tensors that do not fit raise whatever they lead to
            raise UserError(
                f"{self.path} is of another training: delete it to train this phase from its "
                "beginning"
            ) from error

    def write(self) -> None:
        """Save atomically."""
        amid: dict[str, Any] = {}
        if self.step:
            amid = _tensors(self._method)
            amid |= {name: part.state_dict() for name, part in self._parts.items()}
        saved = {
            "finished": self.finished,
            "step": self.step,
            "training": vars(self.training),
            "amid": amid,
        }
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        write_atomic(self.path, run_files.seal_bytes(buffer.getvalue(), self._place))


def _tensors(method: Method) -> dict[str, Any]:
    parts = {"state": method.state(), "transient": method.transient()}
    for part, tensors in parts.items():
        for name, value in tensors.items():
            if not isinstance(value, torch.Tensor):
                raise ContractError(
                    f"{part} returned {name!r}: {type(value).__name__}, not a tensor"
                )
    return {
        part: {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        for part, tensors in parts.items()
    }


def _load(method: Method, tensors: dict[str, Any]) -> None:
    method.load_state(tensors["state"])
    method.load_transient(tensors["transient"])


def _read(path: Path, place: str) -> dict[str, Any] | None:
    """What was written, on the CPU; None if that is not what is there."""
    try:
        data = run_files.unseal_bytes(run_files.read(path), place)
        found: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        training = Training(**found["training"])
        if len(training.losses) != found["step"] or bool(found["amid"]) != bool(found["step"]):
            return None
        return {**found, "finished": list(found["finished"]), "training": training}
    except Exception:  # whatever it is, nothing of it is used
        return None
