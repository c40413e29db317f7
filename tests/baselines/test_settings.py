"""Every setting of every registered method does something, or is refused where it does not."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from memories import ListMemory
from teaching import learn, memory_for, ready, scores

from benchmark.data import Samples, open_data
from benchmark.load_method import load_method
from benchmark.method import PhaseData
from benchmark.registry import REGISTRY

pytestmark = pytest.mark.usefixtures("read_once")
Build = Callable[..., Any]
#: Settings that save time where a method has them.
FAST = {"codec": "jpeg", "quality": 60, "projection": 50}
#: What has to be set for a setting to matter: by method and setting, or for all by setting.
TOGETHER: dict[str, dict[str, Any]] = {
    "temperature": {"distillation": 1.0},
    "tau_text": {"mask_text": True},
    "codec": {"quality": 0},
    "min_psnr": {"quality": 0},
    "mrdc.epsilon": {"quality": 0, "epsilon": 0.05},
    "cim.outer_steps": {"learned": True, "outer_steps": 1.0},
    # The backbone has three layers.
    "dualprompt.e_layers": {"g_layers": 1, "e_layers": 2},
    "coda_prompt.layers": {"layers": 2},
    "coda_prompt.components": {"components": 9},
}
#: Settings of a base class that a method has for its values alone; all others are refused.
FIXED = {"er.selection", "er_ace.selection", "derpp.selection"}
FIXED |= {"derpp.distillation", "derpp.temperature"}
FIXED |= {f"core_tokens.{key}" for key in ("attention", "tau_image", "mask_text", "tau_text")}
#: Settings that matter from the third phase on; two phases show all others.
LATE = {"cim.compress_new", "ease.divide"}
#: Settings that the tiny task cannot show, and why.
UNSEEN: dict[str, str] = {}


def settings() -> Iterator[tuple[str, str]]:
    for name in REGISTRY:
        for spec in dataclasses.fields(load_method(name)[0].Settings):
            yield name, spec.name


def others(name: str, key: str, **together: Any) -> Iterator[dict[str, Any]]:
    """The settings of a method with other values of one of them, as far as they are legal."""
    kind = load_method(name)[0]
    spec = next(spec for spec in dataclasses.fields(kind.Settings) if spec.name == key)
    now = together.get(key, spec.default)
    values = list(spec.metadata["search"])
    match now:
        case bool():
            values.append(not now)
        case int():
            values += [now + 1, now - 1, 2 * now, now * now]
        case float():
            values += [now / 2, now + 0.5, now + 1, 0.0]
        case str():
            values += choices(kind.Settings, key)
    for value in (value for value in dict.fromkeys(values) if value != now):
        changed = {**together, key: value}
        try:
            kind.Settings(**changed)
        except ValueError:
            continue
        yield changed


def choices(kind: type, key: str) -> list[str]:
    """The words a setting may be, from what is said to a wrong one."""
    with pytest.raises(ValueError, match=f"^{key}=no such word: ") as refusal:
        kind(**{key: "no such word"})
    return re.split(r",\s*", str(refusal.value).partition("choose one of ")[2])


@pytest.fixture(scope="module")
def captioned(coloured: Path, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """The samples, with captions that differ within a class."""
    folder = tmp_path_factory.mktemp("captioned")
    for path in coloured.glob("class*/*.jpg"):
        (folder / path.parent.name).mkdir(exist_ok=True)
        (folder / path.parent.name / path.name).write_bytes(path.read_bytes())
    words = ["a", "cat", "the", "dog", "on", "red", "blue", "grass"]
    with (folder / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        for path in sorted(folder.glob("class*/*.jpg")):
            caption = " ".join(words[int(path.stem) % 5 :][:4])
            writer.writerow([path.relative_to(folder), caption])
    return open_data(str(folder)).train


@pytest.fixture(scope="module")
def outcome(build: Build, captioned: Samples) -> Callable[..., str]:
    """What comes of a method with some settings: a hash of its scores and exemplars."""
    cut = [captioned.of_classes([label, label + 1]) for label in (0, 2, 4)]
    phases = [PhaseData(i, range(2 * i, 2 * i + 2), 2 * i + 2, own) for i, own in enumerate(cut)]

    @functools.cache
    def found(name: str, changes: tuple[tuple[str, Any], ...], learned: int) -> str:
        memory: ListMemory = memory_for(name)
        fresh = partial(build, load_method(name)[0], **dict(changes))
        state = learn(fresh, phases[:learned], memory)
        digest = hashlib.sha256()
        seen = captioned.of_classes(range(2 * learned))
        for key, rows in scores(ready(fresh, state, 2 * learned, memory), seen).items():
            digest.update(key.encode() + rows.numpy().tobytes())
        for exemplar in memory.exemplars():
            digest.update(exemplar.to_bytes())
        return digest.hexdigest()

    return found


@pytest.mark.parametrize(("name", "key"), list(settings()))
def test_no_setting_is_ignored(outcome: Callable[..., str], name: str, key: str) -> None:
    own = f"{name}.{key}"
    if own in UNSEEN:
        pytest.skip(UNSEEN[own])
    known = {spec.name for spec in dataclasses.fields(load_method(name)[0].Settings)}
    plain = {k: v for k, v in FAST.items() if k in known}
    if own in FIXED:
        assert not list(others(name, key, **plain))
        return
    plain |= TOGETHER.get(own, TOGETHER.get(key, {}))
    tried = list(others(name, key, **plain))
    assert tried, f"no other value of {key} is legal: tell in TOGETHER what it needs"
    learned = 3 if own in LATE else 2
    first = outcome(name, tuple(plain.items()), learned)
    assert any(outcome(name, tuple(one.items()), learned) != first for one in tried)


@pytest.mark.parametrize(("name", "key"), list(settings()))
def test_what_is_searched_is_legal(name: str, key: str) -> None:
    kind = load_method(name)[0]
    spec = next(spec for spec in dataclasses.fields(kind.Settings) if spec.name == key)
    for value in spec.metadata["search"]:
        assert type(value) is type(spec.default)
        assert getattr(kind.Settings(**{key: value}), key) == value
    assert not spec.metadata["search"] or spec.default in spec.metadata["search"]


def test_what_is_told_of_settings_is_of_those_there_are() -> None:
    there = set(settings())
    names = {key for _, key in there}
    for key in (*TOGETHER, *FIXED, *LATE, *UNSEEN):
        name, _, own = key.rpartition(".")
        assert (name, own) in there if name else own in names
