"""Accuracy, forgetting and transfer: of a matrix of accuracies, of a run, over runs.

Folders in here are metrics of the library `evaluate`, as in
`evaluate.load("benchmark/metrics/forgetting")`; their formulas are those of `matrix`.
"""

from benchmark.metrics.catalog import (
    METRICS,
    Metric,
    Metrics,
    Spread,
    linear_weights,
    mean_std,
    summary,
)
from benchmark.metrics.matrix import (
    accuracy_curve,
    average_incremental_accuracy,
    backward_transfer,
    forgetting,
    forgetting_avalanche,
    forgetting_chaudhry,
    forgetting_coda,
    last_accuracy,
    learning_accuracy,
    phase_accuracies,
    phase_weighted_accuracy,
    sample_weighted_accuracy,
)

__all__ = [
    "METRICS",
    "Metric",
    "Metrics",
    "Spread",
    "accuracy_curve",
    "average_incremental_accuracy",
    "backward_transfer",
    "forgetting",
    "forgetting_avalanche",
    "forgetting_chaudhry",
    "forgetting_coda",
    "last_accuracy",
    "learning_accuracy",
    "linear_weights",
    "mean_std",
    "phase_accuracies",
    "phase_weighted_accuracy",
    "sample_weighted_accuracy",
    "summary",
]
