"""Each family of models through the same command, offline; and traps that give wrong captions."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tiny_models import MODELS

from mm_imagenet_r.captions import backends, checkpoints
from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.captioner import Captioner, Request
from mm_imagenet_r.captions.checkpoints import hash_folder
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
    backend = backends.find_captioner(name)
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


def test_weights_go_straight_to_the_device() -> None:
    """Loaded into the main memory first, eight workers would fill it with eight models."""
    asked = {}

    class Loader:
        @staticmethod
        def from_pretrained(model: str, **options: Any) -> torch.nn.Module:
            asked.update(options)
            return torch.nn.Linear(1, 1)

    identity = {"dtype": "float16", "revision": "abc"}
    loaded = checkpoints.load_model(Loader, "some/model", identity, "cuda:1")
    assert asked == {
        "device_map": {"": "cuda:1"}, "dtype": torch.float16, "revision": "abc",
        "trust_remote_code": False, "use_safetensors": True,
    }  # fmt: skip
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())

    def too_large(model: str, **options: Any) -> torch.nn.Module:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    Loader.from_pretrained = too_large  # type: ignore[method-assign, assignment]
    with pytest.raises(UserError, match=r"some/model cannot be loaded .* a larger GPU"):
        checkpoints.load_model(Loader, "some/model", identity, "cuda:1")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("config.json", '"image_token_index": 260', '"image_token_index": null', "in config.json"),
        ("config.json", '"image_token_index": 260', '"image_token_index": 9', "image token is 260"),
        (
            "processor_config.json",
            '"num_query_tokens": 4',
            '"num_query_tokens": 2',
            "tokens per image is 2 ",
        ),
        ("processor_config.json", '"num_query_tokens": 4', '"num_query_tokens": null', ""),
    ],
)
def test_processor_and_model_belong_together(
    model: Any, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    folder = tmp_path / "instructblip"
    shutil.copytree(model("instructblip-llama"), folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    if not message:  # old processors do not say how many tokens stand for an image
        assert load(folder)(pictures()) == load(model("instructblip-llama"))(pictures())
        return
    with pytest.raises(UserError, match=message):
        load(folder)


def test_what_a_model_thinks_is_no_caption(model: Any) -> None:
    for thinks, text in ((False, "zzz"), (True, "")):
        kwargs = {"enable_thinking": thinks}
        captioner = load(model("llava"), max_new_tokens=3, chat_template_kwargs=kwargs)
        convert = captioner.processor.tokenizer.convert_tokens_to_ids  # type: ignore[attr-defined]
        say(captioner, {convert("z"): 9.0})
        (caption,) = captioner(pictures()[:1])
        assert (caption.text, caption.finish, caption.n_tokens) == (text, "length", 3)


def test_chat_template_kwargs_need_a_template(model: Any) -> None:
    with pytest.raises(UserError, match="needs a model with a chat template"):
        load(model("blip2"), chat_template_kwargs={"enable_thinking": False})
    with pytest.raises(UserError, match="needs a model with a chat template"):
        load(model("llava"), chat_template_kwargs="off")


@pytest.mark.parametrize("name", ["instructblip-opt", "llava"])
def test_a_checkpoint_that_would_sample_does_not(name: str, model: Any, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(model(name), folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_sample": True}))
    before = torch.random.get_rng_state()
    captioner = load(folder, do_sample=None)
    assert captioner(pictures()) == captioner(pictures())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_folder_is_known_by_what_is_loaded_from_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    for name, data in {
        "config.json": b"{}",
        "model.safetensors": bytes(3 << 20),
        "qformer_tokenizer/tokenizer.json": b"{}",
        "README.md": b"old",
        ".cache/huggingface/download/config.json": b"1",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    base = hash_folder(folder)
    (folder / "README.md").write_bytes(b"new")
    (folder / ".cache/huggingface/download/config.json").write_bytes(b"2")
    assert hash_folder(folder) == base
    assert hash_folder(shutil.copytree(folder, tmp_path / "there")) == base

    for name, place in (("model.safetensors", 1 << 20), ("qformer_tokenizer/tokenizer.json", 0)):
        other = shutil.copytree(folder, tmp_path / Path(name).stem)
        with (other / name).open("r+b") as file:
            file.seek(place + 1)
            file.write(b"!")
        assert hash_folder(other) != base

    monkeypatch.setattr(hashlib, "file_digest", None)
    assert hash_folder(folder) == base, "files that are as they were are read again"


def test_a_remembered_hash_that_is_none_is_made_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    base = hash_folder(folder)
    (memory,) = (tmp_path / "cache").rglob("*.json")
    other = memory.read_bytes().replace(b'"value": "', b'"value": "0')
    for data in (b"", b"x" * 64, b"0" * 64, other):
        memory.write_bytes(data)
        assert hash_folder(folder) == base


def test_a_long_wait_is_announced(
    model: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    monkeypatch.setattr("mm_imagenet_r.captions.checkpoints._LONG", 1000)
    hash_folder(model("llava"))
    assert "once to identify the model" in capsys.readouterr().out
    hash_folder(model("llava"))
    assert capsys.readouterr().out == ""


def test_the_place_of_a_model_and_the_machine_are_described_and_decide_nothing(
    model: Any, photos: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    hashed = []
    hash_once = checkpoints.hash_folder
    monkeypatch.setattr(checkpoints, "hash_folder", lambda f: hashed.append(f) or hash_once(f))
    renamed = shutil.copytree(model("llava"), tmp_path / "renamed")
    base = ["--prompt", PROMPT, "--images", str(photos), "--output", str(tmp_path / "out")]
    for folder in (model("llava"), renamed):
        assert main(["--model", str(folder), *base, "--decoding", "max_new_tokens=1"]) == 0
    (run,) = (tmp_path / "out").glob("*/run.json")
    assert len(hashed) == 2, "a folder is hashed once a command"
    about = json.loads(run.read_text())["about"]
    assert (about["model"], about["device"]) == ("llava", "cpu")
    assert about["versions"]["transformers"] == transformers.__version__
    assert datetime.datetime.fromisoformat(about["started"]).tzinfo is not None
    assert read_captions(tmp_path / "out").info["model"] == "llava"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU as {device}")
    assert checkpoints.name_device("auto") == "a GPU as cuda"


def test_the_fingerprint_follows_what_decides_the_captions(model: Any) -> None:
    folder = model("instructblip-opt")
    identify = backends.find_captioner("instructblip").identify
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
        (["--model", "a" * 5000], "a... cannot be loaded"),
        (["--model", "a\0b"], "cannot be loaded"),
        (["--model", "localhost:80/v1"], "The address of a server begins with http://"),
        (["--model", "my_captions.mine:Slow"], "captioner of your own is named by --backend"),
        (["--backend", "instructblipp"], "did you mean 'instructblip'"),
        (["--backend", "instructblip"], "is of type llava, not instructblip"),
        (["--device", "cuda:9"], "--device cuda:9 cannot be used"),
        (["--revision", "v1"], "is a folder: leave it out"),
        (["--decoding", "num_beans=3"], "could be captioned"),
        (["--decoding", "num_beams=abc"], '--decoding num_beams="abc": give a whole number'),
        (["--decoding", "length_penalty=true"], "length_penalty=true: give a number"),
        (["--decoding", "do_sample=true"], "--decoding do_sample=true requests sampling"),
        (["--decoding", "top_p=0.9"], "--decoding top_p requests sampling"),
        (["--decoding", "max_length=9"], "give max_new_tokens instead"),
        (["--decoding", "num_return_sequences=2"], "each image has one caption"),
        (["--concurrency", "3"], "--concurrency does not apply to the back end transformers"),
    ],
)
def test_mistakes_are_reported(
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


@pytest.mark.parametrize("name", ["llava", "instructblip-opt"])
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "processor_config.json"]
)  # fmt: skip
def test_code_beside_a_model_is_neither_run_nor_asked_about(
    name: str, file: str, model: Any, photos: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    folder, ran = shutil.copytree(model(name), tmp_path / name), tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nclass Evil:\n    pass\n"
    (folder / "evil.py").write_text(code)
    settings = json.loads((folder / file).read_text())
    for key in ("model_type", "tokenizer_class", "processor_class"):
        settings.update({key: "Evil"} if key in settings else {})
    autos = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoModelForImageTextToText")
    tokenizer = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    settings["auto_map"] = {**dict.fromkeys(autos, "evil.Evil"), **tokenizer}
    (folder / file).write_text(json.dumps(settings))

    def ask(*_: object) -> str:
        raise AssertionError("a user is asked whether to run it")

    monkeypatch.setattr("builtins.input", ask)
    arguments = ["--model", str(folder), "--prompt", PROMPT, "--images", str(photos)]
    more = ["--decoding", "max_new_tokens=1", "num_beams=1", "--output", str(tmp_path / "out")]
    assert main([*arguments, *more]) in (0, 2)  # some do without
    said = capsys.readouterr().err
    assert "trust_remote_code" not in said
    assert not ran.exists()
    if file == "config.json":
        assert "needs code of its own, which is not run): run it on a server" in said


def test_pickled_weights_are_refused(model: Any, photos: Path, tmp_path: Path, capsys: Any) -> None:
    folder = shutil.copytree(model("llava"), tmp_path / "llava")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    arguments = ["--model", str(folder), "--prompt", PROMPT, "--images", str(photos)]
    more = ["--decoding", "max_new_tokens=1", "--output", str(tmp_path / "out")]
    assert main([*arguments, *more]) == 2
    said = capsys.readouterr().err
    assert "its weights are pickled, which is not read" in said
    assert "use_safetensors" not in said
    code = said.partition('python -c "')[2].partition('"')[0]
    exec(code, {})
    assert main([*arguments, *more]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "size"),
    [("model.safetensors", 2000), ("model.safetensors", -10), ("tokenizer.json", 0)],
)
def test_truncated_files_are_reported(
    file: str, size: int, model: Any, photos: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = tmp_path / "llava"
    shutil.copytree(model("llava"), folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:size])
    arguments = ["--model", str(folder), "--prompt", PROMPT, "--images", str(photos)]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "if a file may be truncated, download or copy it again" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed"
)
def test_images_are_prepared_without_torchvision(model: Any) -> None:
    for name in ("instructblip-opt", "llava"):
        captioner = load(model(name))
        kind = type(captioner.processor.image_processor).__name__  # type: ignore[attr-defined]
        assert kind.endswith("Pil")
