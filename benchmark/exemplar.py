"""What is kept of a sample, as bytes, and the record it is on disk.

What is written here is what is charged and what training gets back.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchmark.errors import ContractError

if TYPE_CHECKING:
    from benchmark.data import Sample, Samples
    from benchmark.method import Method

#: Words that may say how an exemplar was encoded; a free word could carry data.
CODECS = frozenset(
    {"native", "raw", "png", "jpeg", "jpeg444", "webp", "webp_lossless", "avif", "avif444", "jxl"}
)
_ENDS = "a record of the memory is cut off"
_SLACK = 256  # bytes for headers, masks and markers of a payload
_HEAD = struct.Struct("<HH")  # label; kept share of the pixels in 1/65535


@dataclass(frozen=True, slots=True)
class Exemplar:
    """What is kept of one sample, as bytes; only the method that wrote it knows how to read it.

    `pixel_fraction` is the share of the image's pixels that is kept, in (0, 1], to 1/65535.
    """

    label: int
    image: bytes
    text: bytes
    extra: bytes = b""
    pixel_fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.pixel_fraction <= 1 or not 0 <= self.label < 65536:
            raise ValueError(
                f"label {self.label} or pixel_fraction {self.pixel_fraction} is out of range"
            )
        # Rounded up, so that the share is never understated and survives writing and reading.
        steps = max(1, math.ceil(self.pixel_fraction * 65535 - 1e-6))
        object.__setattr__(self, "pixel_fraction", steps / 65535)

    def to_bytes(self) -> bytes:
        """The record as it lies on disk."""
        parts = (self.image, self.text, self.extra)
        head = _HEAD.pack(self.label, round(self.pixel_fraction * 65535))
        return head + b"".join(_varint(len(part)) for part in parts) + b"".join(parts)

    @property
    def nbytes(self) -> int:
        """Length of the record on disk: image, text, extra, label and framing; all is charged."""
        return record_bytes(len(self.image), len(self.text), len(self.extra))


def record_bytes(image: int, text: int, extra: int = 0) -> int:
    """Length of a record on disk from the lengths of its parts.

    >>> record_bytes(6, 200) == Exemplar(3, b"pixels", bytes(200)).nbytes
    True
    """
    return _HEAD.size + sum(length + len(_varint(length)) for length in (image, text, extra))


def read_records(data: bytes) -> list[Exemplar]:
    """Read back a file of records.

    Raises:
        ValueError: The data ends inside a record.

    >>> kept = Exemplar(3, b"pixels", b"words", pixel_fraction=0.5)
    >>> read_records(kept.to_bytes() * 2) == [kept, kept]
    True
    """
    found, at = [], 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            raise ValueError(_ENDS)
        label, pixels = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        lengths = []
        for _ in range(3):
            length, at = _read_varint(data, at)
            lengths.append(length)
        image, text = at + lengths[0], at + lengths[0] + lengths[1]
        end = text + lengths[2]
        if end > len(data):
            raise ValueError(_ENDS)
        found.append(
            Exemplar(label, data[at:image], data[image:text], data[text:end], pixels / 65535)
        )
        at = end
    return found


@dataclass(frozen=True)
class StoredExemplar:
    """One exemplar as a method hands it over, with what the audit wants to know of it.

    File name and codec are for people and not charged; so they must not carry anything else.

    Attributes:
        exemplar: What is kept.
        file_name: The sample's; "" if it takes the place of `old`.
        codec: How it was encoded: one of `CODECS`.
        old: The exemplar that this one is another encoding of; methods know no names of old ones.
    """

    exemplar: Exemplar
    file_name: str = ""
    codec: str = "native"
    old: Exemplar | None = None

    @classmethod
    def whole(cls, sample: Sample) -> StoredExemplar:
        """A sample as it is: its image file and its caption."""
        exemplar = Exemplar(sample.label, sample.image, sample.caption.encode())
        return cls(exemplar, sample.file_name)


class RawSize(NamedTuple):
    """How much there is of a sample: pixels as the model sees them, bytes of file and caption."""

    pixels: int
    file: int
    caption: int


class RawSizes(Mapping[str, RawSize]):
    """How much there is of each sample of a phase; pictures are opened when asked for."""

    def __init__(self, method: Method, samples: Samples) -> None:
        """Of these samples, as this method's model sees them."""
        self._method = method
        self._samples = samples
        self._places = {name: i for i, name in enumerate(samples.file_names)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> RawSize:
        from PIL import Image

        sample = self._samples[self._places[name]]
        with Image.open(io.BytesIO(sample.image)) as image:
            pixels = max(image.width * image.height, self._method.input_pixels(*image.size))
        return RawSize(pixels, len(sample.image), len(sample.caption.encode()))


def refuse_too_long(one: StoredExemplar, raw: RawSize) -> None:
    """Where bytes are not charged, no payload may hold more than it is charged for.

    Raises:
        ContractError: It is longer than its share of the pixels, or its caption, could be.
    """
    exemplar = one.exemplar
    image = max(
        math.ceil(exemplar.pixel_fraction * 3 * raw.pixels) + _SLACK,
        raw.file if exemplar.pixel_fraction == 1 else 0,
    )
    limits = {"image": image, "text": 3 * raw.caption + _SLACK, "extra": 3 * raw.pixels}
    for name, limit in limits.items():
        length = len(getattr(exemplar, name))
        if length > limit:
            raise ContractError(
                f"the {name} kept of {one.file_name} is {length} bytes long, more than the {limit} "
                f"that {exemplar.pixel_fraction:.3f} of its pixels, raw, and its caption can be"
            )


def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first: lengths below 128 take one byte, below 16,384 two."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data):
            raise ValueError(_ENDS)
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
