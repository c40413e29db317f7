"""What is reached from Python in one line: `baselines.mask`, `baselines.show_memory`."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import write_result

import baselines
from baselines.exemplars.codecs import decode_patches, decode_text
from benchmark.config import RunConfig
from benchmark.run import run
from mm_imagenet_r import mini
from mm_imagenet_r.errors import UserError


def test_one_picture_is_masked_in_a_line(tmp_path: Path) -> None:
    drawn = mini.draw(mini.classes()[0], "test", 0)
    (tmp_path / "one.jpg").write_bytes(drawn.image)
    masked = baselines.mask(tmp_path / "one.jpg", drawn.caption, mask_text=True)
    assert 0 < len(masked.patch_indices) < masked.attention.size == 36
    kept = np.isin(np.arange(36), masked.patch_indices)
    assert masked.attention.ravel()[kept].min() > masked.attention.ravel()[~kept].max()
    assert 0 < len(masked.words) < masked.num_words
    assert set(masked.words) <= set(re.findall(r"\w+|\W", drawn.caption.lower()))
    assert repr(masked).startswith(f"MaskedSample({kept.sum()} of 36 patches, ")
    assert len(repr(masked)) < 100
    # What is charged is what is read back.
    _, indices, grid = decode_patches(masked.exemplar.image, 12)
    assert (indices.tolist(), grid) == (masked.patch_indices.tolist(), masked.attention.shape)
    assert decode_text(masked.exemplar.text)[0].tolist() == masked.kept.token_ids.tolist()
    assert masked.nbytes == len(masked.exemplar.to_bytes())
    pixels = np.asarray(masked.picture)
    blank = (pixels.reshape(6, 12, 6, 12, 3) == 127).all(axis=(1, 3, 4))
    assert (blank == ~kept.reshape(6, 6)).all()
    with Image.open(io.BytesIO(masked._repr_png_())) as shown:
        assert shown.size == masked.picture.size
    with Image.open(tmp_path / "one.jpg") as opened:  # a picture is as good as its file
        again = baselines.mask(opened, drawn.caption, "tiny", mask_text=True)
    assert again.exemplar == masked.exemplar


def test_what_cannot_be_masked_is_explained(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 64))
    with pytest.raises(UserError, match="did you mean 'tau_image'"):
        baselines.mask(image, "a cat", tau_imgae=2)
    with pytest.raises(UserError, match=r"absent\.jpg cannot be read: No such file"):
        baselines.mask(tmp_path / "absent.jpg", "a cat")
    with pytest.raises(UserError, match="mode CMYK cannot be masked: convert it to RGB"):
        baselines.mask(image.convert("CMYK"), "a cat")
    with pytest.raises(UserError, match="there is no folder"):
        baselines.mask(image, "a cat", tmp_path / "absent")
    whole = baselines.mask(image, "a cat", tau_image=0, codec="raw")
    assert (len(whole.patch_indices), whole.codec) == (36, "raw")
    assert {"mask", "show_memory"} <= set(dir(baselines))
    with pytest.raises(AttributeError, match="no attribute 'musk'"):
        baselines.musk  # noqa: B018


@pytest.mark.parametrize("name", ["exemplar_masking", "low_resolution", "cim", "replay"])
def test_the_memory_of_a_run_is_shown(
    coloured: Path, vilt_folder: Path, tmp_path: Path, name: str
) -> None:
    config = RunConfig(
        method=(name,),
        dataset=str(coloured),
        backbone=str(vilt_folder),
        output=tmp_path,
        device="cpu",
        phases=2,
        epochs=1,
        batch_size=8,
        memory="2",
    )  # fmt: skip
    (folder,) = run(config)
    sheet = baselines.show_memory(folder, "class1")
    assert (np.asarray(sheet) != 255).any()
    assert sheet.width > baselines.show_memory(folder, "class1", most=1).width
    with pytest.raises(UserError, match="no class 'clas1': did you mean 'class1'"):
        baselines.show_memory(folder, "clas1")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()\n")
    result = json.loads((folder / "result.json").read_text())
    result["config"]["method"] = [method := f"{tmp_path / 'evil.py'}:Evil"]
    write_result(folder / "result.json", result)
    with pytest.raises(UserError, match="names code that is not of this program"):
        baselines.show_memory(folder, "class1")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(UserError):
        baselines.show_memory(folder, "class1", methods=[method])
    assert (tmp_path / "executed").exists()


def test_a_run_without_exemplars_has_none_to_show(
    coloured: Path, vilt_folder: Path, tmp_path: Path
) -> None:
    config = RunConfig(
        method=("simplecil",),
        dataset=str(coloured),
        backbone=str(vilt_folder),
        output=tmp_path,
        device="cpu",
        phases=2,
        batch_size=8,
    )  # fmt: skip
    (folder,) = run(config)
    with pytest.raises(UserError, match="holds no exemplar of 'class1'"):
        baselines.show_memory(folder, "class1")
