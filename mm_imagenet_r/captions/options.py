"""The command line of `python -m mm_imagenet_r.captions`; nothing heavy is imported here."""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.captions.backends import BACKENDS
from mm_imagenet_r.captions.captioner import DTYPES, STYLES, Request
from mm_imagenet_r.captions.schedulers import local_rank_of, rank_of
from mm_imagenet_r.command_line import Parser
from mm_imagenet_r.errors import UserError

#: Fields of a request that mean something to a model that runs here, and to one at a server.
ON_DEVICE: Final = ("dtype", "device", "batch_size")
AT_SERVER: Final = ("served_model", "concurrency", "timeout", "outage")
#: Images in a unit: at most so many are lost with a worker.
UNIT_SIZE: Final = 64

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
        unit_size: Images in a unit of work, None for the usual number.
        workers: Processes here, None for one a GPU.
        ray: Models on a Ray cluster, None to use none.
        rank: Number of this task among all tasks, from 0.
        world_size: How many tasks there are.
        local_rank: Number of this task among those on this machine, from 0.
        local_size: How many tasks a launcher has started on this machine; they share its GPUs.
        retry_errors: Caption again what has failed.
        given: Fields of the request that were given and not left to their defaults.
    """

    request: Request
    backend: str | None
    images: Path
    output: Path
    limit: int | None
    unit_size: int | None
    workers: int | None
    ray: int | None
    rank: int
    world_size: int
    local_rank: int
    local_size: int
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
    prompt = command.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", metavar="TEXT",
        help='the instruction, such as "Describe the image in detail."')  # fmt: skip
    prompt.add_argument("--no-prompt", dest="prompt", action="store_const", const="",
        help="for a model that captions without one")  # fmt: skip
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
    add("--timeout", type=_seconds, metavar="SECONDS",
        help="how long an answer is waited for (default: 120)")  # fmt: skip
    add("--outage", type=_seconds, metavar="SECONDS",
        help="how long a server that answers nobody is waited for (default: 300)")  # fmt: skip

    scale = command.add_argument_group("many workers")
    add = scale.add_argument
    add("--workers", type=_positive, metavar="N", help="processes here (default: one a GPU)")
    add("--rank", type=int, metavar="N",
        help="number of this task, from 0 (default: what the scheduler says)")  # fmt: skip
    add("--world-size", type=_positive, metavar="N", help="how many tasks there are")
    add("--ray", type=_positive, metavar="N", help="N models at once on a Ray cluster")
    add("--unit-size", type=_positive, metavar="N",
        help=f"images in a unit of work (default: {UNIT_SIZE})")  # fmt: skip
    return command


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Read a command line.

    Raises:
        UserError: It is not complete, or contradicts itself.
    """
    _refuse_empty(arguments)
    given = parser().parse_args(arguments)
    for name, example in (
        ("model", "--model Salesforce/instructblip-vicuna-7b"),
        ("prompt", '--prompt "Describe the image in detail." (or --no-prompt)'),
        ("images", "--images imagenet-r.tar"),
    ):
        if getattr(given, name) is None:
            raise UserError(f"--{name} is missing: give it, as in {example}")
    if (given.rank is None) != (given.world_size is None):
        raise UserError("--rank and --world-size go together: give both or none")
    if given.rank is None:
        rank, world_size = rank_of(environment)
    else:
        rank, world_size = given.rank, given.world_size
    if given.ray and (given.workers or given.retry_errors or given.rank is not None):
        raise UserError(
            "--ray runs models on a cluster from one task: leave --workers, --rank and "
            "--retry-errors out (errors are tried again without --ray)"
        )
    if not 0 <= rank < world_size:
        raise UserError(
            f"the scheduler's variables say that this is task {rank}, counted from 0, of "
            f"{world_size}: give --rank and --world-size"
            if given.rank is None
            else f"--rank {rank}: give a number from 0 to {world_size - 1}"
        )
    fields = ("model", "prompt", "style", "revision", *ON_DEVICE, *AT_SERVER)
    chosen = {name: getattr(given, name) for name in fields if getattr(given, name) is not None}
    request = Request(decoding=dict(map(_pair, given.decoding)), **chosen)
    local_rank, local_size = local_rank_of(environment)
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
        local_rank=local_rank,
        local_size=local_size,
        retry_errors=given.retry_errors,
        given=frozenset(chosen),
    )


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse values that a shell has made of variables that are not set."""
    for before, word in itertools.pairwise(("", *arguments)):
        option, equals, value = (
            word.partition("=") if word.startswith("--") else (before, "=", word)
        )
        if equals and not value.strip():
            remedy = ", or --no-prompt for a model that captions without" * (option == "--prompt")
            raise UserError(
                f"{option or 'an argument'} is empty, maybe by a shell variable that is not set: "
                f"give a value{remedy}"
            )


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


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return number
