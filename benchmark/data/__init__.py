"""What the harness learns from: images with captions and labels, from any source, in two parts.

`open_data` takes the name of a data set of `mm_imagenet_r`, a folder of images, Parquet, or a Hub
id, and returns a `Data`: a training and an evaluation part of lazily read samples, and hashes that
say exactly which data that was. How the sources are read is in `named.py`, `trees.py` and
`tables.py`; importing this package is cheap.
"""

from benchmark.data.dataset import ColumnNames, Data, DatasetOptions
from benchmark.data.open_data import VALIDATION_FRACTION, open_data
from benchmark.data.samples import IntArray, Rows, Sample, Samples

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
