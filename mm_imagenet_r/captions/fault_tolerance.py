"""Telling an image that cannot be captioned from a captioner that no longer works.

The first is a row with an error, the second ends the run: a full memory, a spent account or a
broken device must not turn all remaining images into errors.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Sequence
from typing import Final

from PIL.Image import Image

from mm_imagenet_r import images as decoding
from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Caption, Captioner
from mm_imagenet_r.captions.manifest import Item
from mm_imagenet_r.errors import UserError, is_failure, one_line

#: After this many failures in a row the captioner is checked at once.
_ENOUGH: Final = 4


class FaultTolerant:
    """A captioner that finds out which image of a batch causes a failure, if it is an image.

    Failures of decoded images are counted until one succeeds. Before they are believed, the
    captioner has to prove itself on an image that it has captioned before, or else on one of a few
    from all over the set. So a run is stopped by mistake only if all of these are bad, and no unit
    is written whose errors are not its images' own. May be called from several threads.
    """

    def __init__(self, captioner: Captioner, images: Images, samples: Sequence[Item]) -> None:
        """Wrap a captioner; the samples are those of `samples_of`."""
        self._captioner = captioner
        self._images = images
        self._samples = samples
        self._lock = threading.Lock()
        self._failed = 0  # since the last success
        self._why = ""
        self._good: Image | None = None
        self.batch_size = self._fits = captioner.batch_size

    def load(self, item: Item) -> Image | str:
        """Decode an image, or say why it does not decode.

        Raises:
            UserError: It is absent, or has changed since the set was started.
        """
        try:
            data = self._images.read(item.file_name)
        except KeyError:
            raise UserError(
                f"{item.file_name} is not among the images here: every machine needs all images "
                "of the caption set (--images)"
            ) from None
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise UserError(
                f"{item.file_name} has changed since the caption set was started: restore the old "
                "file, or give another --output"
            )
        image = decoding.rgb_or_fault(data)
        if isinstance(image, str):
            return f"the image {image}"
        side = self._captioner.max_side
        if side is not None and max(image.size) > side:
            image.thumbnail((side, side))
        return image

    def __call__(self, loaded: Sequence[Image | str]) -> list[Caption]:
        """Caption a batch that `load` has returned, in the same order.

        Raises:
            UserError: The captioner no longer works.
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
        """If the last image has failed, see whether any other one works; UserError if none does."""
        with self._lock:
            if not self._failed:
                return
            known = [self._good] if self._good is not None else []
            for image in (*known, *map(self.load, self._samples)):
                if not isinstance(image, str) and not self._divide([image])[0].error:
                    self._failed, self._good = 0, image
                    return
            images = "images captioned before" if known else f"the first {self._failed} images"
            raise UserError(
                f"none of {images} could be captioned: {one_line(self._why)}. Check model, prompt "
                "and --decoding, and give the same command again; finished captions are kept"
            )

    def _divide(self, images: Sequence[Image]) -> list[Caption]:
        """Caption images, or halves where that fails; keep the size that fits into memory."""
        captions: list[Caption] = []
        size = self._fits
        todo = [images[start : start + size] for start in range(0, len(images), size)][::-1]
        lack, fits = False, 0
        while todo:
            batch = todo.pop()
            try:
                captions += backends.caption(self._captioner, batch)
                fits = max(fits, len(batch))
                continue
            except BaseException as error:
                if isinstance(error, UserError) or not is_failure(error):
                    raise
                why = f"{type(error).__name__}: {error}"[:500]
                no_memory = isinstance(error, MemoryError) or "out of memory" in why.lower()
                # All further calls fail after a failed kernel. torch's class is known by its name,
                # as torch need not be imported here.
                if not no_memory and (why.startswith("AcceleratorError") or "CUDA error" in why):
                    raise UserError(
                        f"the device has failed ({one_line(why)}) and needs a new process: give "
                        "the same command again; finished captions are kept"
                    ) from error
                if len(batch) == 1:
                    captions.append(Caption.failed(why))
                    continue
                lack = lack or no_memory
            # Outside of the clause: the exception would keep the tensors of the call alive.
            half = len(batch) // 2
            todo += [batch[half:], batch[:half]]
        if lack and 0 < fits < self._fits:
            self._fits = fits
            print(f"note: memory is short: continuing with batches of {fits}", file=sys.stderr)
        return captions


def samples_of(units: Sequence[Sequence[Item]]) -> list[Item]:
    """Return a few images from all over a set."""
    return [unit[len(unit) // 2] for unit in units[:: max(1, len(units) // _ENOUGH)][:_ENOUGH]]
