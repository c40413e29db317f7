"""The run that a result is of: nothing is known by the folder alone in which a result lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.config import RunConfig
from benchmark.errors import Damaged, damaged
from benchmark.option_names import method_name
from benchmark.options import from_mapping
from benchmark.registry import REGISTRY
from benchmark.results.derive import given_config
from benchmark.results.io import read, result_file
from benchmark.results.schema import Result, ResultBase
from mm_imagenet_r.errors import UserError, printable, summarize


def asked_for(result: ResultBase) -> RunConfig:
    """What a finished run was asked for; nothing that it names is imported.

    Raises:
        UserError: It has an option that there is not, or one of another type or value.
    """
    given = from_mapping(given_config(result), source="config")
    names = RunConfig().identity()  # a file that anyone may have made says nothing of the rest
    return RunConfig(**{name: value for name, value in given.items() if name in names})


def read_result_of(cell: RunConfig, folder: Path) -> Result:
    """The result in a folder of today's version of a cell, which `benchmark.cells` has written.

    Raises:
        UserError: It cannot be read, or is that of another run.
    """
    result = read(folder)
    try:
        same = asked_for(result).fingerprint() == cell.fingerprint()
    except UserError:
        same = False
    if not same:
        raise Damaged(
            damaged(
                result_file(folder),
                "is the result of another run",
                "put back the one of this run, or remove it",
            )
        )
    return result


def unnamed(run: Path, result: Result, named: Sequence[str]) -> list[str]:
    """The code that a result asks for, printable, which is neither registered nor `named`.

    It may be any file, such as one that came with the result; hashes in it are by the same hand.

    Raises:
        UserError: Code is named that the run did not use.
    """
    config = result["config"]
    used = [str(name) for name in (*config["method"], config.get("match_exemplars_of")) if name]
    given = {method_name(name) for name in named}
    if others := sorted(given - set(map(method_name, used))):
        raise UserError(f"{run} was made by {summarize(used)}, not by {others[0]}")
    own = [name for name in used if method_name(name).partition("@")[0] not in REGISTRY]
    return list(map(printable, own)) if any(method_name(name) not in given for name in own) else []
