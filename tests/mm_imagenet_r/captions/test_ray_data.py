"""A driver on a local Ray, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_captioner import calls, draw

from mm_imagenet_r.captions.files import read_captions

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

COUNT = 400
CODE = """
import sys
import ray
from mm_imagenet_r.captions.__main__ import main
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    for number in range(COUNT):
        path = tmp_path / "photos" / f"class{number % 4}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(number))
    return [
        sys.executable, "-c", CODE, "--backend", "fake_captioner:Fake", "--ray", "1",
        "--model", str(tmp_path / "calls"), "--prompt", "p", "--images", str(tmp_path / "photos"),
        "--output", str(tmp_path / "out"), "--unit-size", "8", "--concurrency", "8",
    ]  # fmt: skip


@pytest.fixture
def environment() -> dict[str, str]:
    paths = os.pathsep.join(path for path in (str(Path(__file__).parent), *sys.path) if path)
    return {**os.environ, "PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"}


def test_a_driver_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, command: list[str], environment: dict[str, str]
) -> None:
    first = subprocess.Popen(
        [*command, "--decoding", "seconds=0.05"], env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while len(list(tmp_path.glob("out/*/parts/*.parquet"))) < 10:
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = len(calls(tmp_path / "calls"))
    done = len(list(tmp_path.glob("out/*/parts/*.parquet")))
    assert 10 <= done < 50

    again = [*command, "--decoding", "seconds=0.05"]
    assert subprocess.run(again, env=environment, check=False).returncode == 0
    captions = read_captions(tmp_path / "out")
    assert len(captions.by_name) == COUNT
    assert captions.by_name["class1/101.png"] == "number 101"
    made = len(calls(tmp_path / "calls"))
    assert made - before < 51 - done + 1


def test_a_model_that_never_works_ends_the_run(
    tmp_path: Path, command: list[str], environment: dict[str, str]
) -> None:
    ended = subprocess.run(
        [*command, "--decoding", "broken=true"],
        env=environment, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "error: none of the first 8 images could be captioned" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.glob("out/*/parts/*.parquet"))
