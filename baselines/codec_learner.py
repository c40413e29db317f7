"""Replay of exemplars that are encoded again, with a codec and quality that are chosen once.

Trying every codec at every quality takes long, and exemplars of all phases should look alike: the
choice of the first phase is kept in the state, as two bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from baselines.exemplars.codecs import decode_text
from baselines.exemplars.pictures import (
    CODECS,
    available,
    damaged,
    decode_picture,
    fewest_bytes,
)
from baselines.replay_learner import ReplayLearner, ReplaySettings
from baselines.settings import require, setting
from baselines.vilt import ViltInput
from baselines.vilt.pixels import Pixels
from benchmark.exemplar import Exemplar

FIDELITY = "fidelity of the stored pixels in dB if quality is 0"
FIDELITIES = (20.0, 23.0, 26.0, 30.0)  # below 20 the least quality of a codec is all there is
_STATE = "codec"  # its name among the tensors of the state

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class CodecChoice:
    """A codec, by its name in `pictures.CODECS`, and its quality, 1 to 100."""

    codec: str
    quality: int

    def to_tensor(self) -> Tensor:
        """(2,) uint8: the codec's number, and the quality.

        >>> CodecChoice("webp", 75).to_tensor()
        tensor([ 3, 75], dtype=torch.uint8)
        """
        return torch.tensor([list(CODECS).index(self.codec), self.quality], dtype=torch.uint8)

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> CodecChoice | None:
        """What `to_tensor` returned; None of zeros, which stand for no choice yet.

        Raises:
            ValueError: The tensor holds nothing of the kind.
        """
        codec, quality = tensor.tolist() if tensor.shape == (2,) else (-1, -1)
        if codec not in range(len(CODECS)) or quality not in range(101):
            raise ValueError("the saved state does not fit: it names no codec and quality")
        return cls(list(CODECS)[codec], quality) if quality else None


@dataclass(frozen=True)
class CodecSettings(ReplaySettings):
    """Settings of methods that may use any codec."""

    codec: str = setting("auto", "auto (the codec that needs the fewest bytes) or the name of one")
    quality: int = setting(
        0, "quality of that codec, 1 to 100; 0: the lowest that gives min_psnr", within="[0, 100]"
    )
    min_psnr: float = setting(23.0, FIDELITY, search=FIDELITIES)

    @classmethod
    def candidates(cls) -> tuple[str, ...]:
        """Codecs to choose from: here those that make image files."""
        return tuple(name for name in available() if name != "raw")

    def __post_init__(self) -> None:
        """Refuse unknown codecs, and values that could not take effect."""
        super().__post_init__()
        known = ("auto", *self.candidates())
        require(self.codec in known, f"codec={self.codec}: choose one of {', '.join(known)}")
        without = self.quality and (self.codec == "auto" or self.lossless)
        require(not without, f"quality={self.quality}: codec={self.codec} has none; name another")
        default = next(field.default for field in fields(self) if field.name == "min_psnr")
        unused = self.min_psnr != default and (self.quality or self.lossless)
        require(not unused, "min_psnr has no effect with a quality or a lossless codec")

    @property
    def lossless(self) -> bool:
        """Whether a lossless codec is named."""
        return self.codec in CODECS and not CODECS[self.codec].lossy

    @property
    def fixed(self) -> CodecChoice | None:
        """What the settings alone say; None if it has to be measured."""
        if self.lossless:
            return CodecChoice(self.codec, 100)
        return CodecChoice(self.codec, self.quality) if self.quality else None


@dataclass(frozen=True)
class PartSettings(CodecSettings):
    """Settings of methods that keep a part of a picture: raw where samples are counted."""

    min_psnr: float = setting(23.0, FIDELITY, search=FIDELITIES, search_in="bytes")

    @classmethod
    def candidates(cls) -> tuple[str, ...]:
        """All codecs there are: small parts may be shortest raw."""
        return available()


class CodecLearner(ReplayLearner):
    """Chooses a codec and quality once, and decodes whole pictures.

    Attributes:
        choice: Codec and quality; None until they are chosen.
        measured: Number of samples of the first phase that they are measured on.
        free_codec: Used by `auto` where bytes are free, so that none are saved at a loss; "" if
            `auto` measures there, too.
    """

    choice: CodecChoice | None = None
    measured: ClassVar[int] = 12
    free_codec: ClassVar[str] = "raw"

    def choose(
        self,
        items: Sequence[_Item],
        measure: Callable[[_Item, str, int], tuple[int, float]],
        currency: str,
    ) -> CodecChoice:
        """The existing choice, else that of the settings, else the one with the fewest bytes.

        Args:
            items: What will be stored of the phase's samples.
            measure: Of an item, a codec and a quality: length in bytes and PSNR in dB.
            currency: Of the memory.
        """
        settings, auto = self.settings, self.settings.codec == "auto"
        self.choice = self.choice or settings.fixed
        if not self.choice and auto and self.free_codec and currency != "bytes":
            self.choice = CodecChoice(self.free_codec, 100)
        if not self.choice:
            some = [items[i] for i in range(0, len(items), -(-len(items) // self.measured))]
            candidates = settings.candidates() if auto else [settings.codec]
            self.choice = CodecChoice(*fewest_bytes(some, measure, candidates, settings.min_psnr))
        return self.choice

    def decode(self, exemplar: Exemplar) -> ViltInput:
        """The picture that was stored, and the whole caption.

        Raises:
            ValueError: The exemplar is damaged.
        """
        token_ids, _, _ = decode_text(exemplar.text)
        pixels = self.decode_pixels(exemplar.image)
        try:
            return self.preprocessor.input_of(pixels, token_ids)
        except ValueError as error:
            raise damaged("image", str(error)) from error

    def decode_pixels(self, image: bytes) -> Pixels:
        """Pixels (H, W, 3), as the model sees them, of what was stored of the image.

        Raises:
            ValueError: The bytes are damaged.
        """
        return decode_picture(image)

    def state(self) -> dict[str, Tensor]:
        """What is trained, and the choice."""
        chosen = self.choice.to_tensor() if self.choice else torch.zeros(2, dtype=torch.uint8)
        return {**super().state(), _STATE: chosen}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        if _STATE not in state:
            raise ValueError(f"the saved state does not fit: {_STATE}")
        super().load_state({name: value for name, value in state.items() if name != _STATE})
        self.choice = CodecChoice.from_tensor(state[_STATE])


def relative_size(stored: int, native: int, raw: int) -> float:
    """Share of an untouched sample that a re-encoded picture is charged, where samples are counted.

    That is its bytes over those of the native file, as MRDC counts; a native file that is longer
    than the raw pixels the model sees of it counts as these.

    Args:
        stored: Bytes kept of the picture.
        native: Bytes of its own file.
        raw: Bytes of its pixels at the size the model sees.

    >>> relative_size(50, 200, 1000), relative_size(50, 200, 100), relative_size(250, 200, 1000)
    (0.25, 0.5, 1.0)
    """
    return min(1.0, stored / min(native, raw))
