"""Codec replay and low resolution: training sees what is stored, the choice is carried on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory
from safetensors.torch import load_file

from baselines.codec import CodecReplay
from baselines.codec_learner import CodecChoice, relative_size
from baselines.exemplars.pictures import available, decode_picture, encode_picture, psnr
from baselines.low_resolution import LowResolution, shrink
from baselines.mrdc import QUALITIES
from baselines.vilt import ViltInput
from baselines.vilt.pixels import to_pixels
from benchmark.config import RunConfig
from benchmark.data import Samples
from benchmark.exemplar import Exemplar, RawSize, StoredExemplar, refuse_too_long
from benchmark.method import PhaseData
from benchmark.results.records import read_exemplars
from benchmark.results.verify import verify
from benchmark.run import run
from benchmark.run_files import EXEMPLARS
from mm_imagenet_r.errors import UserError

Make = Callable[..., CodecReplay]
KINDS = [CodecReplay, LowResolution]


@pytest.fixture
def make(build: Callable[..., CodecReplay]) -> Make:
    def method(kind: type[CodecReplay] = CodecReplay, **settings: object) -> CodecReplay:
        if "codec" not in settings and "min_psnr" not in settings:
            settings |= {"codec": "webp", "quality": 60}
        return build(kind, **settings)

    return method


def same(one: ViltInput, other: ViltInput) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(ViltInput)
    )


def kept_of(method: CodecReplay, phase: PhaseData, memory: ListMemory) -> list[StoredExemplar]:
    method.begin_phase(phase, memory)
    method.end_phase(phase, memory)
    return [one for label in phase.new for one in memory.stored[label]]


def pixels_of(input: ViltInput) -> np.ndarray:
    return to_pixels(input.patches, input.patch_indices, input.grid)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_is_what_training_sees_of_old_and_new(
    make: Make, phases: list[PhaseData], kind: type[CodecReplay]
) -> None:
    method, memory = make(kind, compress_new=1), ListMemory()
    kept = kept_of(method, phases[0], memory)
    assert len(kept) == len(phases[0].train)
    by_name = {sample.file_name: sample for sample in phases[0].train}
    for one in kept:
        sample = by_name[one.file_name]
        (new,) = method.augment([sample], np.random.default_rng(0))
        (old,) = method.augment([one.exemplar], np.random.default_rng(0))
        assert same(new, old)
        assert same(old, make(kind).decode(one.exemplar))  # by an object that knows no choice
        whole = method.see(sample)
        assert not np.array_equal(whole.patches, old.patches)
        assert same(dataclasses.replace(old, patches=whole.patches), whole)  # all else is whole
        assert one.codec == "webp"
        assert len(one.exemplar.image) < len(sample.image)


def test_new_samples_are_compressed_by_chance_and_test_samples_never(
    make: Make, phases: list[PhaseData]
) -> None:
    samples = list(phases[0].train) * 5
    for chance in (0.0, 0.5, 1.0):
        method = make(compress_new=chance)
        method.begin_phase(phases[0], ListMemory())
        inputs = method.augment(samples, np.random.default_rng(0))
        changed = [not same(v, method.see(s)) for v, s in zip(inputs, samples, strict=True)]
        assert sum(changed) / len(changed) == pytest.approx(chance, abs=0.15)
        test = method.collate(samples[:3], None).inputs
        whole = np.concatenate([method.see(sample).patches for sample in samples[:3]])
        assert np.array_equal(test.patches, whole)
    assert make().settings.compress_new == 1
    assert make(LowResolution).settings.compress_new == 0


def test_the_choice_reaches_the_fidelity_is_made_once_and_carried_on(
    make: Make, phases: list[PhaseData], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {}
    for wanted in (20, 26):
        method = make(min_psnr=wanted)
        assert method.choice is None
        assert method.state()["codec"].tolist() == [0, 0]
        kept = kept_of(method, phases[0], ListMemory())
        by_name = {sample.file_name: method.see(sample) for sample in phases[0].train}
        found = [
            psnr(pixels_of(by_name[one.file_name]), decode_picture(one.exemplar.image))
            for one in kept
        ]
        assert np.mean(found) > wanted - 0.3  # measured on some of them
        sizes[wanted] = sum(len(one.exemplar.image) for one in kept)
        assert {one.codec for one in kept} == {method.choice.codec}  # type: ignore[union-attr]
    assert sizes[20] < sizes[26]
    later = make(min_psnr=26)
    later.load_state(method.state())
    assert later.choice == method.choice
    monkeypatch.setattr(
        "baselines.codec_learner.fewest_bytes", pytest.fail
    )  # nothing is tried again
    assert {one.codec for one in kept_of(later, phases[1], ListMemory())} == {
        method.choice.codec  # type: ignore[union-attr]
    }


def test_the_state_is_two_bytes_more_and_is_checked(make: Make, phases: list[PhaseData]) -> None:
    method = make()
    method.begin_phase(phases[0], ListMemory())
    assert method.choice == CodecChoice("webp", 60)
    state = method.state()
    assert state["codec"].numel() * state["codec"].element_size() == 2
    assert set(state) - {n for n, p in method.model.named_parameters() if p.requires_grad} == {
        "codec"
    }
    for wrong in (torch.tensor([99, 50]), torch.tensor([1, 101]), torch.tensor([1])):
        with pytest.raises(ValueError, match="does not fit"):
            make().load_state({**state, "codec": wrong})
    state.pop("codec")
    with pytest.raises(ValueError, match="the saved state does not fit: codec"):
        make().load_state(state)


@pytest.mark.parametrize("name", ["codec", "mrdc"])
def test_what_the_first_phase_chose_reaches_the_processes_of_the_later_ones(
    coloured: Path, vilt_folder: Path, tmp_path: Path, name: str
) -> None:
    config = RunConfig(
        method=(name,), dataset=str(coloured), backbone=str(vilt_folder), output=tmp_path,
        device="cpu", phases=3, epochs=1, batch_size=8, memory="2",
    )  # fmt: skip
    (folder,) = run(config)
    assert verify(folder) == []
    (file,) = folder.glob("state/*.safetensors")
    choice = CodecChoice.from_tensor(load_file(file)["codec"])
    assert choice is not None
    rows = list(read_exemplars(folder / EXEMPLARS))
    assert {row.phase for row in rows} == {0, 1, 2}
    assert {row.codec for row in rows} == {choice.codec}
    if name == "mrdc":
        assert choice.quality in QUALITIES


@pytest.mark.parametrize("codec", [name for name in available() if name != "raw"])
def test_every_codec_goes_there_and_back(make: Make, phases: list[PhaseData], codec: str) -> None:
    lossless = codec == "webp_lossless"
    method = make(codec=codec, **({} if lossless else {"quality": 95}))
    for one in kept_of(method, phases[0], ListMemory()):
        whole = next(s for s in phases[0].train if s.file_name == one.file_name)
        fidelity = psnr(method.decode(one.exemplar).patches, method.see(whole).patches)
        assert fidelity == np.inf if lossless else fidelity > 24
        assert one.codec == codec


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_exemplar_is_told(
    make: Make, phases: list[PhaseData], kind: type[CodecReplay]
) -> None:
    method = make(kind)
    one = kept_of(method, phases[0], ListMemory())[0].exemplar
    for image in (b"", one.image[: len(one.image) // 2], b"\0" * len(one.image)):
        with pytest.raises(ValueError, match="the image of an exemplar is damaged"):
            method.decode(dataclasses.replace(one, image=image))
    with pytest.raises(ValueError, match="the text of an exemplar is damaged"):
        method.decode(dataclasses.replace(one, text=b""))


def test_a_picture_of_other_sides_is_damaged(make: Make) -> None:
    odd = encode_picture(np.zeros((30, 47, 3), dtype=np.uint8), "webp", 50)
    with pytest.raises(ValueError, match="damaged: 30x47 pixels do not divide into patches of 16"):
        make().decode(Exemplar(0, odd, bytes([0, 2, 0, 3, 0])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("currency", ["samples", "exemplars"])
def test_shares_where_samples_are_counted(
    make: Make, phases: list[PhaseData], kind: type[CodecReplay], currency: str
) -> None:
    method, memory = make(kind, min_psnr=20), ListMemory(currency=currency)
    by_name = {sample.file_name: sample for sample in phases[0].train}
    for one in kept_of(method, phases[0], memory):
        sample, whole = by_name[one.file_name], method.see(by_name[one.file_name])
        if kind is LowResolution:
            assert one.codec == "webp_lossless"  # bytes are free
            assert one.exemplar.pixel_fraction == pytest.approx(1 / 4, abs=1e-4)
        else:
            wanted = len(one.exemplar.image) / len(sample.image)
            assert one.exemplar.pixel_fraction == pytest.approx(wanted, abs=1e-4)
        raw = RawSize(whole.patches.size // 3, len(sample.image), len(sample.caption))
        refuse_too_long(one, raw)


def test_no_relative_size_understates_what_raw_pixels_could_hold() -> None:
    rng = np.random.default_rng(0)
    for stored, native, raw in rng.integers(1, 1000, (500, 3)).tolist():
        share = relative_size(stored, native, raw)
        assert 0 < share <= 1
        exemplar = Exemplar(0, bytes(stored), b"", pixel_fraction=share)
        if stored <= max(native, raw):
            refuse_too_long(StoredExemplar(exemplar), RawSize(-(-raw // 3), native, 0))


@pytest.mark.parametrize("sampling", ["pixel", "mean"])
@pytest.mark.parametrize("factor", [2, 3, 5, 16])
def test_low_resolution_comes_back_at_its_size(
    make: Make, samples: Samples, sampling: str, factor: int
) -> None:
    method = make(LowResolution, codec="webp_lossless", factor=factor, sampling=sampling)
    method.choice = method.settings.fixed
    for sample in samples[:3]:
        whole = pixels_of(method.see(sample))
        exemplar = method.store(sample)
        small = decode_picture(exemplar.image)
        assert np.array_equal(small, shrink(whole, factor, sampling))
        assert small.shape == (-(-whole.shape[0] // factor), -(-whole.shape[1] // factor), 3)
        assert method.decode(exemplar).grid == method.see(sample).grid
        assert exemplar.pixel_fraction == pytest.approx(small.size / whole.size, abs=1e-4)
    flat = np.full((64, 80, 3), 77, dtype=np.uint8)
    assert (method.enlarge(shrink(flat, factor, sampling)) == 77).all()


def test_a_smooth_picture_survives_low_resolution(make: Make) -> None:
    """Nothing is shifted: the way back is near where it came from, and nearer than a pixel off."""
    y, x = np.mgrid[:64, :80]
    pixels = np.stack([128 + 100 * np.sin((x + 2 * y) / 20 + c) for c in range(3)], axis=-1)
    pixels = pixels.round().astype(np.uint8)
    method = make(LowResolution, sampling="mean")
    back = method.enlarge(shrink(pixels, 2, "mean"))
    inner = (slice(8, -8), slice(8, -8))
    right = psnr(pixels[inner], back[inner])
    assert right > 45
    assert right > psnr(pixels[inner], np.roll(back, 1, axis=1)[inner]) + 10


REFUSED: list[tuple[type[CodecReplay], dict[str, Any], str]] = [
    (CodecReplay, {"codec": "wepb"}, "codec=wepb: choose one of auto, jpeg"),
    (CodecReplay, {"codec": "raw"}, "codec=raw: choose one of auto, jpeg"),
    (CodecReplay, {"codec": "jpeg", "quality": 101}, "quality=101: choose a number in"),
    (CodecReplay, {"codec": "auto", "quality": 50}, "quality=50: codec=auto has none"),
    (CodecReplay, {"codec": "webp_lossless", "quality": 50}, "webp_lossless has none"),
    (CodecReplay, {"codec": "webp_lossless", "min_psnr": 26}, "min_psnr has no effect"),
    (CodecReplay, {"codec": "jpeg", "quality": 50, "min_psnr": 26}, "min_psnr has no effect"),
    (CodecReplay, {"codec": "jpeg", "compress_new": 1.5}, "compress_new=1.5: choose a number in"),
    (LowResolution, {"codec": "jpeg", "factor": 1}, "factor=1: choose a number in"),
    (LowResolution, {"codec": "jpeg", "factor": 17}, "factor=17: a patch has 16 pixels"),
    (LowResolution, {"codec": "jpeg", "sampling": "max"}, "sampling=max: choose one of pixel"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), REFUSED)
def test_settings_that_make_no_sense_are_refused(
    build: Callable[..., Any], kind: type[CodecReplay], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(kind, **settings)
