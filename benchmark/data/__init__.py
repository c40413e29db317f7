"""What the harness learns from: images with captions and labels, from any source, in two parts.

How the sources are read is in `named.py`, `trees.py` and `tables.py`; importing this is cheap.
"""

from benchmark.data.dataset import ColumnNames, Data, DatasetOptions
from benchmark.data.open_data import VALIDATION_FRACTION, open_data
from benchmark.data.samples import Rows, Sample, Samples
from benchmark.data.stored_images import IntArray

__all__ = [
    "VALIDATION_FRACTION",
    "ColumnNames",
    "Data",
    "DatasetOptions",
    "IntArray",
    "Rows",
    "Sample",
    "Samples",
    "open_data",
]  # fmt: skip
