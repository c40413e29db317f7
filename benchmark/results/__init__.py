"""Result files: build, write, read, check; and `python -m benchmark.results runs --verify`.

Tables, pages and leaderboards are views of a run's result.json (see `schema`) and Parquet files of
predictions and exemplars (see `records`); `verify` recomputes the one from the other.
"""

from benchmark.results.io import (
    build,
    find_runs,
    is_there,
    pack,
    read,
    unpack,
    write,
)  # fmt: skip
from benchmark.results.provenance import hardware, versions

__all__ = [
    "build", "find_runs", "hardware", "is_there", "pack", "read", "unpack",
    "versions", "write",
]  # fmt: skip
