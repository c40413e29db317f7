"""Captions from a server that misbehaves, and from a real one."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from stub_server import Stub

from mm_imagenet_r.captions.__main__ import main
from mm_imagenet_r.captions.files import read_captions

pytest.importorskip("openai")


def test_every_row_is_accounted_for_whatever_the_server_does(
    server: Stub, caption: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    plan = ["answer"] * 20 + ["429", "500", "503", "drop", "408"] * 4
    random.Random(0).shuffle(plan)
    server.plan = plan
    server.always = {1: "400", 2: "empty", 3: "length", 4: "nothing", 5: "500", 6: "think"}
    server.always |= {7: "parts", 8: "page", 9: "no JSON"}
    monkeypatch.setattr("mm_imagenet_r.captions.rate_limiter._LONGEST_WAIT", 0.1)
    assert caption() == 0
    captions = read_captions(tmp_path / "out")
    assert len(captions.by_name) + len(captions.failed) == 40
    assert captions.failed["cat/01.png"].startswith("400: ")
    assert "without a choice" in captions.failed["cat/04.png"]
    assert captions.by_name["cat/02.png"] == ""
    assert captions.failed["cat/05.png"].startswith("500: ")
    assert captions.by_name["cat/06.png"] == "is 6"
    assert captions.by_name["cat/07.png"] == "is 7"
    assert captions.failed["cat/08.png"].startswith("no completion but '<html> <title>")
    assert captions.failed["cat/09.png"].startswith("no completion but ")
    assert captions.by_name["cat/39.png"] == "is 39"
    assert "35 of 40 images are captioned" in capsys.readouterr().out
    assert captions.info["model"] == "stub"

    server.always = {}
    asked = len(server.asked)
    assert caption("--retry-errors") == 0
    assert len(server.asked) == asked + 5
    assert read_captions(tmp_path / "out").failed == {}


def test_an_image_that_fails_when_all_others_are_done_is_a_row_too(
    server: Stub, caption: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mm_imagenet_r.captions.rate_limiter._LONGEST_WAIT", 0.01)
    server.always = {39: "500"}
    assert caption("--concurrency", "1", "--unit-size", "40", "--outage", "5") == 0
    captions = read_captions(tmp_path / "out")
    assert captions.failed.keys() == {"cat/39.png"}
    assert 39 + 8 < len(server.asked) < 39 + 8 + 3, "one that was answered is sent again"


@pytest.mark.parametrize("retry_after", ["0.25", "0"])
def test_a_server_with_a_rate_limit_captions_every_row(
    server: Stub, caption: Any, tmp_path: Path, retry_after: str
) -> None:
    """40 images at 4 in a quarter of a second take 2.25 s at best."""
    server.limit, server.retry_after = 4, retry_after
    started = time.monotonic()
    assert caption("--concurrency", "40", "--unit-size", "40", "--outage", "5") == 0
    assert time.monotonic() - started < 8
    captions = read_captions(tmp_path / "out")
    assert len(captions.by_name) == 40
    assert captions.failed == {}
    assert len(server.asked) < 160, "the server is sent too much while it refuses"


def test_a_busy_server_costs_no_image_and_ends_the_run_only_if_it_answers_nobody(
    server: Stub, caption: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mm_imagenet_r.captions.rate_limiter._LONGEST_WAIT", 0.002)
    server.plan = ["answer", *["503"] * 20, *["408"] * 20]
    assert caption("--concurrency", "4") == 0
    assert read_captions(tmp_path / "out").failed == {}
    server.plan = ["429"] * 10000
    again = ["--prompt", "Again.", "--outage", "0.3"]
    assert caption(*again) == 2
    assert "has not answered for" in capsys.readouterr().err
    server.retry_after = "3600"
    assert caption(*again) == 2
    assert "accepts no requests for 3600 s (429" in capsys.readouterr().err
    assert len(list(tmp_path.glob("out/*/parts/*.parquet"))) == 4


@pytest.mark.filterwarnings("ignore:coroutine .*try_connect:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*try_connect:pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_is_away_for_a_while_costs_no_image(
    server: Stub, caption: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mm_imagenet_r.captions.rate_limiter._LONGEST_WAIT", 0.05)
    wait = Stub.act

    def leave(stub: Stub, body: dict[str, Any]) -> tuple[str, int]:
        found = wait(stub, body)
        if len(stub.asked) == 14:
            stub.gone_until = time.monotonic() + 1.5
        return found

    monkeypatch.setattr(Stub, "act", leave)
    assert caption() == 0
    captions = read_captions(tmp_path / "out")
    assert len(captions.by_name) == 40
    assert captions.failed == {}


def test_a_set_holds_captions_of_one_model_whatever_servers_call_it(
    server: Stub, caption: Any, tmp_path: Path, capsys: Any
) -> None:
    server.answers_as = "stub-2026-01-01"
    assert caption("--limit", "10") == 0
    server.answers_as = "other-weights"
    assert caption() == 2
    err = capsys.readouterr().err
    assert "now answers with the model 'other-weights'" in err
    assert "was started with 'stub-2026-01-01'" in err
    assert len(list(tmp_path.glob("out/*/parts/*.parquet"))) == 1
    server.answers_as = "stub-2026-01-01"
    assert caption() == 0
    captions = read_captions(tmp_path / "out")
    assert captions.info["model"] == "stub"
    assert captions.info["served_model"] == "stub-2026-01-01"


def test_what_a_server_says_of_its_answers_is_kept(
    server: Stub, caption: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server.always = {2: "filter", 3: "length"}
    address = server.url.replace("http://", "http://user:secret@")
    assert caption("--model", address) == 0
    (folder,) = (tmp_path / "out").iterdir()
    rows = {row["file_name"]: row for row in pq.read_table(folder / "captions.parquet").to_pylist()}
    kept = {
        name: [rows[name][column] for column in ("caption", "finish", "flags", "n_prompt_tokens")]
        for name in ("cat/01.png", "cat/02.png", "cat/03.png")
    }
    assert kept == {
        "cat/01.png": ["is 1", "stop", [], 9],
        "cat/02.png": ["", "content_filter", ["empty", "filtered"], 9],
        "cat/03.png": ["is 3", "length", ["cut"], 9],
    }
    about = json.loads((folder / "run.json").read_text())["about"]
    assert about["server"] == server.url.removeprefix("http://").removesuffix("/v1")
    assert datetime.datetime.fromisoformat(about["started"]).tzinfo is not None
    assert not any(b"secret" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


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


def test_a_default_is_left_out_and_what_is_no_option_refused(
    server: Stub, caption: Any, capsys: Any
) -> None:
    """Newer models of OpenAI refuse `max_tokens` and any `temperature`."""
    options = ["--limit", "1", "--decoding", "max_completion_tokens=9", "temperature=null"]
    assert caption(*options) == 0
    (body,) = server.asked
    assert body.keys() == {"model", "messages", "max_completion_tokens"}
    assert caption("--decoding", "model=another") == 2
    assert "--decoding model cannot be set" in capsys.readouterr().err
    assert caption("--decoding", "max_tokens=few") == 2
    assert '--decoding max_tokens="few": give a whole number' in capsys.readouterr().err


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
        (["402"] * 99, "requires payment"),
        (["404"] * 99, "--served-model"),
        (["page"] * 99, "with no completion but '<html> <title>Welcome</title></html>': check the"),
        (["no JSON"] * 99, "check the address, which usually ends in /v1"),
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


def test_servers_that_are_down_or_none_or_have_several_models(
    server: Stub, caption: Any, photos: Path, capsys: Any
) -> None:
    server.models = None
    assert caption() == 2
    message = capsys.readouterr().err
    assert "does not list its models (<html>" in message
    assert "check the address, which usually ends in /v1, or name the model with" in message
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
