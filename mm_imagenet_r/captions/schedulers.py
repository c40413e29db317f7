"""Which task this is of how many, according to torchrun, Slurm or Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mm_imagenet_r.errors import UserError


def rank_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return number and count of tasks, (0, 1) without a scheduler; UserError if one is missing.

    torchrun, then a Slurm array (whose numbers may start and step as they like), then tasks of
    srun, then an indexed job of Kubernetes, which needs its count in WORLD_SIZE.

    >>> rank_of({"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "10",
    ...          "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4"})
    (1, 4)
    >>> rank_of({"JOB_COMPLETION_INDEX": "3", "WORLD_SIZE": "8"})
    (3, 8)
    >>> rank_of({})
    (0, 1)
    """

    def number(name: str, default: str = "") -> int:
        return _number(environment, name, "give --rank and --world-size", default)

    if "RANK" in environment:
        return number("RANK"), number("WORLD_SIZE")
    if "SLURM_ARRAY_TASK_ID" in environment:
        first, step = number("SLURM_ARRAY_TASK_MIN", "0"), number("SLURM_ARRAY_TASK_STEP", "1")
        rank = (number("SLURM_ARRAY_TASK_ID") - first) // max(step, 1)
        return rank, number("SLURM_ARRAY_TASK_COUNT")
    if "SLURM_PROCID" in environment:
        return number("SLURM_PROCID"), number("SLURM_NTASKS", "1")
    if "JOB_COMPLETION_INDEX" in environment:
        return number("JOB_COMPLETION_INDEX"), number("WORLD_SIZE")
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
        remedy = "set LOCAL_WORLD_SIZE, or unset LOCAL_RANK"
        return _number(environment, "LOCAL_RANK", remedy), _number(environment, size, remedy)
    if "SLURM_LOCALID" in environment and "SLURM_STEP_TASKS_PER_NODE" in environment:
        runs = re.findall(r"(\d+)(?:\(x(\d+)\))?", environment["SLURM_STEP_TASKS_PER_NODE"])
        counts = [int(tasks) for tasks, times in runs for _ in range(int(times or 1))]
        remedy = "set it as Slurm does, or unset SLURM_LOCALID"
        node = _number(environment, "SLURM_NODEID", remedy, "0")
        if node < len(counts):
            return _number(environment, "SLURM_LOCALID", remedy), counts[node]
    return 0, 1


def _number(environment: Mapping[str, str], name: str, remedy: str, default: str = "") -> int:
    try:
        return int(environment.get(name, default))
    except ValueError:
        raise UserError(
            f"the scheduler's variable {name} is missing or not a number: {remedy}"
        ) from None
