"""Global generators, seeded for a while: nothing here draws from them, but a method may."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed the generators of Python, NumPy and torch from `rng`, and put them back afterwards.

    What a method draws inside is then the same after a kill, and nothing outside notices it.

    >>> with seeded(np.random.default_rng(3)):
    ...     first = random.random(), np.random.rand(), torch.rand(()).item()
    >>> with seeded(np.random.default_rng(3)):
    ...     first == (random.random(), np.random.rand(), torch.rand(()).item())
    True
    """
    python, numpy = random.getstate(), np.random.get_state()
    # Not initialised: none is used, or this is a worker, which must not touch it.
    initialized = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.cuda.current_device()] if initialized else []
    seed = int(rng.integers(2**63))
    try:
        with torch.random.fork_rng(devices=devices):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed(seed)
            if torch.backends.mps.is_available():
                torch.mps.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
