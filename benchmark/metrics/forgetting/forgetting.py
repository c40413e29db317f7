"""Forgetting of a class-incremental run, for the library `evaluate`."""

from benchmark.metrics import predictions


class Forgetting(predictions.PredictionMetric):
    """Forgetting, in percent points."""

    figure = "forgetting"
