"""One pre-norm transformer block of ViLT, on packed or padded tokens, with prefix and adapter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.vilt.batch import Batch

_PACK_BELOW = 0.9  # share of real tokens; where packing and padding took equal time

#: Keys and values, each (P, D) or (B, P, D).
Prefix: TypeAlias = tuple[Tensor, Tensor]


class Layout:
    """Where the tokens of a batch lie: M of them packed, or in B padded sequences of length L.

    Packed tokens spend nothing on padding but are padded for attention in every block, which pays
    off only where there is much padding. Prompts are the last tokens of a sequence, and the last
    ones packed.
    """

    def __init__(self, batch: Batch, prompts: int = 0) -> None:
        self.prompts = prompts
        self.size = len(batch)
        before = batch.token_ids.shape[1] + 1 + batch.patch_mask.shape[1]
        self.length = before + prompts
        self.slots, self.mask = batch.slots, None
        if batch.slots is not None:
            mask = batch.mask
            if prompts:
                self.slots = self._with_prompts(batch.slots, before)
                mask = F.pad(mask, (0, prompts), value=True)
            self.mask = mask[:, None, None, :]
        total = self.size * self.length
        self.packed = self.slots is not None and len(self.slots) < _PACK_BELOW * total

    def _with_prompts(self, slots: Tensor, before: int) -> Tensor:
        """Slots in sequences that grew from a length of `before`, followed by those of prompts."""
        grown = slots // before * self.length + slots % before
        starts = torch.arange(self.size, device=slots.device)[:, None] * self.length + before
        prompts = starts + torch.arange(self.prompts, device=slots.device)
        return torch.cat([grown, prompts.flatten()])

    def spread(self, x: Tensor) -> Tensor:
        """(M, D) -> (B, L, D), zeros where padded."""
        assert self.slots is not None
        padded = x.new_zeros(self.size * self.length, x.shape[-1])
        return padded.index_copy(0, self.slots, x).view(self.size, self.length, -1)

    def pad(self, x: Tensor) -> Tensor:
        """Tokens in the form of this layout -> (B, L, D)."""
        return self.spread(x) if self.packed else x

    def pack(self, x: Tensor) -> Tensor:
        """(B, L, D) -> tokens in the form of this layout."""
        return x.flatten(0, 1)[self.slots] if self.packed else x


def for_each(rows: Tensor, batch: int, like: Tensor) -> Tensor:
    """Rows (P, D) or (B, P, D) as (B, P, D), in the number format of `like`.

    Raises:
        ValueError: They have another shape.
    """
    width = like.shape[-1]
    if rows.dim() not in (2, 3) or rows.shape[-1] != width or rows.shape[:-2] not in ((), (batch,)):
        raise ValueError(
            f"prompts and prefixes are (P, {width}) or ({batch}, P, {width}), "
            f"not {tuple(rows.shape)}"
        )
    return rows.to(like.dtype).expand(batch, -1, -1)


def block(
    layer: Any,
    x: Tensor,
    layout: Layout,
    maps: list[Tensor] | None = None,
    *,
    prefix: Prefix | None = None,
    adapter: Callable[[Tensor], Tensor] | None = None,
    cls_only: bool = False,
) -> Tensor:
    """One pre-norm transformer block, appending its attention to `maps` if there is a list.

    h = x + Attn(LN(x)); out = h + MLP(LN(h)) + adapter(h).

    Args:
        layer: transformers' `ViltLayer`.
        x: Tokens in the form of the layout.
        layout: Where they lie.
        maps: Gets (B, heads, L, L); the columns of a prefix are left out, not the weight on them.
        prefix: Put in front of the projected keys and values.
        adapter: Token by token.
        cls_only: The result is (B, 1, D), the first token of each sample.
    """
    attention = layer.attention.attention
    normed = layer.layernorm_before(x)
    key, value = layout.pad(attention.key(normed)), layout.pad(attention.value(normed))
    mask, own = layout.mask, 0
    if prefix is not None:
        keys, values = (for_each(rows, layout.size, key) for rows in prefix)
        if keys.shape != values.shape:
            raise ValueError(f"{keys.shape[1]} keys of a prefix for {values.shape[1]} values")
        own = keys.shape[1]
        key, value = torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)
        mask = None if mask is None else F.pad(mask, (own, 0), value=True)
    if cls_only:
        x, normed = layout.pad(x)[:, :1], layout.pad(normed)[:, :1]
        query = attention.query(normed)
    else:
        query = layout.pad(attention.query(normed))
    query, key, value = (
        t.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        for t in (query, key, value)
    )
    if maps is None:
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    else:
        scores = query @ key.transpose(-1, -2) / math.sqrt(attention.attention_head_size)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(dim=-1)
        # Without a prefix it is the tensor that is read from, and gradients reach it.
        maps.append(weights[..., own:] if own else weights)
        context = weights @ value
    context = context.transpose(1, 2).flatten(2)
    x = x + layer.attention.output.dense(context if cls_only else layout.pack(context))
    out = x + layer.output.dense(layer.intermediate(layer.layernorm_after(x)))
    return cast(Tensor, out if adapter is None else out + adapter(x))
