"""Captioners of one's own: named in two ways, and held to their contract by name and line."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import Fake, draw
from PIL import Image

from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.captioner import Caption, Request
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.errors import UserError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "captions.md"
COUNT = 5


@pytest.fixture
def example() -> str:
    """The class in the documents."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    return next(block for block in blocks if "class SizeOf" in block)


@pytest.fixture
def caption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Captions images with the class `SizeOf` of a file, under a module name of its own each time.

    The search path is as it was afterwards, and the modules are gone.
    """
    for number in range(COUNT):
        path = tmp_path / "photos" / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(number))
    before, numbers = set(sys.modules), itertools.count()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def run(code: str, *arguments: str, name: str = "") -> int:
        file = Path("own") / (name or f"mine_{next(numbers)}.py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        base = ["--backend", f"{file}:SizeOf", "--model", "any", "--images", "photos"]
        return main([*base, "--prompt", "It has", "--output", "out", *arguments])

    yield run
    for module in set(sys.modules) - before:
        if module.partition(".")[0] == "own" or module.startswith("mine_"):
            del sys.modules[module]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_example_of_the_documents_captions(caption: Any, example: str, workers: str) -> None:
    assert caption(example, "--workers", workers) == 0
    captions = read_captions(Path("out"))
    assert captions.by_name["cat/0.png"] == "It has 4 x 4 pixels."
    assert len(captions.by_name) == COUNT
    assert captions.info["model"] == "any"


def test_an_edited_class_starts_another_set_and_the_same_one_resumes(
    caption: Any, example: str
) -> None:
    def sets() -> int:
        return len(list(Path("out").iterdir()))

    assert caption(example, name="mine_same.py") == 0
    assert caption(example, name="mine_same.py") == 0
    assert sets() == 1
    del sys.modules["mine_same"]  # as in a process of its own
    assert caption(example.replace("pixels", "dots"), name="mine_same.py") == 0
    assert sets() == 2


def test_a_file_and_a_module_are_one(caption: Any, example: str) -> None:
    assert caption(example, name="mine_both.py") == 0
    sys.path.append(str(Path("own").resolve()))
    again = ["--backend", "mine_both:SizeOf", "--model", "any", "--images", "photos"]
    assert main([*again, "--prompt", "It has", "--output", "out"]) == 0
    assert len(list(Path("out").iterdir())) == 1


MODEL = '"model": request.model'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def identify", "def identity", "SizeOf has no identify: every Captioner must define it"),
        (MODEL, '"model": {1}', "identify returns a value that is not JSON"),
        (MODEL, '"model": float("nan")', "identify returns a value that is not JSON"),
        (MODEL, '"model": request.modell', "identify fails with AttributeError: 'Request' object"),
        ('"prompt": request.prompt,', "", "identify does not return prompt; return everything"),
        ("return {", "return [] and {", "identify returns []; return a dict"),
        ("self.prompt = ", "self.prompt = 1 / 0 or ", "__init__ fails with ZeroDivisionError"),
        ("for i in images]", "for i in images[1:]]", "returns 0 captions for a batch of 1: return"),
        ("return [Caption(", "return [str(", "returns 'It has 4 x 4 pixels.' as a caption"),
        ("return [Caption(", "return [Caption(0 and ", "returns Caption(text=0, "),
        ('pixels.")', 'pixels.", n_tokens=True)', "n_tokens=True"),
        ('pixels.")', 'pixels.", n_tokens=2**40)', "n_tokens=1099511627776"),
        ('pixels.")', 'pixels.", n_prompt_tokens=-1)', "as a caption: return a list with"),
        ("return [", "return {1: 2} or [", "returns a dict: return a list"),
        ("class SizeOf", "class Other", "is not a Captioner: known: Other"),
        ("from mm", "import absent_package\nfrom mm", "needs absent_package: install it"),
        ("class SizeOf", "1 / 0\nclass SizeOf", "fails with ZeroDivisionError: division by zero, "),
    ],
)
def test_a_class_that_breaks_the_contract_is_reported(
    caption: Any, example: str, capsys: Any, old: str, new: str, message: str
) -> None:
    assert old in example
    assert caption(example.replace(old, new, 1)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "mine_0" in error
    assert not list(Path().glob("out/*/parts/*"))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Caption("\ud800"), "half of a surrogate pair"),
        (Caption("a" * 100_001), "the caption has 100,001 letters"),
        (Caption("", error="\ud800 is wrong"), r"\ud800 is wrong"),
    ],
)
def test_what_no_table_can_hold_is_a_failure_of_its_image(made: Caption, why: str) -> None:
    class One(Fake):
        def __call__(self, images: Sequence[Image.Image]) -> list[Caption]:
            return [made, Caption("a dog", "\ud800")]

    captioner = One(Request("", "p"), {}, "cpu")
    first, second = backends.caption(captioner, [Image.new("RGB", (1, 1))] * 2)
    assert (first.text, first.finish) == ("", "error")
    assert why in first.error
    assert first.error.isascii()
    assert second == Caption("a dog", r"\ud800")


def test_the_line_of_an_error_is_reported(caption: Any, example: str, capsys: Any) -> None:
    assert caption(example.replace("self.prompt = ", "self.prompt = 1 / 0 or ")) == 2
    line = 1 + example[: example.index("self.prompt = ")].count("\n")
    assert f"by zero, mine_0.py line {line}. Fix it" in capsys.readouterr().err


def test_what_is_described_must_be_json(caption: Any, example: str, capsys: Any) -> None:
    described = "\n    @classmethod\n    def describe(cls, request):\n        return {'x': {1}}\n"
    assert caption(example + described) == 2
    assert "describe returns a value that is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("servd", "did you mean 'served'"),
        ("absent.py:SizeOf", "there is no file absent.py; check the path"),
        ("own/json.py:SizeOf", "own/json.py has the name of another module"),
        ("own.absent:SizeOf", "there is no module 'own.absent': check"),
        ("json:SizeOf", "json:SizeOf is not a Captioner: write a class in json that derives"),
    ],
)
def test_names_that_are_no_back_ends(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("own").mkdir()
    Path("own/json.py").write_text("")
    with pytest.raises(UserError, match=re.escape(message)):
        backends.find_captioner(name)


def test_errors_of_back_ends_of_ours_keep_their_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backends.find_captioner("served")
    monkeypatch.setattr(backend, "identify", classmethod(lambda cls, request: 1 // 0))
    with pytest.raises(ZeroDivisionError):
        backends.identify(backend, Request("http://x", "p"))
