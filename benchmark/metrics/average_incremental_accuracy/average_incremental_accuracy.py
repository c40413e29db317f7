"""Average incremental accuracy of a class-incremental run, for the library `evaluate`."""

from benchmark.metrics import predictions


class AverageIncrementalAccuracy(predictions.PredictionMetric):
    """Average incremental accuracy, in percent."""

    figure = "average_incremental_accuracy"
