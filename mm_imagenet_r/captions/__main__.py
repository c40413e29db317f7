"""`python -m mm_imagenet_r.captions`: make captions, or audit them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mm_imagenet_r import command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `command_line.run` does."""
    return command_line.run(_run, arguments, has_processes=True)


def _run(arguments: Sequence[str] | None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["audit"]:
        from mm_imagenet_r.captions.audit.command import run

        run(arguments[1:])
        return
    from mm_imagenet_r.captions.options import parse

    options = parse(arguments)
    from mm_imagenet_r.captions.launch import make_captions

    make_captions(options)


if __name__ == "__main__":
    sys.exit(main())
