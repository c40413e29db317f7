"""What all commands share: one way to refuse, one to stop."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mm_imagenet_r.command_line import Parser, run
from mm_imagenet_r.errors import UserError

PRINTS = """
import sys
from mm_imagenet_r.command_line import run

def command(_):
    for i in range(100_000):
        print(i{flush})

sys.exit(run(command, None))
"""


def parser() -> Parser:
    found = Parser(prog="x", allow_abbrev=False)
    found.add_argument("--out", required=True)
    found.add_argument("--output-size", type=int)
    return found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--outt", "a"], "unknown option --outt: did you mean --out?"),
        (["--outt=a"], "unknown option --outt: did you mean --out?"),
        (["--out", "a", "--output-sise", "3"], "did you mean --output-size?"),
        (["--out", "a", "--zzz"], "unknown option --zzz (--help"),
        ([], "the following arguments are required: --out"),
        (["--out", "a", "b"], "unrecognized arguments: b"),
        (["--out", "a", "--output-size", "b"], "--output-size: invalid int value: 'b'"),
    ],
)
def test_mistakes_are_told(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as told:
        parser().parse_args(words)
    assert message in str(told.value)


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_exit_code(returned: int | None, code: int) -> None:
    assert run(lambda _: returned, []) == code


@pytest.mark.skipif(os.name == "nt", reason="pipes that close are told by a signal's number")
@pytest.mark.parametrize("flush", ["", ", flush=True"])
def test_a_reader_that_has_gone(flush: str) -> None:
    code = PRINTS.format(flush=flush)
    words = [sys.executable, "-c", code]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 141


def test_another_pipe_that_broke_is_no_reader_that_has_gone() -> None:
    def command(_: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(command, [])
