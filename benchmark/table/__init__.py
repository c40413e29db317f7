"""`python -m benchmark.table RUNS...`: tables and memory curves from result files.

What may be compared stands in one table: the same data, captions, split, phases, backbone, memory
and currency. A row is all runs that differ in seed and class order only. Differences come with
95 % intervals (`benchmark.bootstrap`), and nothing is called best that is not shown to be.

From Python, `tables` gives what the command prints, `markdown`, `latex` and `json_text` write it,
`frame` gives all runs as a pandas DataFrame and `write_curve` draws accuracy over memory.
"""

from benchmark.table.command import main, print_table, tables
from benchmark.table.curve import write_curve
from benchmark.table.formats import csv_text, json_text, latex, markdown, records
from benchmark.table.frame import frame

__all__ = [
    "csv_text", "frame", "json_text", "latex", "main", "markdown", "print_table", "records",
    "tables", "write_curve",
]  # fmt: skip
