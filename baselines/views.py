"""What ViLT eats of a sample: any subset of its patches and words, alone and in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from baselines.backbone import Checkpoint
from baselines.pixels import Integers, Pixels, decode, from_pixels, target_size
from mm_imagenet_r.errors import UserError


@dataclass(frozen=True, slots=True)
class View:
    """A subset of the patches and words of one sample, in their original places.

    Attributes:
        patches: (K, P, P, 3) uint8, pixels of the kept patches after resizing.
        places: (K,) flat row-major position of each kept patch in the grid.
        grid: Rows and columns of the whole image, in patches.
        words: (T,) token ids kept; [CLS] is the first and always kept.
        positions: (T,) original position of each kept token in the text.
        text_length: Number of tokens before any was dropped.
    """

    patches: Pixels
    places: Integers
    grid: tuple[int, int]
    words: Integers
    positions: Integers
    text_length: int

    def keep(
        self,
        patches: npt.NDArray[np.bool_] | None = None,
        words: npt.NDArray[np.bool_] | None = None,
    ) -> View:
        """Return the view with fewer patches and words.

        Args:
            patches: (K,) boolean, one for each patch of this view; None keeps all.
            words: (T,) boolean, one for each word of this view; None keeps all. [CLS], which the
                model reads the sample's vector from, stays whatever its entry says.

        Raises:
            ValueError: A mask is not boolean or not of this view's length.
        """
        view = self
        if patches is not None:
            _check_mask(patches, len(self.patches), "patches")
            view = replace(view, patches=self.patches[patches], places=self.places[patches])
        if words is not None:
            _check_mask(words, len(self.words), "words")
            kept = words.copy()
            kept[:1] = True
            view = replace(view, words=self.words[kept], positions=self.positions[kept])
        return view

    def with_words_of(self, other: View) -> View:
        """The patches of this view with the words of another."""
        words, positions = other.words, other.positions
        return replace(self, words=words, positions=positions, text_length=other.text_length)


def _check_mask(mask: npt.NDArray[np.bool_], length: int, name: str) -> None:
    if mask.dtype != np.bool_ or mask.shape != (length,):
        raise ValueError(
            f"the mask of {name} must be boolean of shape ({length},), "
            f"but is {mask.dtype} of shape {mask.shape}"
        )


class Preprocessor:
    """Image bytes and caption -> `View`, by a backbone's own settings; deterministic.

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
            UserError: The backbone is absent, incomplete or no ViLT.
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
            UserError: The bytes are no image, or a damaged one.
        """
        rgb = decode(image)
        height, width = self.size_of(rgb.width, rgb.height)
        return np.asarray(rgb.resize((width, height), resample=self._resample))

    def words(self, caption: str) -> Integers:
        """Tokenize a caption: (T,) ids from [CLS] to [SEP], T at most `max_text_length`."""
        ids = self.tokenizer(caption, truncation=True, max_length=self.max_text_length)["input_ids"]
        return np.asarray(ids, dtype=np.int64)

    def count_cut(self, captions: Sequence[str]) -> int:
        """Count the captions that `words` shortens."""
        if not captions:
            return 0
        whole = self.tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > self.max_text_length for ids in whole)

    def view(self, image: bytes, caption: str) -> View:
        """Return the whole sample as the model sees it.

        Raises:
            UserError: The bytes are no image, or a damaged one.
        """
        return self.view_of(self.pixels(image), self.words(caption))

    def view_of(self, pixels: Pixels, words: Integers) -> View:
        """Return the view of pixels (H, W, 3) that are resized already and of token ids (T,)."""
        size = self.patch_size
        patches = from_pixels(pixels, size)
        return View(
            patches=patches,
            places=np.arange(len(patches)),
            grid=(pixels.shape[0] // size, pixels.shape[1] // size),
            words=words,
            positions=np.arange(len(words)),
            text_length=len(words),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Several views as tensors; B views, T the longest text, K the most patches, P patch size.

    A sequence is T text tokens, one image class token, K patches: L = T + 1 + K. Words are padded;
    patches come packed, sample after sample, since they are what costs.

    Attributes:
        words: (B, T) token ids, 0 where padded.
        positions: (B, T) original positions of the words.
        text_mask: (B, T) True where there is a word.
        patches: (N, P, P, 3) uint8, N patches in all.
        places: (N,) flat row-major position of each patch in its own image's grid.
        grids: (N, 2) rows and columns of the image that each patch comes from.
        patch_mask: (B, K) True where there is a patch.
        order: (M,) the M real tokens, sample after sample, as rows of the concatenation of all
            words (B * T), all image class tokens (B) and all patches (N); None if no padding.
        slots: (M,) place of each of these tokens in the flat padded sequences (B * L), or None.
    """

    words: Tensor
    positions: Tensor
    text_mask: Tensor
    patches: Tensor
    places: Tensor
    grids: Tensor
    patch_mask: Tensor
    order: Tensor | None
    slots: Tensor | None

    def __len__(self) -> int:
        return len(self.words)

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


def collate(views: Sequence[View]) -> Batch:
    """Put views of any sizes, also without a single patch, into one batch.

    Raises:
        ValueError: There are no views.
    """
    if not views:
        raise ValueError("a batch needs at least one view")
    text_lengths = np.array([len(view.words) for view in views])
    patch_counts = np.array([len(view.patches) for view in views])
    text_mask = np.arange(text_lengths.max()) < text_lengths[:, None]
    patch_mask = np.arange(patch_counts.max()) < patch_counts[:, None]
    words = np.zeros(text_mask.shape, dtype=np.int64)
    positions = np.zeros(text_mask.shape, dtype=np.int64)
    words[text_mask] = np.concatenate([view.words for view in views])
    positions[text_mask] = np.concatenate([view.positions for view in views])
    grids = np.repeat(np.array([view.grid for view in views], dtype=np.int64), patch_counts, axis=0)
    order, slots = _packing(text_mask, patch_mask)
    return Batch(
        words=torch.from_numpy(words),
        positions=torch.from_numpy(positions),
        text_mask=torch.from_numpy(text_mask),
        patches=torch.from_numpy(np.concatenate([view.patches for view in views])),
        places=torch.from_numpy(np.concatenate([view.places for view in views])),
        grids=torch.from_numpy(grids),
        patch_mask=torch.from_numpy(patch_mask),
        order=order,
        slots=slots,
    )


def _packing(
    text_mask: npt.NDArray[np.bool_], patch_mask: npt.NDArray[np.bool_]
) -> tuple[Tensor | None, Tensor | None]:
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
