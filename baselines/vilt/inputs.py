"""Inputs to ViLT: any subset of the patches and words of a sample, alone and in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from baselines.vilt.backbone import Checkpoint
from baselines.vilt.pixels import Integers, Pixels, decode, from_pixels, target_size, to_pixels
from mm_imagenet_r.errors import UserError

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ViltInput:
    """A subset of the patches and words of one sample, at their original positions.

    Attributes:
        patches: (K, P, P, 3) uint8, pixels of the kept patches after resizing.
        patch_indices: (K,) flat row-major index of each kept patch in the grid.
        grid: Rows and columns of the whole image, in patches.
        token_ids: (T,) of the kept words; [CLS] is the first and always kept.
        positions: (T,) original position of each kept token in the text.
        text_length: Number of tokens before any was dropped.
    """

    patches: Pixels
    patch_indices: Integers
    grid: tuple[int, int]
    token_ids: Integers
    positions: Integers
    text_length: int

    def __repr__(self) -> str:
        total = self.grid[0] * self.grid[1]
        return (
            f"ViltInput({len(self.patches)} of {total} patches, "
            f"{len(self.token_ids)} of {self.text_length} tokens)"
        )

    def picture(self) -> Image.Image:
        """The kept patches at their places, grey elsewhere."""
        return Image.fromarray(to_pixels(self.patches, self.patch_indices, self.grid))

    def keep(self, patches: Mask | None = None, words: Mask | None = None) -> ViltInput:
        """Return the input with fewer patches and words.

        Args:
            patches: (K,) boolean, one for each patch of this input; None keeps all.
            words: (T,) boolean, one for each word of this input; None keeps all. [CLS], which the
                model reads the sample's vector from, stays whatever its entry says.

        Raises:
            ValueError: A mask is not boolean or not of this input's length.
        """
        patches = _check_mask(patches, len(self.patches), "patches")
        words = _check_mask(words, len(self.token_ids), "words")
        words[:1] = True
        return replace(
            self,
            patches=self.patches[patches],
            patch_indices=self.patch_indices[patches],
            token_ids=self.token_ids[words],
            positions=self.positions[words],
        )

    def with_text_of(self, other: ViltInput) -> ViltInput:
        """The patches of this input with the words of another."""
        ids, positions = other.token_ids, other.positions
        return replace(self, token_ids=ids, positions=positions, text_length=other.text_length)


def _check_mask(mask: Mask | None, length: int, name: str) -> Mask:
    """A copy of the mask; all True for None."""
    if mask is None:
        return np.ones(length, dtype=np.bool_)
    if mask.dtype != np.bool_ or mask.shape != (length,):
        raise ValueError(
            f"the mask of {name} must be boolean of shape ({length},), "
            f"but is {mask.dtype} of shape {mask.shape}"
        )
    return mask.copy()


class Preprocessor:
    """Image bytes and caption -> `ViltInput`, by the settings of a backbone; deterministic.

    Equal to transformers' `ViltProcessor` (Pillow back end) pixel for pixel and token for token.

    Attributes:
        patch_size: Side of a patch in pixels.
        max_text_length: Longest text in tokens, [CLS] and [SEP] included.
        tokenizer: The backbone's tokenizer.
        image_processor: The backbone's image processor.
        cls_token_id: Token id of [CLS].
        sep_token_id: Token id of [SEP].
    """

    def __init__(
        self, image_processor: Any, tokenizer: Any, *, patch_size: int, max_text_length: int
    ) -> None:
        if image_processor.size_divisor % patch_size:
            raise UserError(
                f"the image processor rounds sides to multiples of {image_processor.size_divisor}, "
                f"which patches of {patch_size} do not tile: set its size_divisor to {patch_size}"
            )
        if max_text_length < 2:
            raise UserError(f"max_text_length is {max_text_length}: [CLS] and [SEP] need 2 or more")
        self.patch_size = patch_size
        self.max_text_length = max_text_length
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.cls_token_id = int(tokenizer.cls_token_id)
        self.sep_token_id = int(tokenizer.sep_token_id)
        self._shorter = int(image_processor.size["shortest_edge"])
        self._divisor = int(image_processor.size_divisor)
        self._resample = Image.Resampling(image_processor.resample)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, max_text_length: int | None = None
    ) -> Preprocessor:
        """Read the image processor and the tokenizer of a backbone.

        Args:
            name: Folder, Hub id (`id@REVISION` pins it), or `tiny`.
            max_text_length: Longest text in tokens; None for as long as the backbone was trained.

        Raises:
            UserError: The backbone is absent, incomplete or not a ViLT.
        """
        checkpoint = Checkpoint.find(name)
        config = checkpoint.config()
        return cls(
            checkpoint.image_processor(),
            checkpoint.tokenizer(config.vocab_size),
            patch_size=config.patch_size,
            max_text_length=max_text_length or config.max_position_embeddings,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write image processor and tokenizer as transformers' `ViltProcessor` reads them."""
        from transformers import ViltProcessor

        processor_class: Any = ViltProcessor
        processor_class(self.image_processor, self.tokenizer).save_pretrained(folder)

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Height and width in pixels to which an image is resized."""
        return target_size(height, width, shorter=self._shorter, divisor=self._divisor)

    def pixels(self, image: bytes) -> Pixels:
        """Decode an image file and resize it: (H, W, 3) uint8, both sides multiples of a patch.

        Raises:
            UserError: The bytes are not an image, or damaged.
        """
        rgb = decode(image)
        height, width = self.size_of(rgb.width, rgb.height)
        return np.asarray(rgb.resize((width, height), resample=self._resample))

    def token_ids(self, caption: str) -> Integers:
        """Tokenize a caption: (T,) ids from [CLS] to [SEP], T at most `max_text_length`."""
        ids = self.tokenizer(caption, truncation=True, max_length=self.max_text_length)["input_ids"]
        return np.asarray(ids, dtype=np.int64)

    def count_cut(self, captions: Sequence[str]) -> int:
        """Count the captions that `token_ids` shortens."""
        if not captions:
            return 0
        whole = self.tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > self.max_text_length for ids in whole)

    def input(self, image: bytes, caption: str) -> ViltInput:
        """Return the whole sample as the model sees it.

        Raises:
            UserError: The bytes are not an image, or damaged.
        """
        return self.input_of(self.pixels(image), self.token_ids(caption))

    def input_of(self, pixels: Pixels, token_ids: Integers) -> ViltInput:
        """Return the input of pixels (H, W, 3), already resized, and token ids (T,)."""
        size = self.patch_size
        patches = from_pixels(pixels, size)
        return ViltInput(
            patches=patches,
            patch_indices=np.arange(len(patches)),
            grid=(pixels.shape[0] // size, pixels.shape[1] // size),
            token_ids=token_ids,
            positions=np.arange(len(token_ids)),
            text_length=len(token_ids),
        )


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
        slots: (M,) place of each of these tokens in the flat padded sequences (B * L), or None.
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
        raise ValueError("a batch needs at least one view")
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
