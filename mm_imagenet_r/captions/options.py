"""The command line of `python -m mm_imagenet_r.captions`; nothing heavy is imported here."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from mm_imagenet_r.captions.backends import BACKENDS
from mm_imagenet_r.captions.captioner import DTYPES, STYLES, Request
from mm_imagenet_r.captions.schedulers import local_rank_of, rank_of
from mm_imagenet_r.command_line import Parser, path_of
from mm_imagenet_r.errors import UserError

Number = TypeVar("Number", int, float)

#: Fields of a request for a model that runs here, and for one on a server.
ON_DEVICE: Final = ("dtype", "device", "batch_size")
AT_SERVER: Final = ("served_model", "concurrency", "timeout", "outage")
#: Images in a unit: a worker that dies loses at most so many.
UNIT_SIZE: Final = 64

_EPILOG: Final = """\
examples:
  python -m mm_imagenet_r.captions --model Salesforce/instructblip-vicuna-7b \\
      --prompt "Describe the image in detail." --images imagenet-r.tar \\
      --output data/captions/instructblip --limit 50
  python -m mm_imagenet_r.captions --model HuggingFaceTB/SmolVLM-Instruct --prompt ... --images ...
  python -m mm_imagenet_r.captions --model http://localhost:8000/v1 --prompt ... --images ...
  python -m mm_imagenet_r.captions audit data/captions/instructblip
The same command resumes a run that was stopped, on any machine that sees the folder; several
machines may work on one folder at once."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; `parser` describes each option."""

    request: Request
    given: frozenset[str]  # the fields of the request that the user gave
    backend: str | None
    images: Path
    output: Path
    limit: int | None
    unit_size: int | None
    workers: int | None
    ray: int | None
    rank: int  # of this task among all tasks, from 0
    world_size: int
    local_rank: int  # of this task among those on this machine, which share its GPUs
    local_size: int
    retry_errors: bool


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
    model = command.add_argument_group("the model").add_argument
    server = command.add_argument_group("a served model").add_argument
    scale = command.add_argument_group("parallel runs").add_argument
    prompt = command.add_mutually_exclusive_group(required=True).add_argument
    add, whole, seconds = command.add_argument, _above_zero(int), _above_zero(float)
    # fmt: off
    add("--model", required=True, type=_text, metavar="MODEL",
        help="identifier on the Hub, folder, or address of an OpenAI-compatible server")
    prompt("--prompt", type=_text, metavar="TEXT",
        help='the instruction, such as "Describe the image in detail."')
    prompt("--no-prompt", dest="prompt", action="store_const", const="",
        help="for a model that captions without one")
    add("--images", required=True, type=path_of,
        help="imagenet-r.tar, a folder of class folders, or Parquet")
    add("--output", type=path_of, default=Path("captions"),
        help="folder for caption sets, each in its own folder (default: captions)")
    add("--limit", type=whole, metavar="N", help="caption only N images, and show some")
    add("--retry-errors", action="store_true", help="caption again the images that failed")

    model("--backend", type=_text, metavar="NAME",
        help=f"{', '.join(BACKENDS)}, or your own, file.py:Class or package.module:Class "
        "(default: chosen by the model)")
    model("--revision", type=_text, help="branch, tag or commit on the Hub (default: latest main)")
    model("--decoding", type=_pair, nargs="+", default=[], metavar="KEY=VALUE",
        help="generation options, such as num_beams=1 max_new_tokens=128")
    model("--style", choices=STYLES, default="auto", help="prompt format (default: auto)")
    model("--dtype", choices=DTYPES, help="precision (default: auto)")
    model("--device", type=_text, help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    model("--batch-size", type=whole, metavar="N", help="images per call (default: 16)")

    server("--served-model", type=_text, metavar="NAME",
        help="model on the server (default: the only one)")
    server("--concurrency", type=whole, metavar="N", help="requests in flight (default: 32)")
    server("--timeout", type=seconds, metavar="SECONDS",
        help="how long to wait for an answer (default: 120)")
    server("--outage", type=seconds, metavar="SECONDS",
        help="how long to wait for a server that answers no request at all (default: 300)")

    scale("--workers", type=whole, metavar="N",
        help="processes on this machine (default: one per GPU)")
    scale("--rank", type=int, metavar="N",
        help="number of this task, from 0 (default: from the scheduler)")
    scale("--world-size", type=whole, metavar="N", help="number of tasks")
    scale("--ray", type=whole, metavar="N", help="run N models on a Ray cluster")
    scale("--unit-size", type=whole, metavar="N",
        help=f"images per unit, written at once (default: {UNIT_SIZE})")
    # fmt: on
    return command


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Read the command line; schedulers say in the environment which task this is.

    Raises:
        UserError: An option is missing, unknown or contradicts another.
    """
    given = parser().parse_args(arguments)
    if (given.rank is None) != (given.world_size is None):
        raise UserError("--rank and --world-size go together: give both or none")
    if given.ray and (given.workers or given.retry_errors or given.rank is not None):
        raise UserError(
            "--ray starts all models from one task: leave --workers, --rank and --retry-errors out "
            "(retry errors without --ray)"
        )
    if given.rank is None:
        given.rank, given.world_size = rank_of(environment)
    if not 0 <= given.rank < given.world_size:
        raise UserError(
            f"there is no task {given.rank} of {given.world_size}, counted from 0: give --rank and "
            "--world-size, or correct the scheduler's variables"
        )
    given.local_rank, given.local_size = local_rank_of(environment)
    values = vars(given)
    fields = ("model", "prompt", "style", "revision", *ON_DEVICE, *AT_SERVER)
    chosen = {name: values[name] for name in fields if values[name] is not None}
    request = Request(decoding=dict(given.decoding), **chosen)
    own = {name: value for name, value in values.items() if name in Options.__slots__}
    return Options(request=request, given=frozenset(chosen), **own)


def _text(text: str) -> str:
    """Refuse an empty value, which a shell makes of a variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the value is empty; is a shell variable not set?")
    return text


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE, such as num_beams=1")
    with contextlib.suppress(ValueError):
        return key, json.loads(value.lower() if value in ("True", "False") else value)
    return key, value


def _above_zero(kind: type[Number]) -> Callable[[str], Number]:
    def convert(text: str) -> Number:
        with contextlib.suppress(ValueError):
            if (number := kind(text)) > 0:
                return number
        name = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text!r} is not a {name} above 0")

    return convert
