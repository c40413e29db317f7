"""The command line of `python -m mm_imagenet_r.captions`; nothing heavy is imported here."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.captions.backends import BACKENDS
from mm_imagenet_r.captions.captioner import DTYPES, STYLES, Request
from mm_imagenet_r.command_line import Parser
from mm_imagenet_r.errors import UserError

#: Fields of a request that mean something to a model that runs here, and to one at a server.
ON_DEVICE: Final = ("dtype", "device", "batch_size")
AT_SERVER: Final = ("served_model", "concurrency", "timeout", "outage")

_EPILOG: Final = """\
examples:
  python -m mm_imagenet_r.captions --model Salesforce/instructblip-vicuna-7b \\
      --prompt "Describe the image in detail." --images imagenet-r.tar \\
      --output data/captions/instructblip --limit 50
  python -m mm_imagenet_r.captions --model HuggingFaceTB/SmolVLM-Instruct --prompt ... --images ...
  python -m mm_imagenet_r.captions --model http://localhost:8000/v1 --prompt ... --images ...
  python -m mm_imagenet_r.captions audit data/captions/instructblip
A command that was stopped goes on when it is given again, here or on any machine that sees the
folder; several may work on one folder at once."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for.

    Attributes:
        request: What the back end needs to know.
        backend: Its name, or None to choose one by the model.
        images: Where the images lie.
        output: Folder of the caption sets.
        limit: How many images to caption, None for all.
        unit_size: Images in a unit of work.
        workers: Processes here, None for one a GPU.
        ray: Models on a Ray cluster, None to use none.
        rank: Number of this task among all tasks, from 0.
        world_size: How many tasks there are.
        local_rank: Which GPU is this task's, if a launcher says so.
        retry_errors: Caption again what has failed.
        given: Fields of the request that were given and not left to their defaults.
    """

    request: Request
    backend: str | None
    images: Path
    output: Path
    limit: int | None
    unit_size: int
    workers: int | None
    ray: int | None
    rank: int
    world_size: int
    local_rank: int | None
    retry_errors: bool
    given: frozenset[str]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command that makes captions."""
    command = Parser(
        prog="python -m mm_imagenet_r.captions",
        usage="%(prog)s --model MODEL --prompt TEXT --images PATH [OPTION ...]\n"
        "       %(prog)s audit SET [OPTION ...]",
        description="Caption images with any multimodal language model, or audit captions.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = command.add_argument
    add("--model", help="identifier on the Hub, folder, or address of an OpenAI-compatible server")
    add("--prompt", help='the instruction, such as "Describe the image in detail."')
    add("--images", type=Path, help="imagenet-r.tar, a folder of class folders, or Parquet")
    add("--output", type=Path, default=Path("captions"),
        help="folder of caption sets, each in a folder of its own (default: captions)")  # fmt: skip
    add("--limit", type=_positive, metavar="N", help="caption N images only, and show some")
    add("--retry-errors", action="store_true", help="caption again what has failed before")

    model = command.add_argument_group("the model")
    add = model.add_argument
    add("--backend", metavar="NAME",
        help=f"{', '.join(BACKENDS)}, or your own, file.py:Class or package.module:Class "
        "(default: by the model)")  # fmt: skip
    add("--revision", help="branch, tag or commit on the Hub (default: main, as it is now)")
    add("--decoding", nargs="+", default=[], metavar="KEY=VALUE",
        help="generation options, such as num_beams=1 max_new_tokens=128")  # fmt: skip
    add("--style", choices=STYLES, default="auto", help="how the prompt is put (default: auto)")
    add("--dtype", choices=DTYPES, help="precision (default: auto)")
    add("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--batch-size", type=_positive, metavar="N",
        help="images in a call of the model (default: 16)")  # fmt: skip

    server = command.add_argument_group("a server")
    add = server.add_argument
    add("--served-model", metavar="NAME", help="its model (default: the only one)")
    add("--concurrency", type=_positive, metavar="N",
        help="requests in flight (default: 32)")  # fmt: skip
    add("--timeout", type=float, metavar="SECONDS",
        help="how long an answer is waited for (default: 120)")  # fmt: skip
    add("--outage", type=float, metavar="SECONDS",
        help="how long a server that answers nobody is waited for (default: 300)")  # fmt: skip

    scale = command.add_argument_group("many workers")
    add = scale.add_argument
    add("--workers", type=_positive, metavar="N", help="processes here (default: one a GPU)")
    add("--rank", type=int, metavar="N",
        help="number of this task, from 0 (default: what the scheduler says)")  # fmt: skip
    add("--world-size", type=_positive, metavar="N", help="how many tasks there are")
    add("--ray", type=_positive, metavar="N", help="N models at once on a Ray cluster")
    add("--unit-size", type=_positive, default=64, metavar="N",
        help="images in a unit, which is made whole or not at all (default: 64)")  # fmt: skip
    return command


def parse(arguments: Sequence[str] | None, environment: Mapping[str, str] = os.environ) -> Options:
    """Read a command line.

    Raises:
        UserError: It is not complete, or contradicts itself.
    """
    given = parser().parse_args(arguments)
    for name, example in (
        ("model", "--model Salesforce/instructblip-vicuna-7b"),
        ("prompt", '--prompt "Describe the image in detail."'),
        ("images", "--images imagenet-r.tar"),
    ):
        if getattr(given, name) is None:
            raise UserError(f"--{name} is missing: give it, as in {example}")
    rank, world_size = given.rank, given.world_size
    if rank is None and world_size is None:
        rank, world_size = rank_of(environment)
    elif rank is None or world_size is None:
        raise UserError("--rank and --world-size go together: give both or none")
    if given.ray and (given.workers or given.retry_errors or given.rank is not None):
        raise UserError(
            "--ray runs models on a cluster from one task: leave --workers, --rank and "
            "--retry-errors out (errors are tried again without --ray)"
        )
    if not 0 <= rank < world_size:
        raise UserError(f"--rank {rank}: give a number from 0 to {world_size - 1}")
    fields = ("model", "prompt", "style", "revision", *ON_DEVICE, *AT_SERVER)
    chosen = {name: getattr(given, name) for name in fields if getattr(given, name) is not None}
    request = Request(decoding=dict(map(_pair, given.decoding)), **chosen)
    local_rank = environment.get("LOCAL_RANK")
    return Options(
        request=request,
        backend=given.backend,
        images=given.images,
        output=given.output,
        limit=given.limit,
        unit_size=given.unit_size,
        workers=given.workers,
        ray=given.ray,
        rank=rank,
        world_size=world_size,
        local_rank=int(local_rank) if local_rank else None,
        retry_errors=given.retry_errors,
        given=frozenset(chosen),
    )


def rank_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return number and count of tasks as a scheduler says, (0, 1) without one.

    torchrun, then a Slurm array (whose numbers may begin and step as they like), then tasks of
    srun, then an indexed job of Kubernetes, which needs its count in WORLD_SIZE.

    >>> rank_of({"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "10",
    ...          "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4"})
    (1, 4)
    >>> rank_of({"JOB_COMPLETION_INDEX": "3", "WORLD_SIZE": "8"})
    (3, 8)
    >>> rank_of({})
    (0, 1)

    Raises:
        UserError: Only a part of it is said.
    """

    def number(name: str, default: str = "") -> int:
        try:
            return int(environment.get(name, default))
        except ValueError:
            raise UserError(
                f"the scheduler's variable {name} is missing or no number: give --rank and "
                "--world-size"
            ) from None

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


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--decoding {text}: write KEY=VALUE, such as num_beams=1")
    if value in ("True", "False"):
        value = value.lower()
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return number
