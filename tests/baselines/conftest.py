"""Methods on the tiny ViLT, made as the harness makes them."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.vilt import Preprocessor, Vilt
from benchmark.data import Samples, open_data
from benchmark.load_method import make_settings
from benchmark.method import Method, MethodContext, PhaseData


@pytest.fixture(scope="session")
def context(vilt_folder: Path) -> MethodContext:
    """Six classes in three phases, on the CPU."""
    return MethodContext(
        num_classes=6,
        phase_sizes=(2, 2, 2),
        backbone=str(vilt_folder),
        tuning="ssf",
        max_text_length=None,
        batch_size=4,
        seed=0,
        device=torch.device("cpu"),
    )


@pytest.fixture(scope="module")
def read_once(vilt_folder: Path) -> Iterator[None]:
    """Methods get copies of the tiny backbone: reading it is half the time of making one."""

    @functools.cache
    def read(kind: Any, length: int | None) -> Any:
        return originals[kind](str(vilt_folder), max_text_length=length)

    def copied(kind: Any, name: str | Path, *, max_text_length: int | None = None) -> Any:
        if str(name) == str(vilt_folder):
            return copy.deepcopy(read(kind, max_text_length))
        return originals[kind](name, max_text_length=max_text_length)

    originals: dict[Any, Any] = {kind: kind.from_pretrained for kind in (Vilt, Preprocessor)}
    with pytest.MonkeyPatch.context() as patch:
        for kind in originals:
            patch.setattr(kind, "from_pretrained", functools.partial(copied, kind))
            kind.from_pretrained(vilt_folder)  # so that processes forked from here have it
        yield


@pytest.fixture(scope="session")
def build(context: MethodContext) -> Callable[..., Any]:
    """Return a function from a class, a preset and settings to a method."""

    def make(
        kind: type[Method], preset: str = "", *, seed: int = 0, tuning: str = "", **settings: object
    ) -> Method:
        given = {name: str(value) for name, value in settings.items()}
        tuning = tuning or kind.recipe.get("tuning", "ssf")
        own = dataclasses.replace(context, seed=seed, tuning=tuning)
        return kind(own, make_settings(kind, preset, given))

    return make


@pytest.fixture(scope="session")
def samples(coloured: Path) -> Samples:
    """Training samples of all six classes."""
    return open_data(str(coloured)).train


@pytest.fixture(scope="session")
def phases(samples: Samples) -> list[PhaseData]:
    """Three phases of two classes."""
    return [
        PhaseData(i, range(2 * i, 2 * i + 2), 2 * i + 2, samples.of_classes([2 * i, 2 * i + 1]))
        for i in range(3)
    ]
