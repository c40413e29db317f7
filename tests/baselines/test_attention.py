"""Scores of patches and words, by hand and against what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.vilt.attention import SOURCES, above_mean, patch_scores, reduce_layers, token_scores


def maps(layers: int = 3, batch: int = 2, heads: int = 2, length: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(batch, heads, length, length, generator=generator).softmax(-1)
        for _ in range(layers)
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_one_map_whose_rows_sum_to_one(source: str) -> None:
    reduced = reduce_layers(maps(), source)
    assert reduced.shape == (2, 5, 5)
    torch.testing.assert_close(reduced.sum(-1), torch.ones(2, 5))


def test_layers_by_hand() -> None:
    first = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])  # two heads
    second = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]).expand(1, 2, 2, 2)
    mean_of_heads = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    last = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(reduce_layers([first, second], "last")[0], last)
    torch.testing.assert_close(
        reduce_layers([first, second], "mean")[0], (mean_of_heads + last) / 2
    )
    half = torch.eye(2) / 2
    torch.testing.assert_close(
        reduce_layers([first, second], "rollout")[0],
        (last / 2 + half) @ (mean_of_heads / 2 + half),
    )
    torch.testing.assert_close(reduce_layers([first], "last"), reduce_layers([first], "mean"))


def test_rows_and_columns_are_those_of_the_paper() -> None:
    """Two words, the image's class token, three patches: A_CLS->I and A_I->T."""
    attention = torch.arange(36.0).view(1, 6, 6)
    assert patch_scores(attention, first_patch=3).tolist() == [[3, 4, 5]]
    dropped = torch.tensor([[True, False, True]])
    assert token_scores(attention, dropped, words=2, first_patch=3).tolist() == [
        [(18 + 30) / 2, (19 + 31) / 2]
    ]
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert token_scores(attention, nothing, words=2, first_patch=3).tolist() == [[0, 0]]


def test_the_threshold_is_each_samples_own_mean() -> None:
    scores = torch.tensor([[1.0, 2, 3, 10], [5, 5.5, 4, 5.5]])
    valid = torch.ones(2, 4, dtype=torch.bool)
    for row, kept in zip(scores, above_mean(scores, valid, factor=1), strict=True):
        assert kept.tolist() == (row > row.mean()).tolist()
    # Stretching and shifting a row, as for display, changes nothing.
    torch.testing.assert_close(
        above_mean(scores * 0.01 + 3, valid, factor=1), above_mean(scores, valid, factor=1)
    )


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.5, 1000.0])
def test_padding_changes_nothing_and_the_best_always_stays(factor: float) -> None:
    scores = torch.from_numpy(np.random.default_rng(1).random((20, 7), dtype=np.float32))
    padded = torch.cat([scores, torch.full((20, 5), 99.0)], dim=1)
    valid = torch.arange(12).expand(20, 12) < 7
    kept = above_mean(padded, valid, factor)
    assert not kept[:, 7:].any()
    assert torch.equal(kept[:, :7], above_mean(scores, torch.ones(20, 7, dtype=torch.bool), factor))
    assert kept.any(1).all()
    assert torch.equal(kept[torch.arange(20), scores.argmax(1)], torch.ones(20, dtype=torch.bool))


def test_a_higher_threshold_keeps_a_part_of_what_a_lower_one_keeps() -> None:
    scores = torch.from_numpy(np.random.default_rng(2).random((20, 9), dtype=np.float32))
    valid = torch.ones(20, 9, dtype=torch.bool)
    loose, tight = (above_mean(scores, valid, factor) for factor in (0.6, 1.2))
    assert (tight <= loose).all()
    assert tight.sum() < loose.sum()


def test_rows_without_a_valid_place_or_without_differences() -> None:
    scores = torch.tensor([[1.0, 2], [3, 3]])
    assert above_mean(scores, torch.zeros(2, 2, dtype=torch.bool), 1).any().item() is False
    assert above_mean(torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), 1).all()
    assert above_mean(scores, torch.ones(2, 2, dtype=torch.bool), 1).tolist() == [
        [False, True], [True, True],
    ]  # fmt: skip
