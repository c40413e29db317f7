"""Each family of models through the same command, offline; and traps that give wrong captions."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import MODELS

from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.captioner import Captioner, Request, find_backend
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.errors import UserError

PROMPT = "Describe."


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes each model once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = MODELS[name](tmp_path_factory.mktemp("models") / name)
        return made[name]

    return get


def pictures() -> list[Image.Image]:
    """Three images of different shapes."""
    rng = np.random.default_rng(0)
    sizes = [(48, 40), (30, 64), (40, 40)]
    return [Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(pictures()):
        path = folder / f"n0144353{number}" / "art_0.jpg"
        path.parent.mkdir()
        picture.save(path)
    return folder


def load(folder: Path, **decoding: Any) -> Captioner:
    name = "instructblip" if folder.name.startswith("instructblip") else "transformers"
    backend = find_backend(name)
    request = Request(str(folder), PROMPT, decoding={"max_new_tokens": 6, **decoding})
    return backend(request, backend.identify(request), "cpu")


def say(captioner: Captioner, scores: dict[int, float]) -> None:
    """Make a model give these scores to tokens whatever it sees, and 0 to all others."""
    head = captioner.model.get_output_embeddings()  # type: ignore[attr-defined]
    head.weight = torch.nn.Parameter(torch.zeros_like(head.weight))
    head.bias = torch.nn.Parameter(torch.zeros(head.weight.shape[0]))
    for token, score in scores.items():
        head.bias.data[token] = score


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_gives_what_its_images_give_alone(name: str, model: Any) -> None:
    captioner = load(model(name))
    captioner.model.double()  # type: ignore[attr-defined]
    captioner._dtype = torch.float64  # type: ignore[attr-defined]
    together = captioner(pictures())
    assert together == [captioner([picture])[0] for picture in pictures()]
    assert len({caption.text for caption in together}) > 1, "the model does not look"
    assert all(PROMPT not in caption.text for caption in together)
    assert all(0 < (caption.n_tokens or 0) <= 6 for caption in together)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_command_captions_with_every_family(
    name: str, model: Any, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(model(name)), "--prompt", PROMPT, "--images", str(photos)]
    decoding = ["--decoding", "max_new_tokens=4", "num_beams=2"]
    code = main([*arguments, *decoding, "--output", str(tmp_path), "--limit", "50"])
    assert code == 0, capsys.readouterr().err
    captions = read_captions(tmp_path)
    assert len(captions.by_name) == 3
    assert captions.failed == {}
    assert captions.info["model"] == name
    assert captions.info["revision"].startswith("sha256:")
    assert captions.info["decoding"]["num_beams"] == 2
    assert "n01443530/art_0.jpg" in capsys.readouterr().out  # a trial prints samples


@pytest.mark.parametrize("name", ["instructblip-opt", "instructblip-llama", "llava"])
def test_any_of_the_end_tokens_ends_a_caption(name: str, model: Any, tmp_path: Path) -> None:
    """Published Vicuna checkpoints name another end token than their tokenizer does."""
    folder = tmp_path / name
    shutil.copytree(model(name), folder)
    for path in (folder / "config.json", folder / "generation_config.json"):
        path.write_text(path.read_text().replace('"eos_token_id": 2', '"eos_token_id": 1'))
    for end in (1, 2):
        captioner = load(folder, num_beams=1, repetition_penalty=1.0)
        say(captioner, {end: 9.0})
        (caption,) = captioner(pictures()[:1])
        assert (caption.text, caption.finish, caption.n_tokens) == ("", "stop", 1)


def test_repetition_is_punished_in_the_caption_and_not_in_the_prompt(model: Any) -> None:
    """A penalty that saw the prompt would forbid its letters to the caption."""
    captioner = load(model("instructblip-llama"), num_beams=1, max_new_tokens=4)
    convert = captioner.processor.tokenizer.convert_tokens_to_ids  # type: ignore[attr-defined]
    say(captioner, {convert("D"): 10.0, convert("z"): 9.0, convert("q"): 8.0})
    (caption,) = captioner(pictures()[:1])
    assert caption.text == "DzqD"


def test_a_processor_with_too_few_image_tokens_is_refused(model: Any) -> None:
    captioner = load(model("instructblip-opt"))
    captioner.processor.num_query_tokens = 2  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="image tokens"):
        captioner(pictures())


def test_the_fingerprint_follows_what_decides_the_captions(model: Any) -> None:
    folder = model("instructblip-opt")
    identify = find_backend("instructblip").identify
    base = identify(Request(str(folder), PROMPT))
    assert base == identify(Request(str(folder), PROMPT, batch_size=3, device="cpu"))
    assert base != identify(Request(str(folder), "Another."))
    assert base != identify(Request(str(folder), PROMPT, dtype="bfloat16"))
    assert base != identify(Request(str(model("instructblip-llama")), PROMPT))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "absent/absent-model"], "--model absent/absent-model cannot be loaded"),
        (["--model", "./absent"], "--model ./absent cannot be loaded"),
        (["--backend", "instructblipp"], "did you mean 'instructblip'"),
        (["--backend", "instructblip"], "is of type llava, not instructblip"),
        (["--device", "cuda:9"], "--device cuda:9 cannot be used"),
        (["--revision", "v1"], "is a folder: leave it out"),
        (["--decoding", "num_beans=3"], "could be captioned"),
        (["--concurrency", "3"], "--concurrency means nothing to the back end transformers"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], message: str, model: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    for number, picture in enumerate([*pictures(), Image.new("RGB", (8, 8))]):
        picture.save(folder / f"{number}.png")
    base = ["--model", str(model("llava")), "--prompt", PROMPT, "--images", str(folder.parent)]
    assert main([*base, "--output", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed"
)
def test_images_are_prepared_without_torchvision(model: Any) -> None:
    for name in ("instructblip-opt", "llava"):
        captioner = load(model(name))
        kind = type(captioner.processor.image_processor).__name__  # type: ignore[attr-defined]
        assert kind.endswith("Pil")
