"""Figures of a run from its predictions, as metrics of the library `evaluate`.

Each folder of this package is one of them. Its class names a row of `METRICS`; all else is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from benchmark.metrics import METRICS, accuracy_matrix

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


class PredictionMetric(evaluate.Metric):  # type: ignore[misc]
    """A row of `METRICS`, computed from predictions; `figure` says which."""

    figure: str

    def _info(self) -> Any:
        columns = ("predictions", "references", "steps")
        return evaluate.MetricInfo(
            description=f"{METRICS[self.figure].definition}; in percent",
            citation=_CITATION,
            inputs_description=_INPUTS,
            # As integers, fractions would be rounded silently; as floats they are refused.
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
