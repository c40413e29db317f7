"""Inputs to ViLT: any subset of the patches and words of a sample."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

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
        """The kept patches at their positions, gray elsewhere."""
        return Image.fromarray(to_pixels(self.patches, self.patch_indices, self.grid))

    def png(self) -> bytes:
        """`picture` as a PNG file."""
        buffer = io.BytesIO()
        self.picture().save(buffer, "PNG")
        return buffer.getvalue()

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

    def count_long(self, captions: Sequence[str]) -> int:
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
