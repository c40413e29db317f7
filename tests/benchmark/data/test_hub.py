"""Data sets of a Hub on loopback: by revision, and from the cache where the Hub is offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_stub
import pytest
from exporting import made_up
from hub_stub import Hub

from mm_imagenet_r.export import export

ROOT = Path(__file__).resolve().parents[3]

#: Opens data sets one after the other; prints what they are, or why not.
OPEN = """if True:
    import json, sys
    from benchmark.data import open_data
    from mm_imagenet_r.errors import UserError
    for name in sys.argv[1:]:
        try:
            data = open_data(name)
            print(json.dumps([data.name, len(data.train), data.data_sha256]))
        except UserError as error:
            print(json.dumps(str(error)))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_stub.serve() as running:
        yield running


def upload(hub: Hub, folder: Path, per_class: int) -> str:
    """Put an export on the Hub; return its commit."""
    data = made_up({"train": per_class, "test": 2})
    export(folder, "made-up", data, {}, report=lambda _: None)
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.files["me/data"] = hub_stub.NEW | files
    return hub.commit("me/data")


def opened(hub: Hub, home: Path, *names: str, **variables: str) -> list[Any]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", OPEN, *names], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_revisions_and_offline_modes(hub: Hub, tmp_path: Path) -> None:
    home, first = tmp_path / "home", upload(hub, tmp_path / "one", 4)
    by_commit, unknown = opened(hub, home, f"me/data@{first}:made-up", "me/data@nope")
    assert by_commit[:2] == [f"me/data@{first}:made-up", 12]  # as it was given
    assert "Revision 'nope' doesn't exist" in unknown
    second = upload(hub, tmp_path / "two", 6)
    later = opened(hub, home, "me/data@main", f"me/data@{second}")
    assert [len_train for _, len_train, _ in later] == [18, 18]
    assert {sha for _, _, sha in later} != {by_commit[2]}
    hub.requests.clear()
    names = ["me/data", "me/data:made-up", "me/data@main", f"me/data@{second}"]
    for variable in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        *cached, old, absent = opened(
            hub, home, *names, f"me/data@{first}", "me/x", **{variable: "1"}
        )
        assert cached == [[name, *later[0][1:]] for name in names]
        assert (
            f"revision {first} of me/data could not be fetched" in old
        )  # never another in its place
        assert f"{variable} is set and the cache does not have it; unset that" in absent
        assert "\n" not in absent
    assert hub.requests == []
