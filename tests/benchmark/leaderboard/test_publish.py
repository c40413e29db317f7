"""Page, results, tasks and models to a Hub on loopback: what is there, twice, broken off."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hub_stub
import pandas as pd
import pytest
import yaml
from forging import change_result, finished_run
from hub_stub import Hub
from huggingface_hub import ModelCard, parse_eval_result_entries
from running import Call, folders

from benchmark import results
from benchmark.leaderboard import cards, tasks
from benchmark.leaderboard.__main__ import main
from benchmark.leaderboard.check import check
from benchmark.leaderboard.levels import RECORD, Level, Record, files_of, write_record
from benchmark.results.io import unpack
from benchmark.run_files import PACKED, RESULT
from benchmark.source_hash import sources_sha256
from mm_imagenet_r.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ROOT / "results" / "mini-10phases-5-bytes"
TOKEN = "hf_thisIsASecret0123"
TARGETS = (
    "--space", "me/board", "--dataset", "me/results", "--benchmark", "me/mm_imagenet_r",
)  # fmt: skip

#: Runs the command without waiting: clients pause ever longer before they try a request again.
PUBLISH = """
import runpy, time
time.sleep = lambda seconds: None
runpy.run_module("benchmark.leaderboard", run_name="__main__", alter_sys=True)
"""

Publish = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_stub.serve() as running:
        running.files["me/mm_imagenet_r"] = {"README.md": b"theirs", "data/a.parquet": b"rows"}
        yield running


@pytest.fixture
def publish(hub: Hub, tmp_path: Path) -> Publish:
    """Publish by a process of its own; nothing that it says or leaves holds the token."""

    def run(*words: object, **changed: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN,
            "TMPDIR": str(tmp_path / "scratch"), "PYTHONPATH": str(ROOT), **changed,
        }  # fmt: skip
        (tmp_path / "scratch").mkdir(exist_ok=True)
        command = [sys.executable, "-c", PUBLISH, "publish", *map(str, words)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert TOKEN not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert not any((tmp_path / "scratch").glob("publish-*"))
        for path in (*(tmp_path / "home").rglob("*"), *(tmp_path / "scratch").rglob("*")):
            assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
        for files in hub.files.values():
            assert not any(TOKEN.encode() in data for data in files.values())
        return done

    return run


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four committed results, one of them verified further."""
    root = tmp_path_factory.mktemp("board") / "results"
    for method in ("replay", "simplecil"):
        for run in sorted((COMMITTED / method).iterdir())[:2]:
            shutil.copytree(run, root / COMMITTED.name / method / run.name)
    first = results.find_runs([root])[0]
    place = first.relative_to(root).as_posix()
    write_record(root, {files_of(first): Record(Level.REPREDICTED, "by hand", place)})
    return root


def local(folder: Path, below: str) -> dict[str, bytes]:
    return {
        f"{below}{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rename_method(run: Path, name: str, sources: list[str]) -> None:
    """Make a small form that of a method that is not registered, whose source is beside it."""
    code = b"x = 1\n"
    for source in sources:
        (run / "source").mkdir(exist_ok=True)
        (run / "source" / source).write_bytes(code)
    unpack(run / PACKED, run / RESULT)

    def change(value: dict[str, Any]) -> None:
        value["config"]["method"][0] = f"{name}.py:{name.title()}"
        value["about"]["name"] = name.title()
        value["method_sha256"] = sources_sha256([code] * len(sources))

    change_result(run, change)
    (run / PACKED).unlink()


def commits(hub: Hub) -> list[str]:
    return [line for line in hub.requests if "/commit/" in line]


def test_what_was_promised_is_there_and_a_second_time_changes_nothing(
    board: Path, publish: Publish, hub: Hub, tmp_path: Path
) -> None:
    done = publish(board, *TARGETS)
    assert done.returncode == 0, done.stderr
    assert TOKEN in hub.tokens
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == [
        "1 file sent", f"{len(hub.files['me/results']) - 1} files sent", "6 files sent",
    ]  # fmt: skip
    assert len(commits(hub)) == 3

    site = tmp_path / "site"
    assert main(["build", str(board), "--out", str(site)]) == 0
    space = dict(hub.files["spaces/me/board"])
    card = space.pop("README.md").decode()
    header = yaml.safe_load(card.split("---\n")[1])
    assert (header["sdk"], header["app_file"]) == ("static", "index.html")
    assert header["datasets"] == ["me/results"]
    assert len(header["short_description"]) <= 60  # more is refused
    assert space == local(site, "") | hub_stub.NEW

    data = dict(hub.files["me/results"])
    for name, content in local(board, "results/").items():
        assert data.pop(name) == content
    assert {name: data.pop(name) for name in ("leaderboard.csv", "leaderboard.json")} == {
        name: (site / name).read_bytes() for name in ("leaderboard.csv", "leaderboard.json")
    }
    assert set(data) == {"README.md", cards.RUNS, ".gitattributes"}
    runs = pd.read_parquet(io.BytesIO(data[cards.RUNS]))
    assert set(runs.folder) == {f.relative_to(board).as_posix() for f in results.find_runs([board])}
    assert sorted(runs.groupby("folder")["level"].first()) == ["consistent"] * 3 + ["re-predicted"]
    assert "| re-predicted | 1 |" in data["README.md"].decode()
    assert "4 runs of 2 methods\n(replay, simplecil)" in data["README.md"].decode()

    benchmark = yaml.safe_load(hub.files["me/mm_imagenet_r"].pop("eval.yaml"))
    assert benchmark["tasks"] == [
        {"id": f"mini_10_phases_memory_5_bytes_{name}", "config": "mini", "split": "test"}
        for name in ("average", "last")
    ]
    assert hub.files["me/mm_imagenet_r"] == {"README.md": b"theirs", "data/a.parquet": b"rows"}
    hub.files["me/mm_imagenet_r"]["eval.yaml"] = tasks.eval_yaml(
        [tasks.setting_of(results.read(results.find_runs([board])[0]))]
    )

    before = {name: dict(files) for name, files in hub.files.items()}
    hub.requests.clear()
    done = publish(board, *TARGETS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nothing to send, all is there") == 3
    assert hub.files == before
    assert not [line for line in hub.requests if "commit" in line or line.startswith("PUT")]


def test_what_is_published_loads_and_verifies(board: Path, publish: Publish, hub: Hub,
                                              tmp_path: Path) -> None:  # fmt: skip
    assert publish(board, "--dataset", "me/results").returncode == 0
    code = (
        "from datasets import load_dataset\n"
        "runs = load_dataset('me/results', split='results').to_pandas()\n"
        "print(sorted(runs.method.unique()))"
    )
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "['replay', 'simplecil']\n", done.stderr
    for name, data in hub.files["me/results"].items():
        path = tmp_path / "downloaded" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    verdicts = check([tmp_path / "downloaded" / "results"])
    assert [one.level for one in verdicts] == [Level.CONSISTENT] * 4


@pytest.mark.parametrize(
    ("failures", "broken", "message"),
    [
        (["POST .*/me/results/preupload"] * 9, [], "answered 500"),
        (["POST .*/me/results/commit/main"] * 9, [], "answered 500"),
        ([], ["PUT /large/"] * 40, "cannot be reached"),
        ([], ["POST .*/spaces/me/board/commit/main"] * 9, "cannot be reached"),
        (["POST /api/repos/create"] * 9, [], "answered 500"),
    ],
)
def test_broken_off_and_repeated_ends_well(
    board: Path, publish: Publish, hub: Hub, failures: list[str], broken: list[str], message: str
) -> None:
    hub.failures += failures
    hub.broken += broken
    done = publish(board, *TARGETS)
    assert done.returncode == 2
    assert message in done.stderr
    assert "give the same command again" in done.stderr
    assert sorted(hub.files["me/mm_imagenet_r"]) == ["README.md", "data/a.parquet", "eval.yaml"]
    state = hub.files.get("me/results", {})
    assert set(state) <= {".gitattributes"} or "README.md" in state  # nothing or all
    hub.failures.clear()
    hub.broken.clear()
    done = publish(board, *TARGETS)
    assert done.returncode == 0, done.stderr
    once = {name: dict(files) for name, files in hub.files.items()}
    for name in ("me/results", "spaces/me/board"):
        hub.files.pop(name)
    assert publish(board, *TARGETS).returncode == 0
    assert hub.files == once


def test_what_is_gone_is_removed_and_what_differs_is_sent(
    board: Path, publish: Publish, hub: Hub, tmp_path: Path
) -> None:
    targets = TARGETS[:4]
    assert publish(board, *targets).returncode == 0
    hub.files["spaces/me/board"]["picture.png"] = b"of its owner"
    less = shutil.copytree(board, tmp_path / "less")
    shutil.rmtree(less / COMMITTED.name / "simplecil")
    (less / RECORD).unlink()
    done = publish(less, *targets)
    assert done.returncode == 0, done.stderr
    assert "4 files sent, 1 removed" in done.stdout  # three of the page, its card stays
    assert sorted(hub.files["spaces/me/board"]) == [
        ".gitattributes", "README.md", "index.html", "leaderboard.csv", "leaderboard.json",
        "methods/replay.html", "picture.png",
    ]  # fmt: skip
    there = {name for name in hub.files["me/results"] if name.startswith("results/")}
    assert there == set(local(less, "results/"))


def test_what_somebody_else_changes_meanwhile_is_not_lost(
    board: Path, publish: Publish, hub: Hub
) -> None:
    before = dict(hub.files["me/mm_imagenet_r"])
    hub.others.append(("POST .*/commit/main", "me/mm_imagenet_r", "eval.yaml"))
    done = publish(board, "--benchmark", "me/mm_imagenet_r")
    assert done.returncode == 2
    assert "me/mm_imagenet_r was changed by somebody else at the same time" in done.stderr
    assert hub.files["me/mm_imagenet_r"] == before | {"eval.yaml": b"of somebody else"}


def test_private_is_what_is_made_or_it_is_refused(board: Path, publish: Publish, hub: Hub) -> None:
    words = ("--dataset", "me/results", "--benchmark", "me/mm_imagenet_r", "--private")
    done = publish(board, *words)
    assert (done.returncode, hub.private) == (0, {"me/results"}), done.stderr
    assert publish(board, *words).returncode == 0
    hub.private.clear()
    done = publish(board, *words)
    assert done.returncode == 2
    assert "me/results exists and is not private" in done.stderr


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_refusals_are_told_without_the_token(
    board: Path, publish: Publish, hub: Hub, status: int
) -> None:
    hub.denied = status
    done = publish(board, "--space", "me/board")
    assert done.returncode == 2
    assert "me/board" in done.stderr
    said = {404: "check the name", 429: "answered 429"}.get(status, "log in with a token that may")
    assert said in done.stderr
    assert TOKEN in hub.tokens
    assert hub.files == {"me/mm_imagenet_r": hub.files["me/mm_imagenet_r"]}


def test_a_hub_that_is_away_and_a_token_that_is_none(
    board: Path, publish: Publish, hub: Hub, tmp_path: Path
) -> None:
    done = publish(board, "--space", "me/board", HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, "cannot be reached" in done.stderr) == (2, True)
    strange = "hf_ésecret"  # no header can hold it
    done = publish(board, "--space", "me/board", HF_TOKEN=strange)
    assert done.returncode == 2
    assert "secret" not in done.stderr
    done = publish(board, "--space", "me/board", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in done.stderr
    done = publish(board, "--benchmark", "me/absent")
    assert "has no me/absent" in done.stderr


def test_a_dry_run_shows_all_and_asks_nobody(
    board: Path, publish: Publish, hub: Hub, tmp_path: Path
) -> None:
    done = publish(board, *TARGETS, "--dry-run", HF_HUB_OFFLINE="1", HF_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert hub.requests == []
    shown = re.findall(r"^ +([\d,]+)  (.+)$", done.stdout, re.MULTILINE)
    calls = re.findall(r"^(\w+)\('([\w/-]+)'", done.stdout, re.MULTILINE)
    assert publish(board, *TARGETS).returncode == 0
    there = [
        (f"{len(data):,}", name)
        for repository in ("me/results", "spaces/me/board")
        for name, data in hub.files[repository].items()
        if name != ".gitattributes"
    ]
    size = len(hub.files["me/mm_imagenet_r"]["eval.yaml"])
    assert sorted(shown) == sorted([*there, (str(size), "eval.yaml")])
    assert [f"{function} {name}" for function, name in calls] == [
        f"{call} {name}"
        for name in ("me/mm_imagenet_r", "me/results", "me/board")
        for call in ("create_repo", "repo_info", "list_repo_tree", "create_commit")
        if (call, name) != ("create_repo", "me/mm_imagenet_r")
    ]  # fmt: skip
    asked = [line for line in hub.requests if re.search("create|tree|commit", line)]
    assert [re.sub(r".*(create|tree|commit).*", r"\1", line) for line in asked] == [
        "tree", "commit", "create", "tree", "commit", "create", "tree", "commit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "name", "path"),
    [
        ("--dataset", "me/other", "results/figures.csv"),  # where results are removed
        ("--dataset", "me/other", "leaderboard.csv"),
        ("--space", "spaces/me/other", "index.html"),
    ],
)
def test_what_somebody_else_made_is_not_overwritten(
    board: Path, publish: Publish, hub: Hub, option: str, name: str, path: str
) -> None:
    hub.files[name] = {"README.md": b"theirs", path: b"theirs", **hub_stub.NEW}
    before = dict(hub.files[name])
    done = publish(board, option, "me/other")
    assert done.returncode == 2
    assert f"me/other holds something else ({path})" in done.stderr
    assert hub.files[name] == before
    del hub.files[name][path]  # a card alone stands for nothing
    assert publish(board, option, "me/other").returncode == 0


def test_a_repository_that_holds_something_else_is_left_alone(
    board: Path, publish: Publish, hub: Hub
) -> None:
    before = dict(hub.files["me/mm_imagenet_r"])
    done = publish(board, "--dataset", "me/mm_imagenet_r")
    assert done.returncode == 2
    assert "me/mm_imagenet_r holds something else (data/a.parquet)" in done.stderr
    assert hub.files["me/mm_imagenet_r"] == before
    assert publish(board, "--dataset", "me/results").returncode == 0
    hub.files["me/results"]["LICENSE"] = b"of its owner"
    assert "nothing to send" in publish(board, "--dataset", "me/results").stdout
    assert hub.files["me/results"]["LICENSE"] == b"of its owner"


@pytest.mark.filterwarnings("ignore:.*ViltImageProcessor")
def test_a_model_with_its_figures(
    publish: Publish, hub: Hub, call: Call, vilt_folder: Path, tmp_path: Path
) -> None:
    assert call("--method", "replay", "--backbone", vilt_folder, "--epochs", 1)[0] == 0
    (run,) = folders(tmp_path)
    done = publish(run, "--model", "me/model")
    assert done.returncode == 0, done.stderr
    files = dict(hub.files["models/me/model"])
    assert {"model.safetensors", "classifier.safetensors", "config.json"} <= set(files)
    assert tasks.EVAL_RESULTS not in files
    card = ModelCard(files["README.md"].decode())
    (average,) = (one for one in card.data.eval_results or () if "average" in one.metric_name)
    result = results.read(run)
    assert average.metric_value == round(result["metrics"]["average_incremental_accuracy"] or 0, 2)
    assert average.dataset_args == {"phases": 3, "memory": "2", "currency": "bytes"}
    assert "base_model" not in card.data.to_dict()
    hub.requests.clear()
    done = publish(run, "--model", "me/model")
    assert "nothing to send, all is there" in done.stdout
    assert commits(hub) == []
    done = publish(run, "--model", "me/model", "--task-of", "me/mm_imagenet_r")
    assert "answers no task of the benchmark: coloured is your own data" in done.stderr
    assert hub.files["models/me/model"] == files
    hub.files["models/me/other"] = {"config.json": b"theirs", "model.safetensors": b"theirs"}
    done = publish(run, "--model", "me/other")
    assert "me/other holds something else (config.json, model.safetensors)" in done.stderr
    assert hub.files["models/me/other"]["config.json"] == b"theirs"
    change_result(run, lambda value: value["phases"][-1]["accuracy"].update(per_phase=[1.0] * 3))
    done = publish(run, "--model", "me/model")
    assert done.returncode == 2
    assert f"{run} is refused" in done.stderr


def test_a_model_that_is_for_a_task_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path / "run")  # its state is of an older version: no model of it
    monkeypatch.setattr("benchmark.save.save", lambda run, folder, methods: folder.mkdir())
    name = f"me/mm_imagenet_r@{'ab' * 20}"
    assert main(["publish", str(run), "--model", "me/x", "--task-of", name, "--dry-run"]) == 0
    said = tasks.eval_results(results.read(run), "me/mm_imagenet_r", "ab" * 20)
    assert b"task_id: mini_1_2_phases_memory_0_5_bytes_last" in said
    assert f"{len(said)}  {tasks.EVAL_RESULTS}\n" in capsys.readouterr().out


def test_figures_of_a_task() -> None:
    result = results.read(next((COMMITTED / "replay").iterdir()))
    entries = parse_eval_result_entries(
        yaml.safe_load(tasks.eval_results(result, "me/mm_imagenet_r", "ab" * 20))
    )
    listed = yaml.safe_load(tasks.eval_yaml([tasks.setting_of(result)]))["tasks"]
    assert [one.task_id for one in entries] == [one["id"] for one in listed]
    metrics = result["metrics"]
    assert [one.value for one in entries] == [
        round(metrics[name] or 0, 2) for name in ("average_incremental_accuracy", "last_accuracy")
    ]
    assert {(one.dataset_id, one.dataset_revision) for one in entries} == {
        ("me/mm_imagenet_r", "ab" * 20)
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 2}, "epochs differ"),
        ({"growth": "total"}, "growth differ"),
        ({"dataset": "photos"}, "is your own data"),
    ],
)
def test_results_for_no_task(change: dict[str, Any], message: str) -> None:
    result = results.read(next((COMMITTED / "replay").iterdir()))
    changed: Any = {**result, "config": {**result["config"], **change}}
    with pytest.raises(UserError, match=message):
        tasks.setting_of(changed)
    joint = results.read(next((COMMITTED / "joint").iterdir()))
    with pytest.raises(UserError, match="sees all data at once"):
        tasks.setting_of(joint)


def test_two_data_sets_are_two_benchmarks() -> None:
    both = [tasks.Setting(name, 10, "5", "bytes") for name in ("instructblip", "upmc_food101")]
    with pytest.raises(UserError, match="the results are of two data sets"):
        tasks.eval_yaml(both)
    with pytest.raises(UserError, match=r"no result answers a task"):
        tasks.eval_yaml([])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to publish"),
        (["--space", "board"], "'board' is not a repository: give owner/name"),
        (["--dataset", "me/a--b"], "'me/a--b' is not a repository"),
        (["--model", "me/x", "--space", "me/y"], "two commands"),
        (["--task-of", "me/x", "--space", "me/y"], "--task-of needs --model"),
        (["--method", "a.py:A", "--space", "me/y"], "--method needs --model"),
        (["--model", "me/x", "--task-of", "me/y@main"], "40 hexadecimal digits"),
        (["--dataset", "me/x", "--benchmark", "me/x"], "results need their own"),
        (["--benchmark", "me/x", "--private"], "not to --benchmark: remove it"),
        (["--spice", "me/x"], "unknown option"),
        (["--model", "me/x"], "has no result.json"),
    ],
)
def test_mistakes_are_told(
    board: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(board), *words, "--dry-run"]) == 2
    assert message in capsys.readouterr().err


def test_nothing_of_strangers_is_markup(tmp_path: Path) -> None:
    """A name that means something in YAML, Markdown or a path does not there."""
    run = finished_run(tmp_path / "results" / "evil: [x]\n" / "seed0")
    name = "a|b <script>alert(1)</script> --- [x](http://y)"
    change_result(run, lambda value: value["about"].update(name=name))
    result = results.read(run)
    from benchmark.report.board.collect import Shown
    from benchmark.save import card

    shown: Any = {**result, "method": name}
    text = cards.dataset_card("me/results", [Shown(shown, run, "x", Level.CONSISTENT)])
    model = card(result)
    for document in (text, model):
        document = document.split("---\n", 2)[2]
        assert "<script>" not in document.replace("\\<script\\>", "")
        assert "](http://y)" not in document.replace("\\](http://y)", "")
    header = yaml.safe_load(model.split("---\n")[1])
    assert header["model-index"][0]["name"].startswith(name)
    assert cards.front_matter({"a": "x\n---\nb: c"}).count("\n---\n") == 1


def test_strange_names_of_folders_and_sources_stay_out_of_the_data(
    board: Path, publish: Publish, hub: Hub, tmp_path: Path
) -> None:
    root = shutil.copytree(board, tmp_path / "results")
    (root / COMMITTED.name / "replay").rename(root / COMMITTED.name / "re\nplay")
    plain, strange = sorted((root / COMMITTED.name / "simplecil").iterdir())
    rename_method(plain, "stranger", ["stranger.py"])
    rename_method(strange, "stranger", ["stranger.py", "\x1b[2J.py"])
    done = publish(root, "--dataset", "me/results")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is not a plain file or folder name") == 3
    assert "\x1b" not in done.stdout
    assert not [name for name in hub.files["me/results"] if not name.isprintable()]
    assert len([name for name in hub.files["me/results"] if name.endswith("stranger.py")]) == 1
    (root / COMMITTED.name).rename(root / "a b")
    done = publish(root, "--dataset", "me/results", "--dry-run")
    assert (done.returncode, "nothing is left for me/results" in done.stderr) == (2, True)
