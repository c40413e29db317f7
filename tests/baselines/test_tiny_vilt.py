"""The embedded backbone: an ordinary folder, good enough to measure on; and how it is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViltModel, ViltProcessor
from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

from baselines import pretrain, quality
from baselines.backbone import backbone_path
from baselines.views import Preprocessor, View, collate
from baselines.vilt import Vilt
from mm_imagenet_r import mini

FOLDER = Path(backbone_path("tiny"))


@pytest.fixture(scope="module")
def seen() -> tuple[list[View], list[mini.Drawn]]:
    drawn = [mini.draw(c, "test", i) for c in mini.classes() for i in range(4)]
    preprocessor = Preprocessor.from_pretrained("tiny")
    return [preprocessor.view(one.image, one.caption) for one in drawn], drawn


def test_plain_transformers_load_it() -> None:
    model = ViltModel.from_pretrained(FOLDER)
    images = ViltImageProcessorPil.from_pretrained(FOLDER)
    tokenizer = ViltProcessor.from_pretrained(FOLDER).tokenizer
    assert model.config.max_position_embeddings >= 64
    assert images.size_divisor == model.config.patch_size
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) < 5e6
    for word in mini.vocabulary():
        assert tokenizer.unk_token_id not in tokenizer(word)["input_ids"], word


def test_class_token_attends_to_the_object(seen: tuple[list[View], list[mini.Drawn]]) -> None:
    views, drawn = seen
    model = Vilt.from_pretrained("tiny")
    batch = collate(views)
    with torch.no_grad():
        scores = quality.patch_scores_of(model(batch, attentions=True), batch, "mean")
    covered = [quality.coverage(d.mask, v) for d, v in zip(drawn, views, strict=True)]
    on_object = np.mean([(s * o).sum() / s.sum() for s, o in zip(scores, covered, strict=True)])
    chance = np.mean([o.mean() for o in covered])
    assert on_object > 1.3 * chance


def test_every_pretraining_view_keeps_what_it_is_read_from(
    seen: tuple[list[View], list[mini.Drawn]],
) -> None:
    rng = np.random.default_rng(0)
    for view in seen[0][:40]:
        part, kept = pretrain.subset(view, pretrain.Recipe(), rng)
        assert part.words[0] == view.words[0]
        assert len(part.patches) == kept.sum()


def test_pretraining_writes_a_loadable_folder(tmp_path: Path) -> None:
    recipe = pretrain.Recipe(
        hidden_size=16, layers=1, heads=2, images_per_class=1, epochs=1, batch_size=32
    )
    score = pretrain.pretrain(recipe, tmp_path, "cpu", workers=1)
    assert 0 <= score <= 1
    ViltModel.from_pretrained(tmp_path)
    view = Preprocessor.from_pretrained(tmp_path).view(*_one())
    assert Vilt.from_pretrained(tmp_path).pool(collate([view])).shape == (1, 16)


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
