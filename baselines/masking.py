"""Masking one picture with its caption, as the method `exemplar_masking` does: `baselines.mask`."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from baselines.exemplar_masking import ExemplarMasking, attended
from baselines.exemplars import codecs
from baselines.exemplars.pictures import fewest_bytes
from baselines.exemplars.selection import Array
from baselines.vilt import Preprocessor, Vilt, ViltInput, collate
from benchmark.exemplar import Exemplar
from benchmark.load_method import make_settings
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.reading import IMAGE, read_bytes


@dataclass(frozen=True, eq=False)
class MaskedSample:
    """What is kept of a picture and its caption.

    Attributes:
        kept: The kept patches and words, as an input to ViLT.
        words: The kept words.
        num_words: How many words of the caption the model knows; others are dropped before masking.
        attention: (rows, columns) attention of [CLS] to each patch of the whole picture.
        exemplar: The bytes that are stored.
        codec: How its image is encoded.
    """

    kept: ViltInput
    words: list[str]
    num_words: int
    attention: Array
    exemplar: Exemplar
    codec: str

    @property
    def patch_indices(self) -> Array:
        """(K,) flat row-major indices of the kept patches."""
        return self.kept.patch_indices

    @property
    def nbytes(self) -> int:
        """Bytes that the exemplar costs: image, text and framing."""
        return self.exemplar.nbytes

    @property
    def picture(self) -> Image.Image:
        """The picture at the size the model sees, discarded patches in gray."""
        return self.kept.picture()

    def show(self) -> None:
        """Open the picture in a viewer; in a notebook the object shows itself."""
        self.picture.show(f"{self}")

    def _repr_png_(self) -> bytes:
        return self.kept.png()

    def __repr__(self) -> str:
        return (
            f"MaskedSample({len(self.patch_indices)} of {self.attention.size} patches, "
            f"{len(self.words)} of {self.num_words} words, {self.nbytes:,} bytes as {self.codec})"
        )


def mask(
    image: Image.Image | str | Path,
    caption: str,
    model: str | Path | None = None,
    **settings: object,
) -> MaskedSample:
    """Keep the patches of a picture, and the words of its caption, that a ViLT attends to.

    Args:
        image: A picture, or the path of an image file.
        caption: Its text.
        model: A backbone: a folder (such as one of `python -m benchmark.save`), a Hub id, or None
            for the embedded tiny ViLT, which knows drawn shapes only.
        **settings: Those of the method `exemplar_masking`, such as `tau_image`, `mask_text` or
            `codec`; `python -m benchmark.run --list exemplar_masking` lists them.

    Raises:
        UserError: The image or the model cannot be read, or there is no such setting.

    >>> import baselines
    >>> masked = baselines.mask(Image.radial_gradient("L"), "a red circle on the grass")
    >>> masked
    MaskedSample(... of 36 patches, 6 of 6 words, ... bytes as ...)
    """
    given = {name: str(value) for name, value in settings.items()}
    chosen = make_settings(ExemplarMasking, "", given)
    vilt, preprocessor = _load(str(model or "tiny"))
    whole = preprocessor.input(_file(image), caption)
    special = preprocessor.cls_token_id, preprocessor.sep_token_id
    with torch.no_grad():
        (masks,) = attended(vilt, collate([whole]), chosen, special)
    kept = whole.keep(masks.patches, masks.words)
    if chosen.fixed:
        codec, quality = chosen.fixed.codec, chosen.fixed.quality
    else:
        candidates = chosen.candidates() if chosen.codec == "auto" else [chosen.codec]
        codec, quality = fewest_bytes([kept], codecs.measure, candidates, chosen.min_psnr)
    return MaskedSample(
        kept,
        _words(preprocessor, kept),
        len(_words(preprocessor, whole)),
        masks.attention.reshape(whole.grid),
        codecs.encode(kept, 0, codec, quality),
        codec,
    )


@functools.lru_cache(maxsize=1)
def _load(name: str) -> tuple[Vilt, Preprocessor]:
    return Vilt.from_pretrained(name), Preprocessor.from_pretrained(name)


def _file(image: Image.Image | str | Path) -> bytes:
    """The bytes of an image file; a picture becomes a PNG with the orientation that it names."""
    if not isinstance(image, Image.Image):
        try:
            return read_bytes(Path(image).expanduser(), IMAGE)
        except OSError as error:
            raise UserError(f"the image {image} cannot be read: {error.strerror}") from error
    buffer = io.BytesIO()
    try:
        image.save(buffer, "PNG", exif=image.getexif())
    except OSError as error:
        raise UserError(
            f"a picture of mode {image.mode} cannot be masked: convert it to RGB first"
        ) from error
    return buffer.getvalue()


def _words(preprocessor: Preprocessor, input: ViltInput) -> list[str]:
    """The words of an input, each of one token or more."""
    text = preprocessor.tokenizer.decode(input.token_ids, skip_special_tokens=True)
    return str(text).split()
