"""Which task this is of how many, according to torchrun, Slurm or Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mm_imagenet_r.errors import UserError

#: A task's number, how many there are, and what that is by default; the first that is set counts.
_TASKS: Final = (
    ("RANK", "WORLD_SIZE", ""),  # torchrun
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", ""),  # which may start and step as it likes
    ("SLURM_PROCID", "SLURM_NTASKS", "1"),
    ("JOB_COMPLETION_INDEX", "WORLD_SIZE", ""),  # Kubernetes, where the user sets the count
)


def rank_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return number and count of tasks, (0, 1) without a scheduler; UserError if one is missing.

    >>> rank_of({"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "10",
    ...          "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4"})
    (1, 4)
    >>> rank_of({"JOB_COMPLETION_INDEX": "3", "WORLD_SIZE": "8"})
    (3, 8)
    >>> rank_of({})
    (0, 1)
    """
    for name, total, default in _TASKS:
        if name in environment:
            rank = _number(environment, name)
            if name == "SLURM_ARRAY_TASK_ID":
                step = max(_number(environment, "SLURM_ARRAY_TASK_STEP", "1"), 1)
                rank = (rank - _number(environment, "SLURM_ARRAY_TASK_MIN", "0")) // step
            return rank, _number(environment, total, default)
    return 0, 1


def local_rank_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return number and count of the tasks on this machine, (0, 1) without a launcher.

    torchrun, or srun, which says how many tasks each of its machines has. A Slurm job outside of
    srun is one task, however many it might start.

    >>> local_rank_of({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "SLURM_LOCALID": "0"})
    (1, 4)
    >>> local_rank_of({"SLURM_LOCALID": "1", "SLURM_NODEID": "2",
    ...                "SLURM_STEP_TASKS_PER_NODE": "4(x2),2"})
    (1, 2)
    >>> local_rank_of({"SLURM_LOCALID": "0", "SLURM_NTASKS": "4"})
    (0, 1)
    """
    if "LOCAL_RANK" in environment:
        # Some launchers do not say how many are here: never more than there are in all.
        size = "LOCAL_WORLD_SIZE" if "LOCAL_WORLD_SIZE" in environment else "WORLD_SIZE"
        return _number(environment, "LOCAL_RANK"), _number(environment, size)
    if "SLURM_LOCALID" in environment and "SLURM_STEP_TASKS_PER_NODE" in environment:
        runs = re.findall(r"(\d+)(?:\(x(\d+)\))?", environment["SLURM_STEP_TASKS_PER_NODE"])
        counts = [int(tasks) for tasks, times in runs for _ in range(int(times or 1))]
        node = _number(environment, "SLURM_NODEID", "0")
        if node < len(counts):
            return _number(environment, "SLURM_LOCALID"), counts[node]
    return 0, 1


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    try:
        return int(environment.get(name, default))
    except ValueError:
        raise UserError(
            f"the scheduler's variable {name} is missing or not a number: correct it, or unset "
            "the scheduler's variables (--rank and --world-size replace them)"
        ) from None
