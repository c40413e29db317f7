"""To a Hub on loopback and back, by the clients' own calls in processes of their own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_stub
import pytest
from exporting import jpeg, made_up
from hub_stub import Hub

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.export import card, export
from mm_imagenet_r.export.shards import STAGING
from mm_imagenet_r.push import main, push

ROOT = Path(__file__).resolve().parents[2]

LOAD = """if True:
    import hashlib, json
    from datasets import Image, load_dataset
    for streaming in (False, True):
        ds = load_dataset("me/data", "made-up", streaming=streaming)
        print(json.dumps({
            split: {
                row["file_name"]: hashlib.sha256(row["image"]["bytes"]).hexdigest()
                for row in part.cast_column("image", Image(decode=False))
            }
            for split, part in ds.items()
        }))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_stub.serve() as running:
        yield running


@pytest.fixture(scope="module")
def data() -> Any:
    return made_up({"train": 70, "test": 5})


@pytest.fixture
def folder(data: Any, tmp_path: Path) -> Path:
    export(tmp_path / "out", "made-up", data, {"captions": "made-up"}, report=lambda _: None)
    return tmp_path / "out"


def client(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "dummy",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def pushed(hub: Hub, folder: Path) -> subprocess.CompletedProcess[str]:
    return client(hub, folder.parent / "home", "-m", "mm_imagenet_r.push", str(folder), "me/data")


def test_images_come_back_byte_for_byte(data: Any, folder: Path, hub: Hub) -> None:
    done = pushed(hub, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.url}/datasets/me/data: 6 files sent"
    there = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*")}
    assert hub.files["me/data"] == there | hub_stub.NEW
    loaded = client(hub, folder.parent / "home", "-c", LOAD)
    assert loaded.returncode == 0, loaded.stderr
    expected = {
        split: {
            row["file_name"]: hashlib.sha256(row["image"]["bytes"]).hexdigest()
            for row in part.with_format("arrow")[:].to_pylist()
        }
        for split, part in data.items()
    }
    assert [json.loads(line) for line in loaded.stdout.splitlines()] == [expected, expected]


def test_a_push_that_failed_is_resumed_and_old_shards_go(data: Any, folder: Path, hub: Hub) -> None:
    hub.failures += ["POST .*/commit/main"] * 10
    failed = pushed(hub, folder)
    assert failed.returncode == 2
    assert "give the same command again" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert hub.files["me/data"] == hub_stub.NEW
    hub.failures.clear()
    hub.files["me/data"] = {
        "data/made-up/train-00000-of-00002.parquet": b"old",
        "data/other/train-00000-of-00001.parquet": b"another configuration",
        "LICENSE": b"theirs",
        "data/made-up/theirs.parquet": b"theirs",
        "README.md": b"An old card.\n<!-- configurations -->\n",
    }
    hub.requests.clear()
    assert pushed(hub, folder).returncode == 0
    assert not [line for line in hub.requests if line.startswith("PUT /large/")]  # sent before
    assert sorted(hub.files["me/data"]) == [
        "LICENSE",
        "README.md",
        "captions/made-up-audit.json",
        "captions/made-up.parquet",
        "croissant.json",
        "data/made-up/test-00000-of-00001.parquet",
        "data/made-up/theirs.parquet",
        "data/made-up/train-00000-of-00001.parquet",
        "data/other/train-00000-of-00001.parquet",
    ]


def test_a_repository_of_others_is_not_taken(folder: Path, hub: Hub) -> None:
    theirs = {"README.md": b"Another data set.\n", "data/made-up/theirs.parquet": b"theirs"}
    hub.files["me/data"] = dict(theirs)
    refused = pushed(hub, folder)
    assert refused.returncode == 2
    assert "me/data holds something else (data/made-up/theirs.parquet)" in refused.stderr
    assert hub.files["me/data"] == theirs


def test_from_the_archive_to_the_hub_and_back(hub: Hub, tmp_path: Path) -> None:
    """Bytes of a tar, some grey or CMYK, through builder, export and push."""
    images = {
        f"{wnid}/art_{n}.jpg": jpeg(n, ("RGB", "L", "CMYK")[n % 3])
        for wnid in ("n01443537", "n01484850")
        for n in range(6)
    }
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "captions").mkdir(parents=True)
    with tarfile.open(data / "imagenet-r.tar", "w") as archive:
        for name, content in images.items():
            member = tarfile.TarInfo(f"imagenet-r/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    lines = "".join(f"{name},about {name}\n" for name in images)
    (data / "captions" / "made-up.csv").write_text(f"file_name,caption\n{lines}")
    made = client(
        hub, tmp_path / "home", "-m", "mm_imagenet_r.export", str(out), "--config", "made-up",
        "--data-dir", str(data), "--split-name", "seeded", "--partial",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "split_sha256" in (out / "README.md").read_text()
    assert pushed(hub, out).returncode == 0
    loaded = client(hub, tmp_path / "home", "-c", LOAD)
    assert loaded.returncode == 0, loaded.stderr
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in images.items()}
    for line in loaded.stdout.splitlines():
        parts = json.loads(line)
        assert parts["train"] | parts["test"] == hashes
        assert len(parts["train"]) + len(parts["test"]) == len(hashes)


def test_hub_that_is_away_is_said(folder: Path, hub: Hub) -> None:
    hub.url = "http://127.0.0.1:9"
    done = pushed(hub, folder)
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_permission_is_said(folder: Path, hub: Hub) -> None:
    hub.denied = 401
    done = pushed(hub, folder)
    assert done.returncode == 2
    assert "does not let you write to me/data" in done.stderr
    assert "dummy" in hub.tokens
    assert "dummy" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_incomplete_folders_are_not_sent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card.faults(folder) == []
    (folder / STAGING).mkdir()
    assert main([str(folder), "me/data"]) == 2
    assert "not finished" in capsys.readouterr().err
    (folder / STAGING).rmdir()
    shard = folder / "data" / "made-up" / "test-00000-of-00001.parquet"
    shard.rename(shard.with_name("dev-00000-of-00001.parquet"))
    with pytest.raises(
        UserError, match=r"test-.*leads to no file; data/made-up/dev-.* not in READ"
    ):
        push(folder, "me/data")
    with pytest.raises(UserError, match="no README"):
        push(folder.parent, "me/data")


def test_name_without_owner_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="give owner/name"):
        push(folder, "data")
