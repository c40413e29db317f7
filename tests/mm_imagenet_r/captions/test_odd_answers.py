"""A server that answers what nobody expects, by mistake or on purpose."""

from __future__ import annotations

import gzip
import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from stub_server import Stub

from mm_imagenet_r.captions.files import read_captions

pytest.importorskip("openai")


def said(content: Any, **more: Any) -> bytes:
    """A completion with that content."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": content}}
    return json.dumps({"model": "stub", "choices": [choice], **more}).encode()


#: Headers and body of an answer, and the caption that is made of it, or words of why there is none.
ODD: dict[str, tuple[dict[str, str], bytes, str]] = {
    "half a surrogate pair": ({}, said("a \ud800 dog"), "!half of a surrogate pair"),
    "NUL": ({}, said("a \0 dog"), "a \0 dog"),
    "200,000 letters": ({}, said("dog " * 50_000), "!199,999 letters"),
    "40 MB": ({}, said("d" * 40_000_000), "!more than 4,194,304 bytes"),
    "compressed": ({"Content-Encoding": "gzip"}, gzip.compress(said("d" * 2**26)), "!compressed"),
    "compressed twice": ({"Content-Encoding": "gzip, gzip"}, b"", "!compressed"),
    "not compressed": ({"Content-Encoding": "gzip"}, said("a dog"), "!compressed"),
    "a wrong charset": ({"Content-Type": "application/json; charset=zip"}, said("a dog"), "a dog"),
    "another encoding": ({}, b"\xff\xfe" + said("a dog"), "!no completion"),
    "nested": ({}, b'{"choices":' + b"[" * 100_000, "!no completion"),
    "a number of 5000 digits": ({}, b'{"choices": ' + b"9" * 5000 + b"}", "!no completion"),
    "null": ({}, b"null", "!no completion"),
    "a list": ({}, b"[1]", "!no completion"),
    "nothing": ({}, b"", "!no completion"),
    "an error": ({}, b'{"error": "evil"}', "!no completion"),
    "choices null": ({}, b'{"choices": null}', "!without a choice"),
    "choices a text": ({}, b'{"choices": "evil"}', "!without a choice"),
    "a choice of numbers": ({}, b'{"choices": [1]}', "!without a choice"),
    "a message null": ({}, b'{"choices": [{"message": null}]}', "!without a choice"),
    "content a number": ({}, said(1), "!without a choice"),
    "content an object": ({}, said({"text": "a dog"}), "!without a choice"),
    "parts of numbers": ({}, said([1]), "!without a choice"),
    "parts without text": ({}, said([{"type": "text", "text": None}]), "!without a choice"),
    "count of 2**40": ({}, said("a dog", usage={"completion_tokens": 2**40}), "a dog"),
    "count true": ({}, said("a dog", usage={"completion_tokens": True}), "a dog"),
    "count of words": ({}, said("a dog", usage={"prompt_tokens": "3"}), "a dog"),
    "usage a list": ({}, said("a dog", usage=[3]), "a dog"),
    "a model of numbers": ({}, said("a dog", model=[1]), "a dog"),
    "a terminal's command": ({}, b"\x1b[2J", "!no completion but '?[2J'"),
}


def test_one_odd_answer_is_a_row_and_the_others_are_captioned(
    server: Stub, caption: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mm_imagenet_r.captions.rate_limiter._LONGEST_WAIT", 0.01)
    monkeypatch.setattr("mm_imagenet_r.captions.served._ODD", 10**6)  # they come first
    numbers = [number for number in range(40) if number % 4]  # of each unit one is answered well
    assert len(ODD) <= len(numbers)
    for number, (name, (headers, body, _)) in zip(numbers, ODD.items(), strict=False):
        server.odd[name] = 200, headers, body
        server.always[number] = name
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert caption("--concurrency", "4", "--unit-size", "4") == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000, "kB of memory"
    captions = read_captions(tmp_path / "out")
    for number, (name, (*_, expected)) in zip(numbers, ODD.items(), strict=False):
        file_name = f"cat/{number:02}.png"
        if expected.startswith("!"):
            assert expected[1:] in captions.failed[file_name], name
            assert len(captions.failed[file_name]) <= 500, name
        else:
            assert captions.by_name[file_name] == expected, name
    assert sum(name not in captions.failed for name in captions.by_name) == 40 - sum(
        expected.startswith("!") for *_, expected in ODD.values()
    )


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "file:///etc/passwd", "/v1/elsewhere", "\x1b[2J", ""]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    server: Stub, caption: Any, capsys: Any, status: int, location: str
) -> None:
    server.odd["elsewhere"] = status, {"Location": location} if location else {}, b""
    server.plan = ["elsewhere"] * 99
    assert caption() == 2
    said = capsys.readouterr().err
    assert f"the server {server.url} redirects to '" in said
    assert "give the address that answers itself" in said
    assert "\x1b" not in said


def test_an_answer_without_an_end_is_given_up(server: Stub, caption: Any, tmp_path: Path) -> None:
    server.plan = ["endless"]
    started = time.monotonic()
    assert caption("--timeout", "0.5", "--limit", "4") == 0
    assert time.monotonic() - started < 10
    assert len(read_captions(tmp_path / "out").by_name) == 4


@pytest.mark.parametrize(
    "address",
    ["http://", "http://localhost:99999/v1", "http://[::1/v1", "http://\ud800/v1", "http://:80/v1"],
)
@pytest.mark.parametrize("more", [[], ["--served-model", "stub"]])
def test_what_is_no_address_is_refused(
    caption: Any, capsys: Any, address: str, more: list[str]
) -> None:
    assert caption("--model", address, *more) == 2
    assert "is not the address of a server" in capsys.readouterr().err


@pytest.mark.parametrize(
    "models", [None, {}, [], {"data": None}, {"data": [1]}, {"data": [{"id": None}]}, "evil"]
)
def test_odd_lists_of_models_are_refused(
    server: Stub, caption: Any, capsys: Any, models: Any
) -> None:
    server.listing = models
    assert caption() == 2
    assert "name the model with --served-model" in capsys.readouterr().err
