"""Readings of a class: by hand, and what each does to a head that leans to new classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.classifiers import aligned, balanced, class_mean, class_means, nearest_mean
from baselines.exemplars import selection

HEAD = torch.tensor([[3.0, 4], [0, 5], [6, 8], [0, 10]])


def test_new_rows_get_the_mean_length_of_the_old_ones() -> None:
    """Lengths 5, 5 | 10, 10: gamma is .5."""
    scaled = aligned(HEAD, 2)
    assert scaled.tolist() == [[3, 4], [0, 5], [3, 4], [0, 5]]
    assert HEAD[2].tolist() == [6, 8]  # what was given stays
    uneven = aligned(torch.tensor([[3.0, 4], [0, 1], [0, 6]]), 2)
    assert uneven[2].tolist() == [0, 3]
    for num_old in (0, 4):  # there is nothing to compare with
        assert torch.equal(aligned(HEAD, num_old), HEAD)


def test_nearest_mean_by_hand() -> None:
    mean = class_mean(np.array([[1.0, 1], [2, 1]]))
    np.testing.assert_allclose(mean, [0.811242, 0.584710], atol=1e-6)
    means = torch.tensor([mean.tolist(), [-0.447214, 0.894427]])
    scores = nearest_mean(torch.tensor([[0.2, 1.0]]), means)
    torch.testing.assert_close(scores, torch.tensor([[-0.535093, -0.421296]]), atol=1e-5, rtol=0)


def test_means_of_classes_and_of_those_without_any_feature() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(9, 4)).astype(np.float32), np.array([0] * 4 + [3] * 5)
    means = class_means(features, labels, 5)
    assert means.shape == (5, 4)
    assert means.dtype == torch.float32
    for label in (0, 3):
        np.testing.assert_allclose(means[label], class_mean(features[labels == label]), atol=1e-6)
    assert not means[[1, 2, 4]].any()
    scores = nearest_mean(torch.from_numpy(features), means)
    assert (scores[:, [1, 2, 4]].max(1).values < scores[:, [0, 3]].min(1).values).all()
    assert torch.isfinite(scores).all()
    # However the features are scaled, and however far they lie from a mean.
    torch.testing.assert_close(nearest_mean(7 * torch.from_numpy(features), means), scores)
    opposite = nearest_mean(-means[[0]], means)
    assert opposite[0, 0] == pytest.approx(-4, abs=1e-5)
    assert opposite[0, 1] == -5


def leaning(rng: np.random.Generator, lean: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Six directions as a head whose last two rows win: they are longer and have a larger bias."""
    rows = torch.from_numpy(selection.unit(rng.normal(size=(6, 16)))).float()
    rows[4:] *= 1 + lean
    bias = torch.tensor([0.0, 0, 0, 0, lean, lean])
    return rows, bias


def around(rows: np.ndarray, count: list[int], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Noisy features about each row, so many of each."""
    labels = np.repeat(np.arange(len(rows)), count)
    features = selection.unit(rows)[labels] + 0.15 * rng.normal(size=(len(labels), rows.shape[1]))
    return features.astype(np.float32), labels


def accuracy(
    features: np.ndarray, labels: np.ndarray, weight: torch.Tensor, bias: torch.Tensor
) -> float:
    found = torch.nn.functional.linear(torch.from_numpy(features), weight, bias).argmax(1)
    return float(np.mean(found.numpy() == labels))


def test_a_head_that_leans_to_new_classes_is_set_right() -> None:
    """Although the new classes have ten times as many exemplars as the old ones."""
    rng = np.random.default_rng(1)
    weight, bias = leaning(rng, 1.0)
    kept = around(weight.numpy(), [4, 4, 4, 4, 40, 40], rng)
    features, labels = around(weight.numpy(), [100] * 6, rng)
    old = labels < 4
    before = accuracy(features[old], labels[old], weight, bias)
    fitted = balanced(*kept, weight, bias)
    assert before < 0.5
    assert accuracy(features[old], labels[old], *fitted) > 0.95
    assert accuracy(features, labels, *fitted) > 0.95
    assert [tensor.dtype for tensor in fitted] == [torch.float32] * 2
    again = balanced(*kept, weight, bias)
    assert all(torch.equal(*pair) for pair in zip(fitted, again, strict=True))


def test_each_class_counts_the_same() -> None:
    """Ten copies of every exemplar of one class change nothing; a plain mean would move."""
    rng = np.random.default_rng(2)
    weight, bias = leaning(rng, 0.3)
    features, labels = around(weight.numpy(), [6] * 6, rng)
    often = np.concatenate([np.arange(36), *[np.flatnonzero(labels == 5)] * 9])
    once = balanced(features, labels, weight, bias)
    again = balanced(features[often], labels[often], weight, bias)
    for one, other in zip(once, again, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_it_is_the_minimum_that_is_promised() -> None:
    """No other head near it has a smaller loss: the gradient is zero there."""
    rng = np.random.default_rng(3)
    weight, bias = leaning(rng, 0.5)
    features, labels = around(weight.numpy(), [2, 3, 4, 5, 6, 7], rng)
    w, b = (t.double().requires_grad_() for t in balanced(features, labels, weight, bias))
    logits = torch.nn.functional.linear(torch.from_numpy(features).double(), w, b)
    losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    mean = sum(losses[torch.from_numpy(labels == c)].mean() for c in range(6)) / 6
    held = (w - weight.double()).square().sum() + (b - bias.double()).square().sum()
    (mean + 0.5 * 0.01 * held).backward()
    assert w.grad is not None
    assert b.grad is not None
    assert float(w.grad.abs().max()) < 1e-3
    assert float(b.grad.abs().max()) < 1e-3


def test_classes_without_exemplars_keep_their_rows() -> None:
    rng = np.random.default_rng(4)
    weight, bias = leaning(rng, 1.0)
    features, labels = around(weight.numpy(), [5, 0, 5, 0, 5, 0], rng)
    given = weight.clone(), bias.clone()
    fitted = balanced(features, labels, weight, bias)
    for before, after in zip((weight, bias), fitted, strict=True):
        assert torch.equal(after[[1, 3, 5]], before[[1, 3, 5]])
        assert not torch.equal(after[[0, 2, 4]], before[[0, 2, 4]])
    assert all(torch.equal(*pair) for pair in zip(given, (weight, bias), strict=True))
    for alone in (labels == 0, np.zeros(15, dtype=bool)):  # there is nothing to tell apart
        same = balanced(features[alone], labels[alone], weight, bias)
        assert all(torch.equal(*pair) for pair in zip(same, (weight, bias), strict=True))


def test_it_fits_where_gradients_are_off() -> None:
    rng = np.random.default_rng(5)
    weight, bias = leaning(rng, 1.0)
    kept = around(weight.numpy(), [5] * 6, rng)
    with torch.no_grad():
        off = balanced(*kept, weight, bias)
    on = balanced(*kept, weight.requires_grad_(), bias.requires_grad_())
    for one, other in zip(off, on, strict=True):
        assert torch.equal(one, other)
        assert not other.requires_grad
