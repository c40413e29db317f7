"""Telling an image that cannot be captioned from a captioner that captions nothing any more.

The first is a row with an error, the second ends the run: a full memory, a spent account or a
broken device must not turn all images that are left into errors.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from mm_imagenet_r import images as decoding
from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Caption, Captioner
from mm_imagenet_r.captions.manifest import Item
from mm_imagenet_r.errors import UserError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

#: After so many failures in a row it is asked at once whether anything works.
_ENOUGH: Final = 4


class Images(Protocol):
    """What is needed of `mm_imagenet_r.archive.Images`."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """Return the bytes of an image file."""


class FaultTolerant:
    """A captioner that finds out which image of a batch is to blame, and if it is an image.

    Failures of images that were decoded are counted until one works. Before they are believed,
    the captioner has to prove itself on an image that it has captioned already, or else on one of
    a few from all over the set. So it takes all of these at once to stop a run by mistake, and no
    unit is written whose errors are not its images' own. May be called from several threads.
    """

    def __init__(self, captioner: Captioner, images: Images, samples: Sequence[Item]) -> None:
        """Take a captioner.

        Args:
            captioner: The model.
            images: Where images are read.
            samples: Images of the set, as `samples_of` finds them.
        """
        self._captioner = captioner
        self._images = images
        self._samples = samples
        self._lock = threading.Lock()
        self._failed = 0  # since the last that worked
        self._why = ""
        self._good: Image | None = None
        self._most = captioner.batch_size

    @property
    def batch_size(self) -> int:
        """Images that are to be handed over at once."""
        return self._captioner.batch_size

    def load(self, items: Iterable[Item]) -> list[Image | str]:
        """Decode images; in place of one that does not decode, say what is wrong with it.

        Raises:
            UserError: One is not there, or another one than when the set was begun.
        """
        return [self._load(item) for item in items]

    def __call__(self, loaded: Sequence[Image | str]) -> list[Caption]:
        """Caption a batch.

        Args:
            loaded: What `load` has returned.

        Returns:
            Captions in the same order; for an image that cannot be captioned, the reason.

        Raises:
            UserError: Going on makes no sense.
        """
        sound = [image for image in loaded if not isinstance(image, str)]
        made = self._divide(sound)
        with self._lock:
            for image, caption in zip(sound, made, strict=True):
                if caption.error:
                    self._failed, self._why = self._failed + 1, caption.error
                else:
                    self._failed, self._good = 0, image
            enough = self._failed >= _ENOUGH
        if enough:
            self.check()
        captions = iter(made)
        return [Caption.failed(i) if isinstance(i, str) else next(captions) for i in loaded]

    def check(self) -> None:
        """If the last image has failed, find out whether any other one works.

        Raises:
            UserError: None does.
        """
        with self._lock:
            if not self._failed:
                return
            known = [self._good] if self._good is not None else []
            for image in (*known, *(image for s in self._samples for image in self.load([s]))):
                if not isinstance(image, str) and not self._divide([image])[0].error:
                    self._failed, self._good = 0, image
                    return
            if known:
                raise UserError(
                    "no image can be captioned any more, not even those that could be before "
                    f"({one_line(self._why)}): what is done is kept. Remove the cause, and give "
                    "the same command again"
                )
            raise UserError(
                f"none of the first {self._failed} images could be captioned: "
                f"{one_line(self._why)}. Check model, prompt and --decoding, and give the same "
                "command again"
            )

    def _load(self, item: Item) -> Image | str:
        try:
            data = self._images.read(item.file_name)
        except KeyError:
            raise UserError(
                f"{item.file_name} is not among the images here: every machine needs all images "
                "of the caption set (--images)"
            ) from None
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise UserError(
                f"{item.file_name} has changed since the caption set was begun: put the old file "
                "back, or give another --output"
            )
        image = decoding.rgb_or_fault(data)
        if isinstance(image, str):
            return f"the image {image}"
        side = self._captioner.max_side
        if side is not None and max(image.size) > side:
            image.thumbnail((side, side))
        return image

    def _divide(self, images: Sequence[Image]) -> list[Caption]:
        """Caption images; where that fails, halves, down to the image that is to blame.

        A lack of memory is helped in the same way, and the size that fits is kept: each further
        attempt at more would be lost time.
        """
        captions: list[Caption] = []
        size = self._most
        todo = [images[start : start + size] for start in range(0, len(images), size)][::-1]
        lack, fits = False, 0
        while todo:
            batch = todo.pop()
            try:
                captions += backends.caption(self._captioner, batch)
                fits = max(fits, len(batch))
                continue
            except UserError:
                raise
            except Exception as error:
                why = f"{type(error).__name__}: {error}"[:500]
                if _stays(error):
                    raise UserError(
                        f"the device has failed ({one_line(why)}), and does so until the process "
                        "ends: what is done is kept. Give the same command again"
                    ) from error
                if len(batch) == 1:
                    captions.append(Caption.failed(why))
                    continue
                lack = lack or _lacks_memory(error)
            # Outside of the clause: the exception would keep the tensors of the call alive.
            half = len(batch) // 2
            todo += [batch[half:], batch[:half]]
        if lack and 0 < fits < self._most:
            self._most = fits
            print(f"note: memory is short: going on with batches of {fits}", file=sys.stderr)
        return captions


def samples_of(units: Sequence[Sequence[Item]]) -> list[Item]:
    """Return a few images from all over a set."""
    return [unit[len(unit) // 2] for unit in units[:: max(1, len(units) // _ENOUGH)][:_ENOUGH]]


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _stays(error: Exception) -> bool:
    """Tell whether all further calls of the device will fail, as they do after a failed kernel.

    The name stands for torch's class, which need not be imported for it.
    """
    of_device = type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
    return of_device and not _lacks_memory(error)
