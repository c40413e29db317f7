"""Options of a run: in a file of JSON or TOML, and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..door import Case, Door
from ..generic import GENERIC
from ..pictures import write_folder
from ..values import ODD, in_json
from .common import METHOD, look, write_method

_CONFIG: dict[str, Any] = {
    "method": [f"{METHOD}:MeanColour"], "set": {}, "seeds": [0, 1], "dataset": "data", "phases": 2,
    "memory": "2", "currency": "bytes", "growth": "per-class", "test_fraction": 0.3,
    "class_order_seed": 1993, "epochs": 2, "batch_size": 8, "learning_rate": 0.01, "device": "cpu",
    "partial": False, "output": "runs", "evaluate_on": "validation", "stop_after": 1,
    "micro_batches": 2, "max_text_length": 8, "base_classes": 2, "split_name": None,
    "backbone": "tiny", "tuning": "head", "weight_decay": 0.1, "precision": "no", "jobs": 1,
    "threads": 1, "checkpoint_seconds": 1.0, "recipe": None, "steps": None, "tracker": "none",
}  # fmt: skip
#: Of those above, what the file has; the others may be named by the damage.
_GIVEN = ("method", "dataset", "phases", "memory", "batch_size", "device", "seeds", "epochs")
_TEXTS = (
    "", " ", "0", "-1", "1.5", "1e999", "nan", "inf", "9" * 30, "9" * 5_000, "true", "none",
    "x" * 5_000,
    "/dev/zero", "/", "..", "~", "~nobody/x", "a\nb", "\x1b[2J", "é", "\udcff", "5MB", "5PB",
    "1e30MB",
    "0.0000001MB", "$(id)", "--", "-h", "a=b", "a.b=c", "=", "mini", "org/name",
    "http://127.0.0.1:9/",
    "method.py", "method.py:", "method.py:Absent", "method.py:MeanColour@x", "os:path",
    "../method.py:X",
)  # fmt: skip
#: Values that a run may have, or nearly.
_LIKELY: dict[str, tuple[Any, ...]] = {
    "method": (["replay"], ["finetune", "joint"], [f"{METHOD}:MeanColour", "er"], "simplecil"),
    "seeds": (0, [0, 1, 2], [-1], [0, 0], 10**9), "phases": (1, 2, 3, 4, 5, 0),
    "stop_after": (1, 2, 3), "base_classes": (1, 2, 3, 4), "memory": ("0", "0.5", "20MB"),
    "currency": ("samples", "bytes"), "growth": ("total", "per-class"), "epochs": (0, 1, 10**6),
    "steps": (0, 1, 10**6), "batch_size": (1, 2, 10**6, 0), "micro_batches": (1, 3, 8, 10**6),
    "test_fraction": (0.01, 0.5, 0.99, 0, 1), "split_seed": (1, -1, 2**40), "threads": (1, 10**6),
    "class_order_seed": (None, 0, -1, 2**70), "class_order": ("coda", "coda:1", "mammoth", "x"),
    "evaluate_on": ("validation", "test"), "tuning": ("ssf", "full", "head"), "recipe": ("x",),
    "max_text_length": (1, 2, 8, 40, 10**6), "learning_rate": (0, 1e-9, 1e9), "workers": (1, 10**4),
    "weight_decay": (0, 1e9), "precision": ("bf16", "fp16"), "jobs": (2, 10**6),
    "data_dir": ("data",),
    "match_exemplars_of": ("replay", f"{METHOD}:MeanColour"), "captions": ("data", "config.json"),
    "dataset": ("mini", "data/", "./data", "mm_imagenet_r", "mm_imagenet_r:x", "upmc_food101"),
    "backbone": ("tiny-1", "data", "org/name", "org/name@x"), "tracker": ("tensorboard", "wandb"),
    "split_name": ("seed42", "folder", "seeded:3", "seeded:x"), "device": ("cuda", "auto"),
    "checkpoint_seconds": (0, 1e9), "output": ("method.py", "data/ant/0.png", ".", "data"),
}  # fmt: skip
_OPTIONS = (*_CONFIG, "captions", "image_column", "label_column", "split_seed", "class_order",
            "match_exemplars_of", "workers", "recipes", "tuned_by", "overwrite", "data_dir", "list",
            "config", "bad_images", "absent", "help", "version")  # fmt: skip


def _toml_of(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml_of(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)  # the same for what stands here


def _build(folder: Path) -> None:
    write_method(folder)
    write_folder(folder / "data", 4)
    given = {name: _CONFIG[name] for name in _GIVEN}
    (folder / "config.json").write_text(json.dumps(given, indent=1))
    (folder / "config.toml").write_text("".join(f"{k} = {_toml_of(v)}\n" for k, v in given.items()))
    (folder / "words.json").write_text("[]")


def _option(case: Case) -> Any:
    """The name of an option, and an odd value for it."""
    if case.rng.random() < 0.5:
        name = case.rng.choice(sorted(_LIKELY))
        return name, case.rng.choice(_LIKELY[name])
    name = case.rng.choice(_OPTIONS)
    fine = _CONFIG.get(name)
    odd = case.rng.choice((*ODD, *_TEXTS, *_TEXTS, fine, [fine, fine]))
    return name, odd


def _in_json(case: Case) -> None:
    path = case.some_file(".json")
    name, odd = _option(case)
    text = path.read_bytes().decode(errors="replace")
    path.write_text(text.replace("{", f'{{"{name}": {json.dumps(odd)},', 1))


def _in_toml(case: Case) -> None:
    """A line of odd TOML: a value, a table, a key, a type that JSON lacks."""
    path = case.some_file(".toml")
    name, odd = _option(case)
    values = (
        "", "1979-05-27T07:32:00Z", "07:32:00", "0x1F", "1_000", "inf", "nan", "'''a\nb'''", "[",
        "[1, 'a']", "[" * 50_000, "[" * 900 + "]" * 900, "{a={b={c=1}}}", '"\\ud800"', "1" * 5_000,
        "{" + "a={" * 900 + "}" * 901, *[json.dumps(odd)] * 20, json.dumps(str(odd)), "{}",
    )  # fmt: skip
    line = f"{name} = {case.rng.choice(values)}"
    lines = (
        line,
        line,
        line,
        f"[{name}]",
        f"[[{name}]]\na = 1",
        f"{name}.a.b = 1",
        "[a" + ".a" * 5_000 + "]",
    )
    kept = path.read_bytes().decode(errors="replace").splitlines()
    kept = [one for one in kept if not one.startswith(f"{name} =") or case.rng.random() < 0.1]
    kept.insert(case.rng.choice((0, len(kept))), case.rng.choice(lines))
    path.write_text("\n".join(kept), errors="surrogateescape")


def _word(case: Case) -> None:
    """One more option, with no value, one or several."""
    path = case.folder / "words.json"
    words = json.loads(path.read_text())
    name, odd = _option(case)
    values = odd if isinstance(odd, list) else [odd]
    texts = [str(value).replace("\0", "") for value in values[:3]]
    option = f"--{name.replace('_', '-')}"
    more = ([option, *texts], [option], [option, *texts], [f"{option}={''.join(texts)}"], texts)
    path.write_text(json.dumps(words + case.rng.choice(more)))


def _settings(case: Case) -> None:
    """Settings of a method that has some."""
    names = (
        "method",
        "seeds",
        "replay.distillation",
        "distillation",
        "codec",
        "quality",
        "keep",
        "",
    )
    words = ["--method", case.rng.choice(("exemplar_masking", "replay", "icarl", "joint"))]
    values = [f"{case.rng.choice(names)}={case.rng.choice(_TEXTS)}" for _ in range(2)]
    (case.folder / "words.json").write_text(json.dumps([*words, "--set", *values]))


def _of_file(name: str) -> Callable[[Case], int]:
    return lambda case: look(case, "--config", name)


def _of_words(case: Case) -> int:
    return look(case, *json.loads((case.folder / "words.json").read_text()))


_JSON = {"option": _in_json, "one more option": _in_json, **in_json()}
JSON = Door("configuration.json", _build, _JSON, _of_file("config.json"), "config.json", GENERIC)
_TOML = {"option": _in_toml}
TOML = Door("configuration.toml", _build, _TOML, _of_file("config.toml"), "config.toml", GENERIC)
_WORDS = {"an option": _word, "one more": _word, "settings": _settings}
OPTIONS = Door("options", _build, _WORDS, _of_words, "words.json")
