"""`python -m benchmark.table RUNS...`: tables and memory curves from result files.

A table holds what may be compared; its rows are all runs that differ in seed and class order only.
`tables`, the writers, `frame` and `write_curve` do from Python what the command does.
"""

from benchmark.table.command import main, print_table, tables
from benchmark.table.curve import write_curve
from benchmark.table.formats import csv_text, json_text, latex, markdown, records
from benchmark.table.frame import frame

__all__ = [
    "csv_text", "frame", "json_text", "latex", "main", "markdown", "print_table", "records",
    "tables", "write_curve",
]  # fmt: skip
