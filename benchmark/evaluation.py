"""Predictions of test samples, and the check that none depends on another.

What a method sees of the test data has no labels and no names, and comes in an order of its own
each phase: test sets are sorted by class, so a neighbour, or a place, would give the class away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from numpy.typing import NDArray

from benchmark.data import Sample
from benchmark.errors import ContractError
from benchmark.method import Method
from benchmark.processes import map_batches
from benchmark.randomness import seeded, stream
from benchmark.results.schema import Invariance

_AGAIN = 64  # samples that are predicted a second time
_MATES = 16  # and how many of them are predicted together
#: Largest change of a score between two batches, in shares of the range of a row's scores.
_TOLERANCE = {"no": 1e-3, "bf16": 5e-2, "fp16": 5e-2}
_FLAT = 0.05  # that range is taken to be at least this share of the largest score

Scores = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Evaluation:
    """Predictions of N samples."""

    predictions: dict[str, list[int]]  # by classifier, the method's own one first: (N,) labels
    #: How many samples were predicted again among others, and how many differed
    invariance: Invariance


@torch.no_grad()
def evaluate(
    method: Method,
    samples: Sequence[Sample],
    num_seen: int,
    accelerator: Accelerator,
    phase: int,
) -> Evaluation:
    """Predict every sample, on every process, and 64 of them again among other batch mates.

    Args:
        method: After `begin_test`.
        samples: N of them in an order that says nothing, without labels.
        num_seen: Classes seen.
        accelerator: Where, and in which precision.
        phase: Its index.

    Raises:
        ContractError: Scores of a wrong shape, NaN among them, or a prediction that depends on the
            other samples of its batch, on its place, or on what was predicted before.
    """
    method.model.eval()
    chosen = stream(method.context.seed, "harness/again", phase).permutation(len(samples))[:_AGAIN]
    wanted = set(chosen.tolist())
    first = _predict(method, samples, range(len(samples)), num_seen, accelerator, wanted)
    # Fewer at once, of other numbers: alone where there are but a few.
    mates = max(1, min(_MATES, method.context.batch_size - 1, len(samples) // 2))
    second = _predict(method, samples, chosen.tolist(), num_seen, accelerator, wanted, mates)
    again = dict(zip(chosen.tolist(), second, strict=True))
    names = list(first[0][0]) if first else [""]
    if any(list(labels) != names for labels, _ in (*first, *second)):
        raise ContractError("predict returned the scores of other classifiers for another batch")
    guesses = {name: [labels[name] for labels, _ in first] for name in names}
    tolerance = _TOLERANCE[accelerator.mixed_precision]
    different = [
        number
        for number, (labels, scores) in again.items()
        if any(_differ(first[number][1][n], scores[n], tolerance) for n in labels)
    ]
    if different:
        raise ContractError(
            f"{len(different)} of {len(again)} test samples get different scores when they are "
            "predicted again in another batch: predict must not use the rest of its batch, the "
            "order, or what it has seen before"
        )
    return Evaluation(guesses, {"checked": len(again), "differing": 0})


def _predict(
    method: Method,
    samples: Sequence[Sample],
    numbers: Sequence[int],
    num_seen: int,
    accelerator: Accelerator,
    wanted: set[int],
    batch_size: int | None = None,
) -> list[tuple[dict[str, int], Scores]]:
    """Label by classifier of some samples, with the scores of those that are `wanted`."""

    def work(places: Sequence[int]) -> list[tuple[dict[str, int], Scores]]:
        chosen = [numbers[place] for place in places]
        named = [(i, place + (batch_size or 0)) for i, place in zip(chosen, places, strict=True)]
        with seeded(stream(method.context.seed, "harness/predict")), accelerator.autocast():
            batch = method.collate([_numbered(samples[i], n) for i, n in named], None)
            found = method.predict(send_to_device(batch, accelerator.device))
        scores = _checked(found, len(chosen), num_seen, method.context.num_classes)
        labels = {name: rows.argmax(1) for name, rows in scores.items()}
        return [
            (
                {name: int(labels[name][row]) for name in scores},
                {name: rows[row] for name, rows in scores.items()} if i in wanted else {},
            )
            for row, i in enumerate(chosen)
        ]

    context = method.context
    size = batch_size or context.batch_size
    return map_batches(work, len(numbers), size, context.rank, context.world)


def _numbered(sample: Sample, number: int) -> Sample:
    """A test sample under another name: that says nothing, and changes."""
    return dataclasses.replace(sample, file_name=f"test/{number}")


def _checked(found: Any, rows: int, num_seen: int, num_classes: int) -> Scores:
    """Scores of the classes seen, by classifier.

    Raises:
        ContractError: They are not scores.
    """
    several = isinstance(found, Mapping)
    scores: Scores = {}
    for name, tensor in (found if several else {"": found}).items():
        what = f"predict returned for classifier {name!r}" if name else "predict returned"
        if several and not (isinstance(name, str) and name.isidentifier()):
            raise ContractError(f"a classifier cannot be called {name!r}: use letters and _")
        if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2 or tensor.is_complex():
            shape = tuple(getattr(tensor, "shape", ()))
            raise ContractError(f"{what} {type(tensor).__name__} {shape}: it has to be (B, C)")
        if len(tensor) != rows or not num_seen <= tensor.shape[1] <= num_classes:
            raise ContractError(
                f"{what} scores of shape {tuple(tensor.shape)} for {rows} samples of {num_seen} "
                f"classes seen and {num_classes} in all"
            )
        values = tensor[:, :num_seen].float().cpu().numpy()
        if np.isnan(values).any() or not np.isfinite(values.max(1)).all():
            raise ContractError(f"{what} scores that are NaN, or none that is finite")
        scores[name] = values
    if not scores:
        raise ContractError("predict returned no scores")
    return scores


def _differ(one: NDArray[np.float32], other: NDArray[np.float32], tolerance: float) -> bool:
    """Whether two rows of scores of a sample differ by more than rounding."""
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return True
    one, other = one[finite], other[finite]
    scale = max(float(np.ptp(one)), float(np.abs(one).max()) * _FLAT, 1e-12)
    return bool(np.abs(one - other).max() > tolerance * scale)
