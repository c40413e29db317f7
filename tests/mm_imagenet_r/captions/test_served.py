"""Captions from a server that misbehaves, and from a real one."""

from __future__ import annotations

import importlib.util
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stub_server import STEP, Stub, serve

from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.files import read_captions

pytest.importorskip("openai")


@pytest.fixture
def server() -> Iterator[Stub]:
    with serve() as stub:
        yield stub


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty images with their numbers in their names; large enough to survive JPEG."""
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    for number in range(40):
        colour = (number * STEP, 0, 7)
        Image.new("RGB", (16, 16), colour).save(folder / f"{number:02}.png")
    return folder.parent


@pytest.fixture
def caption(server: Stub, photos: Path, tmp_path: Path) -> Any:
    def run(*arguments: str) -> int:
        base = ["--model", server.url, "--prompt", "Describe.", "--images", str(photos)]
        fast = ["--concurrency", "8", "--unit-size", "10", "--outage", "20"]
        return main([*base, *fast, "--output", str(tmp_path / "out"), *arguments])

    return run


def test_every_row_is_accounted_for_whatever_the_server_does(
    server: Stub, caption: Any, tmp_path: Path, capsys: Any
) -> None:
    plan = ["answer"] * 20 + ["429", "500", "503", "drop", "408"] * 4
    random.Random(0).shuffle(plan)
    server.plan = plan
    server.always = {1: "400", 2: "empty", 3: "length", 4: "nothing", 5: "500"}
    assert caption() == 0
    captions = read_captions(tmp_path / "out")
    assert len(captions.by_name) + len(captions.failed) == 40
    assert captions.failed["cat/01.png"].startswith("400: ")
    assert "without a choice" in captions.failed["cat/04.png"]
    assert captions.by_name["cat/02.png"] == ""
    assert captions.failed["cat/05.png"].startswith("500: ")
    assert captions.by_name["cat/39.png"] == "is 39"
    assert "37 of 40 images are captioned" in capsys.readouterr().out
    assert captions.info["model"] == "stub"

    server.always = {}
    asked = len(server.asked)
    assert caption("--retry-errors") == 0
    assert len(server.asked) == asked + 3
    assert read_captions(tmp_path / "out").failed == {}


def test_a_stalled_request_is_given_up_and_sent_again(
    server: Stub, caption: Any, tmp_path: Path
) -> None:
    server.plan = ["stall"]
    assert caption("--timeout", "0.5", "--limit", "4") == 0
    assert len(read_captions(tmp_path / "out").by_name) == 4


def test_options_reach_the_server(server: Stub, caption: Any) -> None:
    assert caption("--limit", "1", "--decoding", "max_tokens=9", "top_k=3", "seed=1") == 0
    (body,) = server.asked
    assert {key: body[key] for key in ("model", "max_tokens", "top_k", "seed", "temperature")} == {
        "model": "stub", "max_tokens": 9, "top_k": 3, "seed": 1, "temperature": 0,
    }  # fmt: skip


# The client's sockets may be closed while they connect, of which its library warns.
@pytest.mark.filterwarnings("ignore:coroutine .*try_connect:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*try_connect:pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_goes_midway_loses_nothing(
    server: Stub, caption: Any, tmp_path: Path, capsys: Any
) -> None:
    server.plan = ["answer"] * 20 + ["drop"] * 10000
    assert caption("--outage", "1") == 2
    message = capsys.readouterr().err
    assert "has not answered for" in message
    assert "give the same command again" in message
    asked = len(server.asked)
    server.plan = []
    assert caption() == 0
    assert len(server.asked) - asked < 40
    assert len(read_captions(tmp_path / "out").by_name) == 40


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (["401"] * 99, "set OPENAI_API_KEY"),
        (["404"] * 99, "--served-model"),
        (["400"] * 99, "images could be captioned: 400"),
    ],
)
def test_what_concerns_all_rows_stops_the_run(
    server: Stub, caption: Any, tmp_path: Path, capsys: Any, plan: list[str], message: str
) -> None:
    server.plan = plan
    assert caption() == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*/parts/*.parquet"))


def test_servers_that_are_down_or_have_several_models(
    server: Stub, caption: Any, photos: Path, capsys: Any
) -> None:
    server.models = ["one", "two"]
    assert caption() == 2
    assert "has 2 models: choose one with --served-model" in capsys.readouterr().err
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert main(["--model", down, "--prompt", "p", "--images", str(photos)]) == 2
    assert f"the server {down} cannot be reached" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("fastapi") is None, reason="transformers[serving] is not installed"
)
def test_transformers_serve(tmp_path: Path, photos: Path) -> None:
    from tiny_models import llava

    folder = llava(tmp_path / "llava")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [
        sys.executable, "-c", code, "serve", str(folder), "--host", "127.0.0.1", "--port",
        str(port), "--device", "cpu", "--dtype", "float32",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            for _ in range(600):
                time.sleep(0.2)
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                        break
                except OSError:
                    continue
            url = f"http://127.0.0.1:{port}/v1"
            arguments = ["--model", url, "--served-model", str(folder), "--prompt", "Describe."]
            limits = ["--limit", "3", "--decoding", "max_tokens=4"]
            out = tmp_path / "out"
            code_of = main([*arguments, *limits, "--images", str(photos), "--output", str(out)])
            assert code_of == 0
        finally:
            process.terminate()
    captions = read_captions(tmp_path / "out")
    assert len(captions.by_name) == 3
    assert captions.failed == {}
