"""Figures of a run from its predictions, as metrics of the library `evaluate`.

Each folder of this package is one of them. Its class names a row of `METRICS`; all else is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import numpy.typing as npt

from benchmark.metrics.catalog import METRICS
from benchmark.metrics.matrix import phase_accuracies

_INPUTS = """
Args:
    predictions: predicted classes, as positions in the class order, for all test samples of the
        classes seen so far, after each phase.
    references: true classes, likewise.
    steps: for each prediction the number of the phase, from 0, after which it was made.
    phase_of_class: for each class, by position in the class order, the phase that introduced it.
"""
_CITATION = """@article{lee2024exemplar,
  title = {Exemplar Masking for Multimodal Incremental Learning},
  author = {Lee, Yi-Lun and Lee, Chen-Yu and Chiu, Wei-Chen and Tsai, Yi-Hsuan},
  journal = {arXiv preprint arXiv:2412.09549},
  year = {2024}
}"""


def accuracy_matrix(
    predictions: npt.ArrayLike,
    references: npt.ArrayLike,
    steps: npt.ArrayLike,
    phase_of_class: Sequence[int],
) -> tuple[list[list[float]], list[int]]:
    """The accuracy matrix and the number of test samples of each phase.

    Args:
        predictions: (N,) classes, as positions in the class order.
        references: (N,) likewise.
        steps: (N,) phase after which each prediction was made, from 0.
        phase_of_class: For each class the phase that introduced it.

    Returns:
        T rows, row t with t + 1 percentages, and T numbers.

    Raises:
        ValueError: A phase was not tested after, or lacks test samples, a sample belongs to a
            phase that was not seen yet, or a class is not one of them.

    >>> accuracy_matrix([0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1])
    ([[100.0], [100.0, 100.0]], [1, 1])
    """
    guess, truth = _integers("predictions", predictions), _integers("references", references)
    after = _integers("steps", steps)
    if not len(guess) == len(truth) == len(after) > 0:
        raise ValueError(f"{len(guess)} predictions, {len(truth)} references, {len(after)} steps")
    phases = _integers("phase_of_class", phase_of_class)
    if len(phases) and phases.min() != 0:
        raise ValueError(f"phase_of_class counts phases from 0, but begins with {phases.min()}")
    for name, classes in (("references", truth), ("predictions", guess)):
        if strange := set(classes.tolist()) - set(range(len(phases))):
            known = f"phase_of_class has {len(phases)} classes, 0 to {len(phases) - 1}"
            raise ValueError(f"{name} name class {min(strange)}; {known}")
    last = int(after.max())
    if lacking := set(range(last + 1)) - set(after.tolist()):
        raise ValueError(f"steps run from 0 to {last}, but none is {min(lacking)}")
    if after.min() < 0:
        raise ValueError("steps count phases from 0: none is negative")
    matrix = [
        phase_accuracies(truth[after == t], guess[after == t], phase_of_class, t + 1)
        for t in range(last + 1)
    ]
    return matrix, np.bincount(phases[truth[after == last]], minlength=last + 1).tolist()


def _integers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iuf"):
        raise ValueError(f"{name} is not a list of integers")
    if strange := [x for x in numbers.tolist() if x != int(x)]:
        raise ValueError(f"{name} holds {strange[0]}, which is not an integer")
    return numbers.astype(np.int64)


class PredictionMetric(evaluate.Metric):  # type: ignore[misc]
    """A row of `METRICS`, computed from predictions; `figure` says which."""

    figure: str

    def _info(self) -> Any:
        columns = ("predictions", "references", "steps")
        return evaluate.MetricInfo(
            description=f"{METRICS[self.figure].definition}; in percent",
            citation=_CITATION,
            inputs_description=_INPUTS,
            # Integers would be made of fractions without a word; here they are told.
            features=datasets.Features({name: datasets.Value("float64") for name in columns}),
        )

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        steps: Sequence[int],
        phase_of_class: Sequence[int] | None = None,
    ) -> dict[str, float]:
        if phase_of_class is None:
            raise ValueError("give compute() phase_of_class: the phase that introduced each class")
        matrix, sizes = accuracy_matrix(predictions, references, steps, phase_of_class)
        return {self.figure: METRICS[self.figure].compute(matrix, sizes)}
