from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, ViltForMaskedLM, ViltForTokenClassification, ViltModel

from baselines.vilt import Preprocessor, Vilt, ViltInput, blocks, collate
from baselines.vilt.backbone import EMBEDDED, Checkpoint
from baselines.vilt.pixels import to_pixels
from mm_imagenet_r.errors import UserError

TEXTS = ["a cat", "the dogs on a red cat", "", "the blue dog on the red red red cat a a a a a"]
SIZES = [(64, 64), (96, 64), (64, 96), (32, 96)]


@pytest.fixture(scope="module")
def model(vilt_folder: Path) -> Vilt:
    return Vilt.from_pretrained(vilt_folder)


@pytest.fixture(scope="module")
def reference(vilt_folder: Path) -> ViltModel:
    return ViltModel.from_pretrained(vilt_folder)


@pytest.fixture(scope="module")
def inputs(vilt_folder: Path) -> list[ViltInput]:
    preprocessor = Preprocessor.from_pretrained(vilt_folder)
    rng = np.random.default_rng(0)
    return [
        preprocessor.input_of(
            rng.integers(0, 256, (*size, 3), dtype=np.uint8), preprocessor.token_ids(text)
        )
        for size, text in zip(SIZES, TEXTS, strict=True)
    ]


@pytest.fixture(params=[0.0, 2.0], ids=["padded", "packed"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute padded, or without padding; the share of real tokens decides it otherwise."""
    monkeypatch.setattr(blocks, "_PACK_BELOW", request.param)


def inputs_of(inputs: list[ViltInput]) -> dict[str, torch.Tensor]:
    """Whole inputs as transformers' model takes them."""
    batch = collate(inputs)
    pixels = torch.zeros(len(inputs), 3, 96, 96)
    mask = torch.zeros(len(inputs), 96, 96, dtype=torch.int64)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.5, 0.5, 0.5])
    for i, input in enumerate(inputs):
        image = torch.tensor(to_pixels(input.patches, input.patch_indices, input.grid)) / 255
        height, width, _ = image.shape
        pixels[i, :, :height, :width] = ((image - mean) / std).permute(2, 0, 1)
        mask[i, :height, :width] = 1
    return {
        "input_ids": batch.token_ids,
        "attention_mask": batch.text_mask.long(),
        "pixel_values": pixels,
        "pixel_mask": mask,
    }


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("layout")
def test_equals_transformers(model: Vilt, reference: ViltModel, inputs: list[ViltInput]) -> None:
    batch = collate(inputs)
    with torch.no_grad():
        ours, theirs = model(batch), reference(**inputs_of(inputs))
    close(ours.pooled, theirs.pooler_output)
    hidden, text = theirs.last_hidden_state, ours.text_length
    close(ours.hidden[:, ours.text][batch.text_mask], hidden[:, :text][batch.text_mask])
    close(ours.hidden[:, ours.first_patch - 1], hidden[:, text])
    for i, input in enumerate(inputs):  # theirs are in random order
        own = ours.hidden[i, ours.patches][: len(input.patches)]
        distances = torch.cdist(own, hidden[i, text + 1 :], p=torch.inf)
        assert distances.min(dim=1).values.max() < 1e-5
        assert len(set(distances.argmin(dim=1).tolist())) == len(input.patches)


@pytest.mark.usefixtures("layout")
def test_gradients_equal_transformers(
    vilt_folder: Path, reference: ViltModel, inputs: list[ViltInput]
) -> None:
    model = Vilt.from_pretrained(vilt_folder)
    direction = torch.linspace(-1, 1, 32)
    for run in ("forward", "pool"):  # twice: nothing may be left over from the first
        model.zero_grad()
        reference.zero_grad()
        pooled = model(collate(inputs)).pooled if run == "forward" else model.pool(collate(inputs))
        (pooled @ direction).sum().backward()
        (reference(**inputs_of(inputs)).pooler_output @ direction).sum().backward()
        own = dict(model.model.named_parameters())
        for name, parameter in reference.named_parameters():
            assert parameter.grad is not None
            gradient = own[name].grad
            assert gradient is not None, name
            close(gradient, parameter.grad, 1e-4 * max(1.0, float(parameter.grad.abs().max())))


@pytest.mark.usefixtures("layout")
def test_subset_equals_masked_keys_and_maps_name_their_patches(
    model: Vilt, reference: ViltModel, inputs: list[ViltInput]
) -> None:
    """Dropping tokens = masking them in the original, whose random order we undo."""
    rng = np.random.default_rng(1)
    kept = [rng.random(len(input.patches)) < 0.5 for input in inputs]
    words = [rng.random(len(input.token_ids)) < 0.7 for input in inputs]
    words = [np.append(True, mask[1:]) for mask in words]
    subset = [v.keep(patches=k, words=w) for v, k, w in zip(inputs, kept, words, strict=True)]
    given = inputs_of(inputs)
    with torch.no_grad():
        embedded, mask, (index, _) = reference.embeddings.visual_embed(
            given["pixel_values"], given["pixel_mask"], -1
        )
        for i, input in enumerate(inputs):
            at = index[i, :, 0] * input.grid[1] + index[i, :, 1]
            inside = mask[i, 1:] == 1
            mask[i, 1:][inside] = torch.tensor(kept[i])[at[inside]].long()
            given["attention_mask"][i, : len(words[i])] = torch.tensor(words[i]).long()
        theirs = reference(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            image_embeds=embedded,
            pixel_mask=mask,
            output_attentions=True,
        )
        ours = model(collate(subset), attentions=True)
    close(ours.pooled, theirs.pooler_output)
    assert len(ours.attentions) == len(theirs.attentions) == 3
    text = given["input_ids"].shape[1]
    for i, input in enumerate(subset):
        of_place = {
            int(row * input.grid[1] + column): text + 1 + j
            for j, (row, column) in enumerate(index[i].tolist())
            if mask[i, 1 + j]
        }
        columns = torch.tensor(
            [*input.positions, text, *(of_place[place] for place in input.patch_indices.tolist())]
        )
        real = collate(subset).mask[i]
        for own, other in zip(ours.attentions, theirs.attentions, strict=True):
            close(own[i][:, real][:, :, real], other[i][:, columns][:, :, columns])
            assert (own[i][:, :, ~real] == 0).all()


@pytest.mark.usefixtures("layout")
def test_maps_and_pool_change_nothing(model: Vilt, inputs: list[ViltInput]) -> None:
    batch = collate(inputs)
    with torch.no_grad():
        plain, mapped = model(batch), model(batch, attentions=True)
        close(plain.pooled, mapped.pooled)
        close(plain.hidden[batch.mask], mapped.hidden[batch.mask])
        close(plain.pooled, model.pool(batch))
    assert plain.attentions is None


@pytest.mark.usefixtures("layout")
def test_batch_equals_singles(model: Vilt, inputs: list[ViltInput]) -> None:
    """Also with inputs of no patch, of one, and of [CLS] alone."""
    inputs = [*inputs, inputs[0].keep(patches=np.zeros(16, dtype=bool))]
    inputs.append(
        inputs[1].keep(np.arange(24) == 13, np.zeros(len(inputs[1].token_ids), dtype=bool))
    )
    with torch.no_grad():
        together = model(collate(inputs))
        for i, input in enumerate(inputs):
            alone = model(collate([input]))
            close(together.pooled[i], alone.pooled[0])
            patches = len(input.patches)
            close(together.hidden[i, together.patches][:patches], alone.hidden[0, alone.patches])
        blind = model(collate(inputs[4:5]))
    assert blind.hidden.shape[1] == blind.first_patch == len(inputs[4].token_ids) + 1


def test_draws_no_random_number(vilt_folder: Path, inputs: list[ViltInput]) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    model = Vilt.from_pretrained(vilt_folder)
    model.config.hidden_dropout_prob = 0.5
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    first = model(collate(inputs), attentions=True).hidden
    second = model.train()(collate(inputs), attentions=True).hidden
    assert torch.equal(first, second)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    assert before[2] == random.getstate()


def test_longer_texts(vilt_folder: Path, model: Vilt, inputs: list[ViltInput]) -> None:
    long = "the cat on the grass " * 10
    preprocessor = Preprocessor.from_pretrained(vilt_folder, max_text_length=23)
    input = preprocessor.input_of(
        np.zeros((64, 64, 3), dtype=np.uint8), preprocessor.token_ids(long)
    )
    assert len(input.token_ids) == 23
    with pytest.raises(ValueError, match="same max_text_length"):
        model(collate([input]))
    stretched = Vilt.from_pretrained(vilt_folder, max_text_length=23)
    with torch.no_grad():
        assert torch.isfinite(stretched(collate([input])).pooled).all()
    old = model.model.embeddings.text_embeddings.position_embeddings.weight
    new = stretched.model.embeddings.text_embeddings.position_embeddings.weight
    close(new[::2], old)
    close(new[1::2], (old[1:] + old[:-1]) / 2)
    assert new.requires_grad
    same = Vilt.from_pretrained(vilt_folder, max_text_length=12)
    with torch.no_grad():
        assert torch.equal(same(collate(inputs)).pooled, model(collate(inputs)).pooled)


def test_round_trip_of_a_folder(vilt_folder: Path, tmp_path: Path, inputs: list[ViltInput]) -> None:
    stretched = Vilt.from_pretrained(vilt_folder, max_text_length=20)
    stretched.save_pretrained(tmp_path)
    Preprocessor.from_pretrained(vilt_folder).save_pretrained(tmp_path)
    again = Vilt.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(collate(inputs)).hidden, stretched(collate(inputs)).hidden)
        theirs = ViltModel.from_pretrained(tmp_path)(**inputs_of(inputs)).pooler_output
        close(again(collate(inputs)).pooled, theirs)
    assert Preprocessor.from_pretrained(tmp_path).max_text_length == 20


def test_head_of_masked_language_modelling_is_left_out(
    vilt_folder: Path,
    tmp_path: Path,
    model: Vilt,
    reference: ViltModel,
    inputs: list[ViltInput],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The layout of dandelin/vilt-b32-mlm: prefixed weights, old processor file, vocab.txt."""
    head = ViltForMaskedLM(reference.config)
    head.vilt.load_state_dict(reference.state_dict())
    head.save_pretrained(tmp_path)
    settings = {
        "feature_extractor_type": "ViltFeatureExtractor",
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.5, 0.5, 0.5],
        "size": 64,
        "size_divisor": 16,
        "resample": 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    tokenizer = Preprocessor.from_pretrained(vilt_folder).tokenizer
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    capfd.readouterr()
    with torch.no_grad():
        close(Vilt.from_pretrained(tmp_path)(collate(inputs)).pooled, model(collate(inputs)).pooled)
    assert Preprocessor.from_pretrained(tmp_path).token_ids("A cats").tolist() == [2, 5, 6, 13, 3]
    assert "".join(capfd.readouterr()) == ""


def test_incomplete_checkpoints_are_refused(
    vilt_folder: Path, tmp_path: Path, reference: ViltModel
) -> None:
    def copy(name: str, *without: str) -> Path:
        return shutil.copytree(vilt_folder, tmp_path / name, ignore=lambda *_: without)

    with pytest.raises(UserError, match=r"weights of backbone.*cannot be read: copy the whole"):
        Vilt.from_pretrained(copy("unweighted", "model.safetensors"))
    broken = copy("broken")
    weights = (vilt_folder / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UserError, match=r"weights of backbone.*cannot be read"):
        Vilt.from_pretrained(broken)
    headless = copy("headless", "model.safetensors")
    ViltForTokenClassification(reference.config).save_pretrained(headless)
    with pytest.raises(UserError, match=r"lack 2 tensors \(pooler.dense.bias"):
        Vilt.from_pretrained(headless)
    with pytest.raises(UserError, match="image processor of backbone"):
        Vilt.from_pretrained(copy("blind", "processor_config.json"))
    mute = copy("mute", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(UserError, match=r"tokenizer\.json or vocab\.txt"):
        Preprocessor.from_pretrained(mute)
    other = tmp_path / "bert"
    BertConfig().save_pretrained(other)
    with pytest.raises(UserError, match="is a 'bert' model, not a ViLT"):
        Vilt.from_pretrained(other)


def test_names_of_backbones(tmp_path: Path) -> None:
    hub_id = "dandelin/vilt-b32-mlm"
    assert Checkpoint.find(hub_id) == Checkpoint(hub_id)
    with pytest.raises(UserError, match="there is no folder"):
        Checkpoint.find("./absent")
    with pytest.raises(UserError, match="there is no folder"):
        Checkpoint.find(tmp_path / "absent")
    for name in ("./" + "a" * 5000, "~nobody-of-that-name/vilt", "a\0b"):
        with pytest.raises(UserError, match="there is no folder"):
            Checkpoint.find(name)
    with pytest.raises(UserError, match=r"has no config\.json"):
        Checkpoint.find(str(tmp_path))
    for name, folder in EMBEDDED.items():
        assert Checkpoint.find(name) == Checkpoint(str(folder))


def test_a_revision_reaches_transformers(vilt_folder: Path, tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []
    never = {"trust_remote_code": False}

    class Recorder:
        @staticmethod
        def from_pretrained(path: str, **options: object) -> None:
            asked.append({"path": path, **options})

    for name in ("me/vilt", "me/vilt@refs/pr/1", "vilt@v2"):
        Checkpoint.find(name).read(Recorder, "config", size=1)
    assert asked == [
        {"path": "me/vilt", "size": 1, **never},
        {"path": "me/vilt", "revision": "refs/pr/1", "size": 1, **never},
        {"path": "vilt", "revision": "v2", "size": 1, **never},
    ]
    folder = shutil.copytree(
        vilt_folder, tmp_path / "one@two"
    )  # a folder that is there comes first
    assert Checkpoint.find(str(folder)) == Checkpoint(str(folder))
    with pytest.raises(UserError, match="there is no folder"):
        Checkpoint.find("me/vilt@")


def test_a_checkpoint_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hf download nobody/absent --revision v1 --local-dir vilt"):
        Vilt.from_pretrained("nobody/absent@v1")
