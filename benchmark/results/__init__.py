"""Result files: build, write, read, check; and `python -m benchmark.results runs --verify`.

A run's folder holds result.json (see `schema`) and, as Parquet, the prediction of every test sample
and a row for every exemplar (see `records`). Tables, pages and leaderboards are views of these
files; `verify` recomputes the one from the other.
"""

from benchmark.results.io import (
    PACKED, RESULT, build, find_runs, is_there, pack, read, unpack, write,
)  # fmt: skip
from benchmark.results.provenance import hardware, versions

__all__ = [
    "PACKED", "RESULT", "build", "find_runs", "hardware", "is_there", "pack", "read", "unpack",
    "versions", "write",
]  # fmt: skip
