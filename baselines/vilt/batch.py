"""Several inputs to ViLT as one batch of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from baselines.vilt.inputs import Mask, ViltInput
from baselines.vilt.pixels import Integers


@dataclass(frozen=True, slots=True)
class Batch:
    """Several inputs as tensors; B inputs, T the longest text, K the most patches, P patch size.

    A sequence is T text tokens, one image class token, K patches: L = T + 1 + K. Words are padded;
    patches come packed, sample after sample, since they are what costs.

    Attributes:
        token_ids: (B, T), 0 where padded.
        positions: (B, T) original positions of the tokens.
        text_mask: (B, T) True where there is a word.
        patches: (N, P, P, 3) uint8, N patches in all.
        patch_indices: (N,) flat row-major index of each patch in its own image's grid.
        grids: (N, 2) rows and columns of the image that each patch comes from.
        patch_mask: (B, K) True where there is a patch.
        order: (M,) the M real tokens, sample after sample, as rows of the concatenation of all
            words (B * T), all image class tokens (B) and all patches (N); None if no padding.
        slots: (M,) index of each of these tokens in the flat padded sequences (B * L), or None.
    """

    token_ids: Tensor
    positions: Tensor
    text_mask: Tensor
    patches: Tensor
    patch_indices: Tensor
    grids: Tensor
    patch_mask: Tensor
    order: Tensor | None
    slots: Tensor | None

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def mask(self) -> Tensor:
        """(B, L) True where there is a token: words, image class token, patches."""
        image = self.text_mask.new_ones(len(self), 1)
        return torch.cat([self.text_mask, image, self.patch_mask], dim=1)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory (a `DataLoader` with pin_memory calls this)."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return replace(self, **{k: change(value) for k, value in values if value is not None})


def collate(inputs: Sequence[ViltInput]) -> Batch:
    """Put inputs of any sizes, also without a single patch, into one batch.

    Raises:
        ValueError: There are no inputs.
    """
    if not inputs:
        raise ValueError("a batch needs at least one input")
    lengths = np.array([len(one.token_ids) for one in inputs])
    counts = np.array([len(one.patches) for one in inputs])
    text_mask = np.arange(lengths.max()) < lengths[:, None]
    patch_mask = np.arange(counts.max()) < counts[:, None]

    def padded(rows: list[Integers]) -> Tensor:
        table = np.zeros(text_mask.shape, dtype=np.int64)
        table[text_mask] = np.concatenate(rows)
        return torch.from_numpy(table)

    grids = np.array([one.grid for one in inputs], dtype=np.int64)
    order, slots = _packing(text_mask, patch_mask)
    return Batch(
        token_ids=padded([one.token_ids for one in inputs]),
        positions=padded([one.positions for one in inputs]),
        text_mask=torch.from_numpy(text_mask),
        patches=torch.from_numpy(np.concatenate([one.patches for one in inputs])),
        patch_indices=torch.from_numpy(np.concatenate([one.patch_indices for one in inputs])),
        grids=torch.from_numpy(np.repeat(grids, counts, axis=0)),
        patch_mask=torch.from_numpy(patch_mask),
        order=order,
        slots=slots,
    )


def _packing(text_mask: Mask, patch_mask: Mask) -> tuple[Tensor | None, Tensor | None]:
    """Return `Batch.order` and `Batch.slots`."""
    if text_mask.all() and patch_mask.all():
        return None, None
    batch, text = text_mask.shape
    rows = np.zeros((batch, text + 1 + patch_mask.shape[1]), dtype=np.int64)
    rows[:, :text] = np.arange(batch * text).reshape(batch, text)
    rows[:, text] = batch * text + np.arange(batch)
    rows[:, text + 1 :][patch_mask] = batch * (text + 1) + np.arange(patch_mask.sum())
    real = np.concatenate([text_mask, np.ones((batch, 1), dtype=bool), patch_mask], axis=1)
    return torch.from_numpy(rows[real]), torch.from_numpy(np.flatnonzero(real))
