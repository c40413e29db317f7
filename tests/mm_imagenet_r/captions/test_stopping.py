"""Real processes that are told to stop, or whose parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_captioner import calls, draw

from mm_imagenet_r.captions.files import read_captions

COUNT = 60


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start captioning of sixty images, six seconds of work, and wait for the first."""
    for number in range(COUNT):
        path = tmp_path / "photos" / "class" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(number))
    paths = os.pathsep.join(path for path in (str(Path(__file__).parent), *sys.path) if path)
    processes = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        log = tmp_path / "calls"
        command = [
            sys.executable, "-m", "mm_imagenet_r.captions", "--backend", "fake_captioner:Fake",
            "--model", str(log), "--images", str(tmp_path / "photos"), "--prompt", "p",
            "--output", str(tmp_path / "out"), "--unit-size", "1",
            "--decoding", "seconds=0.1", *arguments,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": paths}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        wait_for(lambda: log.exists() and len(calls(log)) > 3)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_still(log: Path) -> bool:
    before = log.stat().st_size
    time.sleep(0.5)
    return log.stat().st_size == before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_stops_all_workers_and_the_same_command_goes_on(
    start: Any, tmp_path: Path, workers: str
) -> None:
    process = start("--workers", workers)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped; the same command resumes from here" in err
    assert "Traceback" not in err
    assert is_still(tmp_path / "calls")
    made = len(calls(tmp_path / "calls"))
    assert made < COUNT
    assert start("--workers", workers).wait(timeout=60) == 0
    assert len(read_captions(tmp_path / "out").by_name) == COUNT
    assert len(calls(tmp_path / "calls")) <= COUNT + 2


def test_workers_end_when_their_parent_is_killed(start: Any, tmp_path: Path) -> None:
    start("--workers", "2").kill()
    wait_for(lambda: is_still(tmp_path / "calls"))
    assert len(calls(tmp_path / "calls")) < COUNT
