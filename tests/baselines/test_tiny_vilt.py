"""The embedded backbone: an ordinary folder, good enough to measure on; and how it is made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViltModel, ViltProcessor
from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

from baselines.vilt import Preprocessor, Vilt, ViltInput, collate
from baselines.vilt.backbone import Checkpoint
from mm_imagenet_r import mini
from studies import pretrain, pretraining_data, quality

BACKBONES = {"tiny-1": mini.FIRST, "tiny": mini.SECOND}
each = pytest.mark.parametrize("name", BACKBONES)


def seen(name: str) -> tuple[list[ViltInput], list[mini.Drawn]]:
    """A few pictures of each class of the data set that a backbone is for."""
    drawn = [mini.draw(c, "test", i) for c in mini.classes(BACKBONES[name]) for i in range(4)]
    preprocessor = Preprocessor.from_pretrained(name)
    return [preprocessor.input(one.image, one.caption) for one in drawn], drawn


@each
def test_plain_transformers_load_it(name: str) -> None:
    folder = Path(Checkpoint.find(name).path)
    model = ViltModel.from_pretrained(folder)
    images = ViltImageProcessorPil.from_pretrained(folder)
    tokenizer = ViltProcessor.from_pretrained(folder).tokenizer
    assert images.size_divisor == model.config.patch_size
    assert sum(f.stat().st_size for f in folder.iterdir()) < 3e6
    for word in mini.vocabulary(BACKBONES[name]):
        assert tokenizer.unk_token_id not in tokenizer(word)["input_ids"], word
    captions = [one.caption for one in seen(name)[1]]
    assert Preprocessor.from_pretrained(name).count_long(captions) == 0


@each
def test_class_token_attends_to_the_object(name: str) -> None:
    inputs, drawn = seen(name)
    model = Vilt.from_pretrained(name)
    batch = collate(inputs)
    with torch.no_grad():
        scores = quality.patch_scores_of(model(batch, attentions=True), batch, "mean")
    covered = [quality.coverage(d.mask, v) for d, v in zip(drawn, inputs, strict=True)]
    on_object = np.mean([(s * o).sum() / s.sum() for s, o in zip(scores, covered, strict=True)])
    chance = np.mean([o.mean() for o in covered])
    assert on_object > 1.3 * chance


def test_a_task_shows_one_modality_or_both_and_asks_for_masked_words() -> None:
    rng = np.random.default_rng(0)
    recipe, mask_id = pretraining_data.Recipe(), 4
    alone, asked_of = {"picture": 0, "caption": 0, "both": 0}, []
    inputs = seen("tiny")[0]
    for input in inputs:
        part, kept, asked = pretraining_data.task(input, recipe, mask_id, rng)
        assert kept.all() or not kept.any()  # no patch is left out on its own
        assert len(part.patches) == kept.sum()
        assert len(part.token_ids) in (2, len(input.token_ids))
        hidden = part.token_ids == mask_id
        assert (hidden == (asked >= 0)).all()
        assert not hidden[[0, -1]].any()
        if len(part.token_ids) > 2:
            assert (np.where(hidden, asked, part.token_ids) == input.token_ids).all()
            asked_of.append(hidden[1:-1].mean())
        kinds = {(True, True): "both", (True, False): "picture", (False, True): "caption"}
        alone[kinds[len(part.patches) > 0, len(part.token_ids) > 2]] += 1
    assert min(alone.values()) > 0.5 * recipe.text_only * len(inputs)
    assert abs(np.mean(asked_of) - recipe.mask_words) < 0.05


def test_patches_left_out_are_known_and_labels_say_where_a_part_is() -> None:
    rng = np.random.default_rng(0)
    inputs, drawn = seen("tiny")
    for input, one in zip(inputs[:40], drawn, strict=False):
        part, kept, _ = pretraining_data.task(
            input, pretraining_data.Recipe(drop_patches=1.0), 4, rng
        )
        assert (part.patches == input.patches[kept]).all()
        labels = pretraining_data.seen_parts(one.parts, input, [0, 1, 2, 3, 4])
        for slot, column in enumerate((0, 15, 26, 35, 44)):
            covered = quality.coverage(one.parts == slot + 1, input)
            assert (labels[:, column] == (covered > 0.1)).all()


def test_pretraining_writes_a_loadable_folder(tmp_path: Path) -> None:
    recipe = pretraining_data.Recipe(
        hidden_size=16, layers=1, heads=2, images_per_class=1, held_out=1, epochs=1, batch_size=32
    )
    score = pretrain.pretrain(recipe, tmp_path, "cpu", workers=1)
    assert 0 <= score <= 1
    ViltModel.from_pretrained(tmp_path)
    input = Preprocessor.from_pretrained(tmp_path).input(*_one())
    assert Vilt.from_pretrained(tmp_path).pool(collate([input])).shape == (1, 16)


def test_pretraining_is_a_command_in_a_clone_and_says_so_elsewhere(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "baselines.pretrain", "--help"]
    here = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "--drop-patches" in here.stdout
    shutil.copytree(root / "baselines", tmp_path / "baselines")
    wheel = [sys.executable, "-ES", "-m", "baselines.pretrain"]  # without what is installed
    there = subprocess.run(wheel, cwd=tmp_path, capture_output=True, text=True)
    assert (there.returncode, "in a clone" in there.stdout) == (2, True)


def test_probe_finds_what_is_linear_and_only_that() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    features = np.eye(8)[labels] + 0.1 * rng.standard_normal((120, 8))
    assert quality.probe(features, labels, features, labels) > 0.95
    noise = rng.standard_normal((120, 8))
    assert quality.probe(noise, labels, rng.standard_normal((120, 8)), labels) < 0.6


def _one() -> tuple[bytes, str]:
    drawn = mini.draw(mini.classes()[0], "train", 0)
    return drawn.image, drawn.caption
