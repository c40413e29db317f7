"""Backbones that somebody else made, damaged or hostile: one sentence, and none of their code."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines.vilt import Preprocessor, Vilt, collate
from benchmark.run import main
from mm_imagenet_r.errors import UserError

Change = Callable[[Path], object]


def put(name: str, content: str | bytes) -> Change:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def settings(name: str, *path: str, **values: Any) -> Change:
    """Set values in an object in JSON, or in one within it."""

    def change(folder: Path) -> None:
        whole = json.loads((folder / name).read_text())
        inner = whole
        for key in path:
            inner = inner[key]
        inner.update(values)
        (folder / name).write_text(json.dumps(whole))

    return change


def config(**values: Any) -> Change:
    return settings("config.json", **values)


def processor(**values: Any) -> Change:
    return settings("processor_config.json", "image_processor", **values)


def replaced(name: str, make: Callable[[Path], object]) -> Change:
    """Put something else in the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def all_of(folder: Path) -> None:
        held = load_file(folder / "model.safetensors")
        change(held)
        save_file(held, folder / "model.safetensors", {"format": "pt"})

    return all_of


def header(text: str, claimed: int | None = None) -> Change:
    data = text.encode()
    size = struct.pack("<Q", len(data) if claimed is None else claimed)
    return put("model.safetensors", size + data + bytes(2**18))


def vocabulary(change: Callable[[dict[str, Any]], object]) -> Change:
    def change_file(folder: Path) -> None:
        whole = json.loads((folder / "tokenizer.json").read_text())
        change(whole)
        (folder / "tokenizer.json").write_text(json.dumps(whole))

    return change_file


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def tensor(shape: list[int], end: int) -> str:
    return json.dumps({WORDS: {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}})


WORDS = "embeddings.text_embeddings.word_embeddings.weight"
DEEP = '{"a":' * 100_000
AUTO = dict.fromkeys(("AutoConfig", "AutoModel", "AutoProcessor"), "evil.Evil")
AUTO_TOKENIZER = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}

HOSTILE: dict[str, tuple[Change, str]] = {
    **{
        f"{name} {what}": (put(name, content), f"{name}: .*{words}")
        for name in ("config.json", "processor_config.json", "preprocessor_config.json",
                     "tokenizer.json", "tokenizer_config.json")
        for what, content, words in (
            ("null", "null", "not an object"), ("list", "[1]", "not an object"),
            ("empty", "", "Expecting value"), ("no JSON", "{", "Expecting property"),
            ("nested", DEEP, "nested too deeply"), ("binary", b"\xff\xfe\x00", "decode"),
            ("a number of 5000 digits", "9" * 5000, "4300"),
        )
    },
    **{
        f"{name} is {what}": (replaced(name, make), f"{name}: it is {words}")
        for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json")
        for what, make, words in (
            ("a pipe", os.mkfifo, "a pipe"), ("a folder", Path.mkdir, "a folder"),
            ("a device", lambda path: path.symlink_to("/dev/zero"), "a device"),
        )
    },
    "config is a pipe": (replaced("config.json", os.mkfifo), "has no config.json"),
    "a vocabulary of a terabyte": (
        lambda folder: os.truncate(folder / "tokenizer.json", 2**40), "more than any of its kind"
    ),
    "patch 0": (config(patch_size=0), "patch_size is 0, not a whole number from 1"),
    "patch of words": (config(patch_size="16"), "patch_size"),
    "image 0": (config(image_size=0), "image_size is 0"),
    "image less than a patch": (config(image_size=8), "has no patch of 16"),
    "image of a gigapixel": (config(image_size=10**9), "image_size is 1000000000"),
    "width and heads": (config(num_attention_heads=5), "5 heads do not divide a width of 32"),
    "no heads": (config(num_attention_heads=0), "num_attention_heads is 0"),
    "no layers": (config(num_hidden_layers=-1), "num_hidden_layers is -1"),
    "a million layers": (config(num_hidden_layers=10**6), "num_hidden_layers"),
    "layers true": (config(num_hidden_layers=True), "num_hidden_layers"),
    "width null": (config(hidden_size=None), "config .*hidden_size"),
    "another width": (config(hidden_size=64), "weights of backbone .* cannot be read"),
    "huge vocabulary": (config(vocab_size=10**9), "vocab_size is 1000000000"),
    "large vocabulary": (config(vocab_size=2**24), "parameters, and .* cannot hold them"),
    "no such activation": (config(hidden_act="evil"), "weights .* cannot be used .*evil"),
    "epsilon": (config(layer_norm_eps=float("nan")), "layer_norm_eps is nan"),
    "one modality": (config(modality_type_vocab_size=1), "modality_type_vocab_size is 1"),
    "grey": (config(num_channels=1), "num_channels is 1"),
    "no such type": (config(model_type="evil"), "does not recognize"),
    "quantized": (
        config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        "weights .* cannot be read",
    ),
    "weights elsewhere": (config(transformers_weights="../evil.safetensors"), "cannot be read"),
    "edge 0": (processor(size={"shortest_edge": 0}), "shortest_edge is 0"),
    "edge of a gigapixel": (processor(size={"shortest_edge": 10**9}), "shortest_edge is 10000000"),
    "no edge": (processor(size={"height": 9, "width": 9}), "image processor"),
    "divisor 0": (processor(size_divisor=0), "size_divisor is 0"),
    "divisor of words": (processor(size_divisor="x"), "image processor"),
    "resample": (processor(resample=99), "image processor"),
    "one mean": (processor(image_mean=[0.5]), "image_mean is .*, not three numbers"),
    "mean of words": (processor(image_mean=["a", "b", "c"]), "image processor"),
    "deviation 0": (processor(image_std=[0, 1, 1]), "image_std has a zero"),
    "deviation inf": (processor(image_std=[float("inf")] * 3), "image_std is"),
    "factor": (processor(rescale_factor="x"), "image processor"),
    "words of a device": (
        settings("tokenizer_config.json", vocab_file="/dev/zero"), "vocab_file is '/dev/zero'"
    ),
    "special words of a device": (
        put("special_tokens_map.json", '{"vocab_file": "/dev/../dev/zero"}'), "vocab_file is '/dev"
    ),
    "a device for a vocabulary": (
        vocabulary(lambda its: its["model"].update(vocab="/dev/zero")), "vocab is '/dev/zero'"
    ),
    "no words": (vocabulary(lambda its: its["model"].update(vocab={})), "tokenizer of backbone"),
    "words elsewhere": (
        vocabulary(lambda its: its["model"]["vocab"].update(cat=10**6)), "token 1000000, and"
    ),
    "words below 0": (vocabulary(lambda its: its["model"]["vocab"].update(cat=-1)), "tokenizer"),
    "no word for the unknown": (
        vocabulary(lambda its: its["model"].update(vocab={"a": 1, "b": 2, "c": 3, "d": 4})),
        "tokenizer of backbone",
    ),
    "no model of words": (vocabulary(lambda its: its.pop("model")), "tokenizer of backbone"),
    "no [CLS]": (
        both(
            vocabulary(lambda its: its.update(post_processor=None)),
            settings("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast"),
        ),
        r"does not put \[CLS\] before",
    ),
    "a tokenizer of another kind": (
        vocabulary(lambda its: its.update(model={"type": "Evil"})), "tokenizer of backbone"
    ),
    "header of a terabyte": (header("{}", claimed=2**40), "cannot be read"),
    "header of no JSON": (header("[" * 100), "cannot be read"),
    "header that lies": (header(tensor([2**40, 32], 64)), "cannot be read"),
    "header beyond the end": (header(tensor([2**40], 2**42)), "cannot be read"),
    "no tensors": (header("{}"), "cannot be read"),
    "NaN": (tensors(lambda held: held[WORDS].fill_(float("nan"))), f"{WORDS} holds values"),
    "infinity": (tensors(lambda held: held[WORDS][0].fill_(float("inf"))), "are no numbers"),
    "a tensor is missing": (tensors(lambda held: held.pop(WORDS)), rf"lack 1 tensors \({WORDS}"),
    "a tensor of another shape": (
        tensors(lambda held: held.update({WORDS: held[WORDS][:3].clone()})), "cannot be read"
    ),
    "weights are a pipe": (replaced("model.safetensors", os.mkfifo), "cannot be read"),
    "weights are a folder": (replaced("model.safetensors", Path.mkdir), "cannot be read"),
}  # fmt: skip


def use(folder: Path) -> None:
    """Do with a backbone what a method does."""
    preprocessor, model = Preprocessor.from_pretrained(folder), Vilt.from_pretrained(folder)
    input = preprocessor.input_of(
        torch.zeros(64, 64, 3, dtype=torch.uint8).numpy(), preprocessor.token_ids("a cat")
    )
    with torch.no_grad():
        assert torch.isfinite(model.pool(collate([input]))).all()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_backbone_is_refused_in_one_sentence(
    case: str, vilt_folder: Path, tmp_path: Path
) -> None:
    change, words = HOSTILE[case]
    folder = shutil.copytree(vilt_folder, tmp_path / "vilt")
    change(folder)
    with pytest.raises(UserError, match=words) as refusal:
        use(folder)
    said = str(refusal.value)
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize("link", ["to itself", "out", "pipe", "folder"])
def test_what_does_not_belong_to_a_backbone_is_not_read(
    link: str, vilt_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(vilt_folder, tmp_path / "vilt")
    unknown = folder / "unknown"
    make: dict[str, Callable[[], object]] = {
        "to itself": lambda: unknown.symlink_to(folder),
        "out": lambda: unknown.symlink_to("/dev/zero"),
        "pipe": lambda: os.mkfifo(unknown),
        "folder": unknown.mkdir,
    }
    make[link]()
    use(folder)


@pytest.mark.parametrize("known", [True, False])
def test_code_beside_a_backbone_is_neither_run_nor_asked_about(
    known: bool, vilt_folder: Path, tmp_path: Path, coloured: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = shutil.copytree(vilt_folder, tmp_path / "vilt")
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nclass Evil:\n    pass\n"
    )
    unknown: dict[str, Any] = {} if known else {"model_type": "evil"}
    settings("config.json", auto_map=AUTO, **unknown)(folder)
    unknown = {} if known else {"tokenizer_class": "Evil"}
    settings("tokenizer_config.json", auto_map=AUTO_TOKENIZER, **unknown)(folder)
    settings("processor_config.json", auto_map=AUTO)(folder)

    def ask(*_: object) -> str:
        raise AssertionError("a user is asked whether to run it")

    monkeypatch.setattr(builtins, "input", ask)
    arguments = ["--dataset", str(coloured), "--phases", "2", "--method", "finetune", "--device",
                 "cpu", "--backbone", str(folder), "--output", str(tmp_path / "runs")]  # fmt: skip
    code = main([*arguments, "--dry-run"])
    assert not ran.exists()
    said = capfd.readouterr().err
    assert "trust_remote_code" not in said
    if known:  # it works without
        assert code == 0, said
        return
    assert code == 2
    assert "needs code of its own, which is not run" in said


def test_pickled_weights_are_not_read_and_how_to_convert_them_is_said(
    vilt_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(vilt_folder, tmp_path / "vilt")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="its weights are pickled, which is not read") as refusal:
        use(folder)
    said = str(refusal.value)
    assert "use_safetensors" not in said
    assert "weights_only" not in said
    code = said.partition('python -c "')[2].partition('"')[0]
    exec(code, {})
    use(folder)
