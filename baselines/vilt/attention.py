"""Attention scores of patches and words, read from a transformer's attention maps.

Maps are a list over layers of (B, heads, L, L) with rows that sum to one; the sequence is text,
image class token, patches. Padding has weight zero everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Ways of reducing the layers to one map (B, L, L); heads are always averaged.
SOURCES = ("last", "mean", "rollout")


def reduce_layers(maps: Sequence[Tensor], source: str) -> Tensor:
    """One map (B, L, L) from those of all layers.

    `last` is the final layer, `mean` the mean over layers, `rollout` the product over layers of
    the half-and-half mix with the residual path (Abnar & Zuidema 2020, arXiv 2005.00928).
    """
    heads = [layer.float().mean(1) for layer in maps]
    if source == "last":
        return heads[-1]
    if source == "mean":
        return torch.stack(heads).mean(0)
    identity = torch.eye(heads[0].shape[-1], device=heads[0].device)
    total = identity.expand_as(heads[0])
    for layer in heads:
        total = (0.5 * layer + 0.5 * identity) @ total
    return total


def patch_scores(attention: Tensor, first_patch: int) -> Tensor:
    """A_{CLS->I}: attention of the text class token (position 0) to each patch, (B, K)."""
    return attention[:, 0, first_patch:]


def token_scores(attention: Tensor, dropped: Tensor, words: int, first_patch: int) -> Tensor:
    """A_{I->T}: mean attention of the discarded patches to each word, (B, T).

    Args:
        attention: (B, L, L).
        dropped: (B, K) bool, the patches that are discarded.
        words: T.
        first_patch: Position of the first patch in the sequence.
    """
    rows = attention[:, first_patch:, :words] * dropped[..., None]
    return rows.sum(1) / dropped.sum(1, keepdim=True).clamp(min=1)


def above_mean(scores: Tensor, valid: Tensor, factor: float) -> Tensor:
    """Where a score exceeds `factor` times the mean over its own row's valid entries, (B, N) bool.

    With `factor` 1 the threshold is the sample's own mean. The highest score always
    counts, so that no row with a valid entry comes out empty.

    >>> scores = torch.tensor([[1.0, 2.0, 6.0, 9.0]])
    >>> above_mean(scores, torch.tensor([[True, True, True, False]]), factor=1)
    tensor([[False, False,  True, False]])
    """
    scores = scores.masked_fill(~valid, 0)
    mean = scores.sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp(min=1)
    best = scores.masked_fill(~valid, -1).amax(1, keepdim=True)
    return ((scores > factor * mean) | (scores == best)) & valid
