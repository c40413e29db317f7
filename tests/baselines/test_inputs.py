from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViltProcessor
from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

from baselines.vilt import Preprocessor, ViltInput, collate
from baselines.vilt.pixels import decode
from mm_imagenet_r.errors import UserError


@pytest.fixture(scope="module")
def preprocessor(vilt_folder: Path) -> Preprocessor:
    return Preprocessor.from_pretrained(vilt_folder)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * 1000 + width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def by_transformers(processor: ViltImageProcessorPil, image: Image.Image) -> np.ndarray:
    """Resized pixels (H, W, 3) uint8 of transformers' own image processor."""
    out = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
    pixels = np.asarray(out["pixel_values"][0])
    assert (pixels == pixels.astype(np.uint8)).all()
    return pixels.astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize(
    "size",
    [(64, 64), (48, 64), (65, 63), (500, 1000), (333, 555), (90, 30), (7, 5), (1, 1), (640, 479)],
)
def test_pixels_equal_transformers(preprocessor: Preprocessor, size: tuple[int, int]) -> None:
    image = noise(*size)
    pixels = preprocessor.pixels(file_of(image))
    assert np.array_equal(pixels, by_transformers(preprocessor.image_processor, image))


def test_photographs_equal_transformers(
    preprocessor: Preprocessor, shared_data: Callable[[str], Path]
) -> None:
    files = sorted(shared_data("caltech101_mini").glob("*/*.jpg"))[::150]
    assert len(files) > 5
    large = ViltImageProcessorPil(size={"shortest_edge": 384}, size_divisor=32)
    of_b32 = Preprocessor(large, preprocessor.tokenizer, patch_size=32, max_text_length=40)
    for own in (preprocessor, of_b32):
        for file in files:
            with Image.open(file) as image:
                theirs = by_transformers(own.image_processor, image.convert("RGB"))
            assert np.array_equal(own.pixels(file.read_bytes()), theirs)
            input = own.input(file.read_bytes(), "a cat")
            rows, columns = np.divmod(input.patch_indices, input.grid[1])
            size = own.patch_size
            for patch, row, column in zip(input.patches, rows, columns, strict=True):
                corner = (slice(row * size, (row + 1) * size), slice(column * size, None))
                assert np.array_equal(patch, theirs[corner][:, :size])


def test_batch_equals_transformers_processor(preprocessor: Preprocessor, vilt_folder: Path) -> None:
    captions = ["a cat", "The dogs on a red cat", "", "blue " * 10_000]
    images = [noise(64, 64), noise(80, 60), noise(60, 90), noise(64, 64)]
    theirs = ViltProcessor.from_pretrained(vilt_folder, backend="pil")(
        images=images, text=captions, padding=True, truncation=True, max_length=12
    )
    batch = collate(
        [preprocessor.input(file_of(i), c) for i, c in zip(images, captions, strict=True)]
    )
    assert batch.text_mask.long().tolist() == theirs["attention_mask"]
    assert (batch.token_ids * batch.text_mask).tolist() == theirs["input_ids"]
    assert batch.token_ids[2][batch.text_mask[2]].tolist() == [2, 3]
    assert batch.token_ids[3, [0, -1]].tolist() == [2, 3]


def test_narrow_images_keep_a_row_of_patches(preprocessor: Preprocessor) -> None:
    for size, grid in (((1, 500), (1, 6)), ((500, 1), (6, 1)), ((1, 9000), (1, 6))):
        input = preprocessor.input(file_of(noise(*size)), "")
        assert input.grid == grid
        assert len(input.patches) == 6


def test_kinds_of_files() -> None:
    red = Image.new("RGB", (6, 4), (200, 0, 0))
    assert np.asarray(decode(file_of(red.convert("CMYK"), "TIFF")))[0, 0].tolist() == [200, 0, 0]
    cmyk = np.asarray(decode(file_of(red.convert("CMYK"), "JPEG", quality=100)))
    assert np.abs(cmyk.astype(int) - [200, 0, 0]).max() < 8
    deep = np.array([[0, 128, 129, 257 * 100, 65407, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        grey = np.asarray(decode(file_of(Image.fromarray(deep), kind)))
        assert grey[0].tolist() == [[v] * 3 for v in (0, 0, 1, 100, 255, 255)]
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 128))
    half.putpixel((0, 0), (9, 9, 9, 0))
    assert np.asarray(decode(file_of(half)))[0].tolist() == [[255] * 3, [127] * 3]
    grey_alpha = Image.new("LA", (1, 1), (50, 0))
    assert np.asarray(decode(file_of(grey_alpha)))[0, 0].tolist() == [255] * 3
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((0, 0), 0)
    pixels = np.asarray(decode(file_of(palette, transparency=0)))
    assert pixels[0].tolist() == [[255] * 3, [40, 50, 60]]
    assert np.asarray(decode(file_of(palette)))[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert np.asarray(decode(file_of(Image.new("1", (1, 1), 1))))[0, 0].tolist() == [255] * 3
    frames = [Image.new("RGB", (2, 2), c) for c in ("white", "black")]
    moving = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(moving))[0, 0].tolist() == [255] * 3


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (16, 8), "white")
    image.paste((0, 0, 0), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter clockwise
    upright = decode(file_of(image, "JPEG", quality=100, exif=exif))
    assert upright.size == (8, 16)
    assert np.asarray(upright)[0].mean() < 20 < 200 < np.asarray(upright)[-1].mean()


def test_damaged_files_are_named_as_such() -> None:
    whole = file_of(noise(64, 64), "JPEG")
    for broken in (whole[: len(whole) // 2], whole[:20], b"", b"no image", whole[100:]):
        with pytest.raises(UserError, match=f"{len(broken)} bytes cannot be decoded"):
            decode(broken)


def test_keep(preprocessor: Preprocessor) -> None:
    input = preprocessor.input(file_of(noise(64, 96)), "a cat on the grass")
    some = np.arange(24) % 5 == 1
    words = np.array([False, True, False, True, False, True, False])
    part = input.keep(patches=some, words=words)
    assert part.patch_indices.tolist() == [1, 6, 11, 16, 21]
    assert np.array_equal(part.patches, input.patches[some])
    assert part.positions.tolist() == [0, 1, 3, 5]  # [CLS] stays
    assert part.token_ids.tolist() == input.token_ids[[0, 1, 3, 5]].tolist()
    assert (part.grid, part.text_length) == ((4, 6), 7)
    assert part.keep(patches=np.arange(5) == 2).patch_indices.tolist() == [11]
    assert repr(input.keep()) == repr(input) == "ViltInput(24 of 24 patches, 7 of 7 tokens)"
    for wrong in (some[:-1], some.astype(int), some[:, None]):
        with pytest.raises(ValueError, match=r"boolean of shape \(24,\)"):
            input.keep(patches=wrong)
    with pytest.raises(ValueError, match=r"mask of words must be boolean of shape \(7,\)"):
        input.keep(words=some)


def test_batches(preprocessor: Preprocessor) -> None:
    file = file_of(noise(64, 96))
    input, short = preprocessor.input(file, "a cat"), preprocessor.input(file, "")
    even = collate([input, input])
    assert even.order is even.slots is None
    assert even.mask.all()
    assert len(even) == 2
    assert even.patches.shape == (48, 16, 16, 3)
    none = short.keep(patches=np.zeros(24, dtype=bool))
    batch = collate([input, none]).to("cpu")
    assert batch.mask.sum(dim=1).tolist() == [4 + 1 + 24, 2 + 1]
    assert batch.slots is not None
    assert batch.mask.flatten().nonzero()[:, 0].equal(batch.slots)
    blind = collate([none])
    assert blind.patch_mask.shape == (1, 0)
    assert blind.mask.shape == (1, 3)
    with pytest.raises(ValueError, match="at least one input"):
        collate([])
    if torch.cuda.is_available():
        assert batch.pin_memory().token_ids.is_pinned()


def test_survives_pickling(preprocessor: Preprocessor) -> None:
    """As worker processes need."""
    again: Preprocessor = pickle.loads(pickle.dumps(preprocessor))
    input: ViltInput = again.input(file_of(noise(30, 40)), "a red cat")
    assert input.token_ids.tolist() == preprocessor.token_ids("a red cat").tolist()


def test_settings_that_cannot_work(preprocessor: Preprocessor, vilt_folder: Path) -> None:
    with pytest.raises(UserError, match="set its size_divisor to 12"):
        Preprocessor(
            preprocessor.image_processor, preprocessor.tokenizer, patch_size=12, max_text_length=9
        )
    with pytest.raises(UserError, match="need 2 or more"):
        Preprocessor.from_pretrained(vilt_folder, max_text_length=1)
