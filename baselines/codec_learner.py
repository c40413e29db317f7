"""Replay of exemplars that are encoded anew, with a codec and quality that are chosen once.

Trying every codec at every quality takes long, and exemplars of all phases should look alike: the
choice of the first phase is carried on in the state, as two bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from baselines.exemplars.pictures import CODECS, available
from baselines.learner import check_choice, require, setting
from baselines.replay_learner import ReplayLearner, ReplaySettings

FIDELITY = "fidelity of the stored pixels in dB where quality is 0"
FIDELITIES = (20.0, 23.0, 26.0, 30.0)  # below 20 the least quality of a codec is all there is
_STATE = "codec"  # its name among the tensors of the state


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
            ValueError: The tensor says nothing of the kind.
        """
        codec, quality = tensor.tolist() if tensor.shape == (2,) else (-1, -1)
        if codec not in range(len(CODECS)) or quality not in range(101):
            raise ValueError("the saved state does not fit: it names no codec and quality")
        return cls(list(CODECS)[codec], quality) if quality else None


@dataclass(frozen=True)
class CodecSettings(ReplaySettings):
    """Settings of methods that may take any codec."""

    codec: str = setting("auto", "auto (the one that needs the fewest bytes) or a codec by name")
    quality: int = setting(0, "quality of that codec, 1 to 100; 0: the least that gives min_psnr")
    min_psnr: float = setting(23.0, FIDELITY, search=FIDELITIES)

    @classmethod
    def candidates(cls) -> tuple[str, ...]:
        """Codecs to choose from: here those that make image files."""
        return tuple(name for name in available() if name != "raw")

    def __post_init__(self) -> None:
        """Refuse values outside their range, and those that could not take effect."""
        super().__post_init__()
        check_choice("codec", self.codec, ("auto", *self.candidates()))
        require(0 <= self.quality <= 100, f"quality={self.quality}: 1 to 100, or 0 for min_psnr")
        without = self.quality and (self.codec == "auto" or self.lossless)
        require(not without, f"quality={self.quality}: codec={self.codec} has none; name another")
        default = next(field.default for field in fields(self) if field.name == "min_psnr")
        unused = self.min_psnr != default and (self.quality or self.lossless)
        require(not unused, "min_psnr has no effect with a quality or a lossless codec")

    @property
    def lossless(self) -> bool:
        """Whether a codec is named that loses nothing."""
        return self.codec in CODECS and not CODECS[self.codec].lossy

    @property
    def fixed(self) -> CodecChoice | None:
        """What the settings say alone; None if it has to be measured."""
        if self.lossless:
            return CodecChoice(self.codec, 100)
        return CodecChoice(self.codec, self.quality) if self.quality else None


@dataclass(frozen=True)
class RawInSamplesSettings(CodecSettings):
    """Settings of methods that keep raw pixels where samples are counted and bytes are free."""

    min_psnr: float = setting(23.0, FIDELITY, search=FIDELITIES, search_in="bytes")


class CodecLearner(ReplayLearner):
    """Carries on how exemplars are encoded.

    Attributes:
        choice: Codec and quality; None until they are chosen.
    """

    choice: CodecChoice | None = None

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
    """Share of an untouched sample that a re-encoded picture is, where samples are counted.

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
