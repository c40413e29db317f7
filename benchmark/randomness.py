"""Random streams by name, and global generators seeded for a while.

Every draw of the harness and of a method comes from a stream that its purpose and numbers name, so
it does not depend on what was drawn before. Nothing here draws from the global generators of
Python, NumPy and torch, but a method may.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A generator for a purpose and its numbers; a method's purposes begin with `method/`.

    >>> first, second = (stream(0, "harness/order", 1, n).random() for n in (0, 1))
    >>> first == stream(0, "harness/order", 1, 0).random() != second
    True
    """
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    # Their number belongs to it: numpy takes (1,) and (1, 0) for the same seed.
    return np.random.default_rng([seed, name, len(numbers), *numbers])


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
