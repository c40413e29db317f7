"""Mistakes that a user can correct, as opposed to faults of the program."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any


class UserError(Exception):
    """Something the user can correct; the message says what is wrong and what to do.

    Command-line programs print the message alone, without a traceback, and exit with code 2.
    """


def is_failure(error: BaseException) -> bool:
    """Tell what a library has raised from what ends the program; a panic in Rust is no Exception.

    >>> is_failure(ValueError()), is_failure(KeyboardInterrupt())
    (True, False)
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return the end of a sentence that points from an unknown name to the known ones.

    >>> did_you_mean("exemplar_maskin", ["ssf", "exemplar_masking"])
    "did you mean 'exemplar_masking'? Known: exemplar_masking, ssf"
    >>> did_you_mean("zzz", ["ssf"])
    'known: ssf'
    """
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.55)
    listing = ", ".join(known)
    if not close:
        return f"known: {listing}"
    return f"did you mean {' or '.join(repr(c) for c in close)}? Known: {listing}"


def one_line(text: str, most: int = 160) -> str:
    r"""Put a text, such as the message of another library, into one line of at most `most` letters.

    >>> one_line("CUDA error:\n  out of memory")
    'CUDA error: out of memory'
    >>> one_line("a long story", most=9)
    'a long...'
    >>> one_line("\x1b[2Jnone")
    '?[2Jnone'
    """
    # What others wrote must neither steer a terminal nor be impossible to write.
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return line if len(line) <= most else line[: most - 3].rstrip() + "..."


def few(value: object) -> str:
    """A value in a few letters, as it is shown in a message.

    >>> few([1, 2]), len(few("x" * 61))
    ('[1, 2]', 60)
    """
    return one_line(str(value), 60)


def printable(text: str) -> str:
    r"""A text that neither steers a terminal nor breaks a line, whoever wrote it.

    >>> printable("a b"), printable("\x1b[31ma\nb")
    ('a b', '\\x1b[31ma\\nb')
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def summarize(names: Sequence[str], most: int = 5) -> str:
    r"""A few names, and how many more there are; a terminal only shows them, whoever chose them.

    >>> summarize(["a", "b", "c"], most=2), summarize(["\x1b[31m"])
    ('a, b and 1 more', '\\x1b[31m')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> pluralize(1200, "image"), pluralize(1, "image")
    ('1,200 images', '1 image')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def require_whole(name: str, value: Any, *, or_none: bool = False) -> None:
    """Refuse what is not a whole number with a UserError; NumPy's are."""
    if or_none and value is None:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UserError(
            f"{name}={value!r} is not a whole number: give one{' or None' if or_none else ''}"
        )
