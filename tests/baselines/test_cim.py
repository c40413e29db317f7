"""CIM: what is stored, what training sees of new samples and when, and the mask network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memories import ListMemory
from running import fail_in_phase
from safetensors.torch import load_file
from torch import Tensor

from baselines.bilevel import rational_gelu
from baselines.cim import CIM
from baselines.exemplars import selection
from baselines.exemplars.boxes import coarsen_around, rate
from baselines.vilt.pixels import to_pixels
from benchmark import results
from benchmark.config import RunConfig
from benchmark.load_method import make_settings
from benchmark.method import PhaseData, Progress
from benchmark.results.verify import verify
from benchmark.run import run
from benchmark.run_files import EXEMPLARS, PREDICTIONS
from mm_imagenet_r.errors import UserError

Build = Callable[..., Any]


@pytest.fixture
def phase(phases: list[PhaseData]) -> PhaseData:
    return phases[0]


def begun(build: Build, phase: PhaseData, memory: ListMemory, **settings: object) -> Any:
    method = build(CIM, **settings)
    method.begin_phase(phase, memory)
    with torch.no_grad():  # a head that tells classes apart
        method.model.head.weight.mul_(40)
    return method


@pytest.mark.parametrize("source", ["vcam", "grad_attention", "attention"])
def test_what_is_stored_is_a_sharp_box_charged_by_its_rate(
    build: Build, phase: PhaseData, source: str
) -> None:
    memory = ListMemory(currency="samples")
    method = begun(build, phase, memory, map=source, tau=0.5)
    boxes = dict(zip(phase.train.file_names, method.draw_boxes(phase), strict=True))
    method.end_phase(phase, memory)
    samples = {sample.file_name: sample for sample in phase.train}
    areas = []
    for label in phase.new:
        assert len(memory.stored[label]) == 6
        for one in memory.stored[label]:
            input, box = method.input(samples[one.file_name]), boxes[one.file_name]
            pixels = to_pixels(input.patches, input.patch_indices, input.grid)
            height, width, _ = pixels.shape
            seen = method.input(one.exemplar)
            found = to_pixels(seen.patches, seen.patch_indices, seen.grid)
            assert np.array_equal(found, coarsen_around(pixels, box, 4))
            assert np.array_equal(seen.token_ids, input.token_ids)
            share = rate(box, height, width, 4)
            assert one.exemplar.pixel_fraction == pytest.approx(share, abs=1 / 65535)
            assert len(one.exemplar.image) == pytest.approx(3 * share * height * width + 7)
            assert one.codec == "raw"
            areas.append(share)
    assert 0.25 < min(areas) < max(areas) <= 1


def test_boxes_differ_by_class_and_not_by_batch_mates(build: Build, phase: PhaseData) -> None:
    method = begun(build, phase, ListMemory())
    boxes = method.draw_boxes(phase)
    alone = [
        method.draw_boxes(dataclasses.replace(phase, train=phase.train.select([i])))[0]
        for i in range(len(phase.train))
    ]
    assert alone == boxes
    with torch.no_grad():
        method.model.head.weight[:2] = method.model.head.weight[:2].flip(0).clone()
    assert method.draw_boxes(phase) != boxes


def test_samples_are_ranked_as_they_are_stored(build: Build, phase: PhaseData) -> None:
    memory = ListMemory(currency="samples")
    method = begun(build, phase, memory)
    method.end_phase(phase, memory)
    for label in phase.new:
        stored = {one.file_name: one.exemplar for one in memory.stored[label]}
        names = phase.train.of_classes([label]).file_names
        features = method.features([method.input(stored[name]) for name in names])
        order = [names[i] for i in selection.herding(features)]
        assert [one.file_name for one in memory.stored[label]] == order


def test_bytes_are_those_of_the_best_codec_and_it_is_carried_on(
    build: Build, phases: list[PhaseData]
) -> None:
    sizes = {}
    for fidelity in (20.0, 30.0):
        memory = ListMemory()
        method = begun(build, phases[0], memory, min_psnr=fidelity)
        method.end_phase(phases[0], memory)
        assert {one.codec for kept in memory.stored.values() for one in kept} == {
            method.choice.codec
        }
        sizes[fidelity] = memory.total()
    assert sizes[20.0] < sizes[30.0]
    later = build(CIM, min_psnr=30.0)
    later.load_state(method.state())
    assert later.choice == method.choice


@pytest.mark.parametrize(("step", "chance"), [(0, 0), (3, 0), (4, 0.25), (11, 0.5), (19, 1)])
def test_new_samples_are_compressed_more_often_as_training_goes_on(
    build: Build, phase: PhaseData, step: int, chance: float
) -> None:
    """With a quarter added after each fifth; exemplars, and draws beyond the chance, are left."""
    memory = ListMemory()
    method = begun(build, phase, memory, compress_new=0.25, codec="raw")
    method.end_phase(phase, memory)
    items = [*phase.train, *memory.exemplars()]
    method.progress = Progress(step=step, steps=20)
    batch = method.collate(items, np.random.default_rng(0))
    assert batch.numbers.tolist() == [*range(12), *[-1] * 12]
    seen: list[Tensor] = []
    method.model.register_forward_pre_hook(lambda module, given: seen.append(given[0].patches))
    method.loss(batch)
    owner = batch.inputs.patch_mask.nonzero()[:, 0]
    differs = (seen[0] != batch.inputs.patches).flatten(1).any(1)
    changed = {int(i) for i in owner[differs]}
    assert changed == {i for i in range(12) if batch.draws[i] < chance}
    assert not method._boxes.any()  # so all of a changed picture is coarse
    whole = method.collate(items, None)
    assert torch.equal(whole.inputs.patches, batch.inputs.patches)


def test_boxes_are_drawn_anew_after_each_fifth(build: Build, phase: PhaseData) -> None:
    method = begun(build, phase, ListMemory())
    drawn = []
    for step in range(20):
        method.progress = Progress(step=step, steps=20)
        before = method._boxes
        method.before_step()
        if method._boxes is not before:
            drawn.append(step + 1)
    assert drawn == [4, 8, 12, 16]
    assert method._boxes.tolist() == [list(box) for box in method.draw_boxes(phase)]
    never = begun(build, phase, ListMemory(), compress_new=0)
    never.progress = Progress(step=3, steps=20)
    never.before_step()
    assert not never._boxes.any()


@pytest.fixture
def config(coloured: Path, vilt_folder: Path, tmp_path: Path) -> RunConfig:
    """A tiny run with the mask network, of six steps per phase."""
    return RunConfig(
        method=("cim",), dataset=str(coloured), backbone=str(vilt_folder), output=tmp_path / "a",
        device="cpu", phases=3, steps=6, batch_size=8, memory="2",
        set=("learned=true", "compress_new=0.25", "codec=jpeg", "quality=60"),
    )  # fmt: skip


def test_the_mask_network_is_learnt_and_resumed(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (undisturbed,) = run(config)
    assert verify(undisturbed) == []
    (file,) = undisturbed.glob("state/*.safetensors")
    phi = load_file(file)["phi"]
    assert phi.shape == (3, 10)
    assert (phi - rational_gelu(3)).abs().max().item() > 0.02
    # Killed amid a phase and taken up again, with a worker process beside.
    again = dataclasses.replace(config, output=tmp_path / "b", checkpoint_seconds=0, workers=1)
    with monkeypatch.context() as patch:
        fail_in_phase(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(again)
    assert (again.folder() / "state" / "phase-02.partial").exists()
    (folder,) = run(again)
    for name in (PREDICTIONS, EXEMPLARS):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    (file,) = folder.glob("state/*.safetensors")
    assert torch.equal(load_file(file)["phi"], phi)
    outside = results.read(folder)["phases"][-1]["outside_memory"]
    assert outside is not None
    assert outside["what"]["phi"] == 3 * 10 * 4


def test_the_mask_network_draws_the_boxes(build: Build, phase: PhaseData) -> None:
    method = begun(build, phase, ListMemory(), learned=True)
    plain = begun(build, phase, ListMemory())
    with torch.no_grad():
        method.network.phi.mul_(-1.5)
    assert method.draw_boxes(phase) != plain.draw_boxes(phase)
    inputs = method.collate(list(phase.train), None)
    assert torch.equal(method.model(inputs.inputs), plain.model(inputs.inputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"map": "cam"}, "map=cam: choose one of vcam, grad_attention, attention"),
        ({"tau": "1"}, "tau=1.0: choose a number in"),
        ({"eta": "5"}, "eta=5: choose a square number"),
        ({"eta": "1"}, "eta=1: choose a square number"),
        ({"compress_new": "0.5"}, "compress_new=0.5: choose a number in"),
        ({"outer_steps": "2"}, "outer_steps has no effect without learned=true"),
        ({"learned": "true", "outer_steps": "0"}, "outer_steps=0.0: choose a number in"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_settings(CIM, "", settings)


def test_the_grid_has_to_fit_into_patches(build: Build) -> None:
    with pytest.raises(UserError, match=r"3 does not divide .* choose one of 4, 16, 64, 256"):
        build(CIM, eta=9)
    assert build(CIM, eta=16).settings.eta == 16
