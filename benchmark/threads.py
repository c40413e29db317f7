"""How many CPU threads a run computes with, so that it is quick on a busy machine too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchmark.option_names import NAMED
from mm_imagenet_r.errors import pluralize

if TYPE_CHECKING:
    from benchmark.config import RunConfig


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def idle_cores() -> int:
    """How many of them nobody used during the last minute; at least one."""
    return max(1, cores() - round(os.getloadavg()[0]))


def choose(config: RunConfig, device: str, world: int) -> tuple[int | None, str]:
    """Number of threads of a process that computes (None: left to torch), and a note on it.

    Threads wait for each other after every layer. Where one of them shares its core with another
    program, all are as slow as that one: two threads on two cores, one of them busy, take more than
    twice as long as one thread. A small model gains little from the second thread even if idle.
    """
    if config.threads is not None:
        return config.threads, ""
    if device != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return None, ""
    if config.backbone in NAMED["backbone"]:
        why, count = "the tiny backbone gains little from more", 1
    else:
        idle = idle_cores()
        count = max(1, idle // world)
        why = f"{idle} of {pluralize(cores(), 'core')} were idle"
    return count, f"computing with {pluralize(count, 'thread')}: {why} (--threads N changes it)"
