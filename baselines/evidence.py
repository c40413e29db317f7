"""Evidence of patches for a class: maps that are sound for a ViLT.

ViLT classifies a sample by one token, [CLS] of the text, and this token reads the patches through
attention. The logit's gradient with respect to the last layer's patch outputs is zero, so a class
activation map as in convolutional networks, or Grad-CAM, would be zero. What the
last block adds to [CLS] is sum_j sum_h A_h[j] W_O^h v_j^h over tokens j and heads h; with the
gradient g of the logit at this sum the share of token j is

    sum_h A_h[j] g^T W_O^h v_j^h  =  sum_h A_h[j] * d logit / d A_h[j]            (`vcam`)

Like a class activation map it is complete: all tokens together (and the bias of W_O) are g^T times
what the block adds. No weight is read for it, so scales and shifts are accounted for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.learner import Classifier
from baselines.vilt import Batch

#: Contributions of patches to the logit; their positive parts per head (gradient x attention);
#: plain attention, which does not depend on the class.
SOURCES = ("vcam", "grad_attention", "attention")


def contributions(attention: Tensor, gradient: Tensor) -> Tensor:
    """V-CAM, (B, K) from attention of [CLS] and the logit's gradient by it, each (B, heads, K)."""
    return (attention * gradient).sum(1)


def grad_attention(attention: Tensor, gradient: Tensor) -> Tensor:
    """Gradient x attention, negative parts dropped head by head: (B, K) from two (B, heads, K).

    >>> attention, gradient = torch.tensor([[[0.2, 0.5, 0.3]], [[0.1, -0.4, 0.6]]])
    >>> grad_attention(attention[None], gradient[None])
    tensor([[0.0200, 0.0000, 0.1800]])
    """
    return (attention * gradient).relu().sum(1)


def relevance(maps: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Gradient-weighted attention rollout (Chefer et al., ICCV 2021, equations 5 and 6).

    R starts as the identity; each layer adds A R, where A is the mean over heads of the positive
    part of gradient times attention.

    Args:
        maps: Attention of each layer, (B, heads, L, L).
        gradients: The logit's gradient by each of them.

    Returns:
        R (B, L, L): row i holds the relevance of all tokens to token i.
    """
    found = torch.eye(maps[0].shape[-1], device=maps[0].device).expand_as(maps[0][:, 0])
    for attention, gradient in zip(maps, gradients, strict=True):
        found = found + (attention * gradient).relu().mean(1) @ found
    return found


def attention_and_gradients(
    model: Classifier,
    batch: Batch,
    labels: Tensor | None,
    *,
    layers: int,
    create_graph: bool = False,
) -> tuple[list[Tensor], Sequence[Tensor], Tensor]:
    """Attention maps of the last layers, the gradients of one logit by them, and all logits.

    Args:
        model: ViLT with a linear head.
        batch: B samples.
        labels: (B,) class of the logit; None for the one the model predicts.
        layers: How many.
        create_graph: Let the gradients be differentiated again.

    Returns:
        `layers` maps and gradients (B, heads, L, L) each, and logits (B, C).
    """
    token = model.vilt.model.embeddings.cls_token
    trained = token.requires_grad
    with torch.enable_grad():
        token.requires_grad_(True)  # else a frozen backbone has no graph
        try:
            out = model.vilt(batch, attentions=True)
            logits = model.classify(out.pooled)
            maps = (out.attentions or [])[-layers:]
            chosen = logits.argmax(1) if labels is None else labels
            logit = logits.gather(1, chosen[:, None]).sum()
            gradients = torch.autograd.grad(logit, maps, create_graph=create_graph)
        finally:
            token.requires_grad_(trained)
    return maps, gradients, logits


def class_evidence(
    model: Classifier, batch: Batch, labels: Tensor, source: str, *, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Evidence of each patch for a class by one of `SOURCES`, and the logits.

    Returns:
        (B, K), zero where padded, and (B, C).
    """
    first = batch.token_ids.shape[1] + 1
    if source == "attention":
        out = model.vilt(batch, attentions=True)
        return (out.attentions or [])[-1][:, :, 0, first:].mean(1), model.classify(out.pooled)
    maps, gradients, logits = attention_and_gradients(
        model, batch, labels, layers=1, create_graph=create_graph
    )
    reduce = contributions if source == "vcam" else grad_attention
    return reduce(maps[0][:, :, 0, first:], gradients[0][:, :, 0, first:]), logits


def heat_map(evidence: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Evidence (K,) of all patches of a grid scaled to 0..1 and, bilinearly, to pixels (H, W).

    If all patches are equal, all is zero.
    """
    low, high = evidence.min(), evidence.max()
    scaled = (evidence - low) / (high - low).clamp(min=torch.finfo(evidence.dtype).tiny)
    rows, columns = grid
    size = (rows * patch_size, columns * patch_size)
    return F.interpolate(scaled.view(1, 1, *grid), size=size, mode="bilinear")[0, 0]
