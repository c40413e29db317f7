"""MRDC: the volume rule on figures worked out by hand, and what is stored."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from memories import ListMemory

from baselines.codec_learner import CodecChoice
from baselines.exemplars import selection
from baselines.exemplars.pictures import psnr
from baselines.mrdc import MRDC, QUALITIES, choose_quality, log_volume, volume_ratio
from benchmark.budget import fill
from benchmark.exemplar import RawSize, refuse_too_long
from benchmark.method import PhaseData
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.images import rgb

Make = Callable[..., MRDC]


@pytest.fixture
def make(build: Callable[..., MRDC]) -> Make:
    return functools.partial(build, MRDC)


def at_degrees(*degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def test_volumes_and_their_ratio() -> None:
    """Unit vectors at 60 degrees span sin(60), at 30 degrees one half."""
    original, compressed = log_volume(at_degrees(0, 60)), log_volume(at_degrees(0, 30))
    assert original == pytest.approx(-0.143841, abs=1e-6)
    assert compressed == pytest.approx(-0.693147, abs=1e-6)
    assert log_volume(7 * at_degrees(0, 30)) == pytest.approx(compressed)  # lengths do not count
    ratio = volume_ratio([(compressed, original)])
    assert ratio == pytest.approx(1 / 3)
    assert choose_quality([(10, ratio), (90, 1.0)], 0.5) == (90, True)
    ratio = volume_ratio([(-0.2, -0.1), (-0.5, -0.3)])
    assert ratio == pytest.approx(0.740818, abs=1e-6)
    assert choose_quality([(10, ratio), (90, 1.0)], 0.5) == (10, True)


def test_classes_without_a_volume_do_not_count() -> None:
    assert log_volume(at_degrees(0, 10, 20)) == -math.inf  # three vectors in a plane
    assert log_volume(at_degrees(30, 30)) == -math.inf
    assert log_volume(np.zeros((0, 4))) == 0
    assert volume_ratio([(-0.2, -0.1), (-math.inf, -0.3)]) == pytest.approx(math.exp(-0.2))
    assert volume_ratio([(-0.2, -0.1), (-0.3, -501.0)]) == pytest.approx(math.exp(-0.2))
    assert math.isnan(volume_ratio([(-math.inf, -0.3)]))
    assert choose_quality([(10, math.nan), (25, math.nan)], 0.5) == (25, False)
    assert volume_ratio([(-0.1, -499.0)]) > 1e300


def test_what_fits_of_a_class_are_as_many_as_the_rate_says() -> None:
    for rate, count in ((0.5405405, 37), (0.25, 80), (0.1, 200)):
        assert len(fill([rate] * 500, float, 20.0)) == count


def test_the_rule_asks_for_no_more_than_it_needs() -> None:
    asked = []

    def ratios() -> Iterator[tuple[int, float]]:
        for quality in QUALITIES:
            asked.append(quality)
            yield quality, 0.6 if quality >= 50 else 0.1

    assert choose_quality(ratios(), 0.5) == (50, True)
    assert asked == [10, 25, 50]


def test_the_rule_compares_equally_many_compressed_and_originals(
    make: Make, phases: list[PhaseData]
) -> None:
    """Against the same worked out in the plainest way."""
    method, phase = make(), phases[0]
    memory = ListMemory(each=8000.0)
    method.begin_phase(phase, memory)
    found = dict(method.ratios(phase, memory))
    assert tuple(found) == QUALITIES
    counts = []
    for quality in QUALITIES:
        differences = []
        for label in phase.new:
            own = phase.train.of_classes([label])
            stored = [method.store(sample, quality) for sample in own]
            small = method.features([method.decode(one.exemplar) for one in stored])
            whole = method.features([method.see(sample) for sample in own])
            room, chosen = 8000.0, []
            for i in selection.herding(small):
                if (cost := stored[i].exemplar.nbytes) <= room:
                    room, chosen = room - cost, [*chosen, i]
            counts.append(len(chosen))
            gram = [
                rows @ rows.T
                for rows in (
                    selection.unit(small[chosen]),
                    selection.unit(whole[selection.herding(whole)[: len(chosen)]]),
                )
            ]
            differences.append(np.log(np.linalg.det(gram[0])) - np.log(np.linalg.det(gram[1])))
        assert found[quality] == pytest.approx(np.exp(np.mean(differences)), rel=1e-4)
    assert len(set(counts)) > 1  # lower qualities buy more
    method.end_phase(phase, memory)
    quality, _ = choose_quality(found.items(), 0.5)
    assert method.choice == CodecChoice("jpeg", quality)


def test_without_a_quality_that_keeps_the_volume_the_highest_is_taken(
    make: Make, phases: list[PhaseData], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    method = make()
    monkeypatch.setattr(method, "ratios", lambda *_: iter([(q, 0.1) for q in QUALITIES]))
    with caplog.at_level(logging.WARNING):
        method.end_phase(phases[0], ListMemory())
    assert method.choice == CodecChoice("jpeg", 90)
    assert "no JPEG quality preserves the feature volume within 0.5" in caplog.text


def test_native_pictures_are_encoded_at_their_resolution_and_chosen_by_what_is_left(
    make: Make, phases: list[PhaseData]
) -> None:
    method, phase, memory = make(quality=25), phases[0], ListMemory()
    method.begin_phase(phase, memory)
    method.end_phase(phase, memory)
    for label in phase.new:
        own = phase.train.of_classes([label])
        stored = [method.store(sample, 25) for sample in own]
        for sample, one in zip(own, stored, strict=True):
            assert one.codec == "jpeg"
            assert rgb(one.exemplar.image).size == rgb(sample.image).size
            share = len(one.exemplar.image) / len(sample.image)
            assert share < 1
            assert one.exemplar.pixel_fraction == pytest.approx(share, abs=1e-4)
            input, whole = method.decode(one.exemplar), method.see(sample)
            assert np.array_equal(input.token_ids, whole.token_ids)
            assert 15 < psnr(input.patches, whole.patches) < 40
        ranking = selection.herding(method.features([method.decode(o.exemplar) for o in stored]))
        names = own.file_names
        assert memory.names(label) == [names[i] for i in ranking]
        assert memory.stored[label] == [stored[i] for i in ranking]


def test_new_samples_stay_as_they_are(make: Make, phases: list[PhaseData]) -> None:
    method = make(quality=10)
    method.begin_phase(phases[0], ListMemory())
    samples = list(phases[0].train[:3])
    for sample, input in zip(
        samples, method.augment(samples, np.random.default_rng(0)), strict=True
    ):
        assert np.array_equal(input.patches, method.see(sample).patches)


def test_a_file_that_would_grow_is_kept(make: Make, phases: list[PhaseData]) -> None:
    method, sample = make(quality=100), phases[0].train[0]
    one = method.store(sample, 100)
    assert (one.exemplar.image, one.codec) == (sample.image, "native")
    assert one.exemplar.pixel_fraction == 1
    assert np.array_equal(method.decode(one.exemplar).patches, method.see(sample).patches)
    for quality in (10, 90, 100):
        width, height = rgb(sample.image).size
        raw = RawSize(method.input_pixels(width, height), len(sample.image), len(sample.caption))
        refuse_too_long(method.store(sample, quality), raw)


def test_the_quality_is_carried_on(
    make: Make, phases: list[PhaseData], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make()
    method.begin_phase(phases[0], ListMemory())
    assert method.choice is None
    method.end_phase(phases[0], ListMemory())
    later = make()
    later.load_state(method.state())
    assert later.choice == method.choice
    assert later.choice is not None
    monkeypatch.setattr(later, "choose", pytest.fail)
    later.begin_phase(phases[1], ListMemory())
    later.end_phase(phases[1], ListMemory())


def test_a_damaged_exemplar_is_told(make: Make, phases: list[PhaseData]) -> None:
    method = make(quality=50)
    one = method.store(phases[0].train[0], 50).exemplar
    for image in (b"", one.image[: len(one.image) // 2], b"\0" * len(one.image)):
        with pytest.raises(ValueError, match="the image of an exemplar is damaged"):
            method.decode(dataclasses.replace(one, image=image))
    with pytest.raises(ValueError, match="the text of an exemplar is damaged"):
        method.decode(dataclasses.replace(one, text=b"\7"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quality": 101}, "quality=101: choose a number in"),
        ({"epsilon": 0}, "epsilon=0.0: choose a number in"),
        ({"quality": 50, "epsilon": 0.2}, "epsilon has no effect with a quality"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    make: Make, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(**settings)
