"""Last accuracy of a class-incremental run, for the library `evaluate`."""

from benchmark.metrics import predictions


class LastAccuracy(predictions.PredictionMetric):
    """Last accuracy, in percent."""

    figure = "last_accuracy"
