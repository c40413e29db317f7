"""Backward transfer of a class-incremental run, for the library `evaluate`."""

from benchmark.metrics import predictions


class BackwardTransfer(predictions.PredictionMetric):
    """Backward transfer, in percent points."""

    figure = "backward_transfer"
