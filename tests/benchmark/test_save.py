"""A trained model is a thing one can have: what is saved predicts what the run predicted."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from running import Call, folders, write_result
from safetensors.torch import load_file

from benchmark import save
from benchmark.data import open_data
from benchmark.results.records import read_predictions
from benchmark.results.schema import Result
from benchmark.run_files import PREDICTIONS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "schema1"


@pytest.mark.filterwarnings("ignore:.*ViltImageProcessor")
@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("replay", ()),
        ("replay", ("--set", "classifier=balanced")),
        ("replay", ("--set", "classifier=aligned")),
        ("icarl", ()),
        ("exemplar_masking", ()),
        ("finetune", ()),
    ],
)
def test_a_plain_vilt_of_transformers_predicts_the_same(
    tmp_path: Path,
    call: Call,
    coloured: Path,
    vilt_folder: Path,
    method: str,
    more: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    import transformers
    from transformers import ViltModel, ViltProcessor

    options = ("--method", method, "--backbone", vilt_folder, "--epochs", 1)
    assert call(*options, *more)[0] == 0
    (run,) = folders(tmp_path)
    folder = tmp_path / "models" / ("m" * 250)
    assert save.main([str(run), str(folder)]) == 0
    loaded: Any = ViltModel
    caplog.clear()
    with caplog.at_level("WARNING"):
        transformers.logging.enable_propagation()
        model = loaded.from_pretrained(folder, output_loading_info=True)
        transformers.logging.disable_propagation()
    assert not [record for record in caplog.records if "nitialized" in record.getMessage()]
    assert not any(model[1].values()), "a tensor of the file was not used, or initialised again"
    vilt = model[0].eval()
    processor: Any = ViltProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    head = load_file(folder / "classifier.safetensors")

    data = open_data(str(coloured))
    result = json.loads((run / "result.json").read_text())
    assert [vilt.config.id2label[i] for i in range(6)] == result["class_order"]["names"]
    last = {
        row.file_name: row.prediction
        for row in read_predictions(run / PREDICTIONS)
        if row.phase == 2 and row.classifier == result["classifier"]
    }
    assert len(last) == len(data.test) > 0
    for sample in data.test:
        inputs = processor(
            Image.open(io.BytesIO(sample.image)).convert("RGB"), sample.caption,
            return_tensors="pt", truncation=True, max_length=12,
        )  # fmt: skip
        with torch.no_grad():
            logits = torch.nn.functional.linear(vilt(**inputs).pooler_output, **head)
        assert int(logits.argmax()) == last[sample.file_name]
    card = (folder / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "accuracy after the last phase" in card
    assert not [path for path in folder.parent.iterdir() if path != folder]


def test_a_method_that_is_more_than_a_vilt_says_so(
    tmp_path: Path, call: Call, vilt_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--method", "l2p", "--backbone", vilt_folder, "--epochs", 1)[0] == 0
    (run,) = folders(tmp_path)
    assert save.main([str(run), str(tmp_path / "model")]) == 2
    assert "L2P cannot be saved as a model" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_head_that_was_not_tested_is_not_saved(
    tmp_path: Path, call: Call, vilt_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "from baselines.finetune import Finetune\n\n\nclass Backwards(Finetune):\n"
        "    def predict(self, batch):\n        return -super().predict(batch)\n"
    )
    (tmp_path / "mine.py").write_text(code)
    method = f"{tmp_path / 'mine.py'}:Backwards"
    assert call("--method", method, "--backbone", vilt_folder, "--epochs", 1)[0] == 0
    (run,) = folders(tmp_path)
    assert save.main([str(run), str(tmp_path / "model"), "--method", method]) == 2
    assert "Backwards predicts in its own way" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_code_that_only_a_result_names_is_not_run(
    tmp_path: Path,
    synthetic_run: Callable[..., Result],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    source = run / "source" / "evil.py"
    synthetic_run(run, sizes=(3, 2, 2), test=4)
    for folder in (run / "state", source.parent):
        folder.mkdir()
    mark = tmp_path / "executed"
    source.write_text(f"open({str(mark)!r}, 'w').close()\nEvil = 1\n")
    value = json.loads((run / "result.json").read_text())
    value["config"]["method"] = [f"{source}:Evil"]
    write_result(run / "result.json", value)
    assert save.main([str(run), str(model)]) == 2
    error = capsys.readouterr().err
    assert f"if you trust it, add --method {source}:Evil" in error
    assert save.main([str(run), str(model), "--method", "replay"]) == 2
    assert f"was made by {source}:Evil, not by replay" in capsys.readouterr().err
    value["config"].update(method=["replay"], match_exemplars_of=f"{source}:Evil")
    write_result(run / "result.json", value)
    assert save.main([str(run), str(model)]) == 2
    assert f"if you trust it, add --method {source}:Evil" in capsys.readouterr().err
    assert not mark.exists()
    assert not model.exists()
    monkeypatch.chdir(run)
    assert save.main([".", str(model), "--method", "source/evil.py:Evil"]) == 2
    assert "evil.py:Evil is not a method" in capsys.readouterr().err
    assert mark.exists()  # somebody who names it has it run


def test_what_cannot_be_saved_is_told(
    tmp_path: Path,
    call: Call,
    vilt_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(run: Path, folder: Path, message: str) -> None:
        assert save.main([str(run), str(folder)]) == 2
        assert message in capsys.readouterr().err

    old = next(FIXTURES.glob("*/ssf/*/result.json")).parent
    refused(old, tmp_path / "model", "was not finished by this version")
    refused(tmp_path / "nowhere", tmp_path / "model", "is not a folder: name that of a finished")
    refused(Path("x" * 300), tmp_path / "model", "is not a folder: name that of a finished")
    assert call("--method", "finetune", "--backbone", vilt_folder, "--epochs", 1)[0] == 0
    (run,) = folders(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep me")
    refused(run, full, "already exists and is not an empty folder")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "absent")
    refused(run, link, "already exists and is not an empty folder")
    assert os.listdir(full) == ["mine.txt"]  # noqa: PTH208
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for name, message in (
        (".", ". is not the name of a new folder"),
        ("new/..", "new/.. is not the name of a new folder"),
        ("x" * 300, "could not be written (File name too long)"),
        ("../loop/x", "../loop cannot be written"),
        ("\udcff", "is not text, which files of a model need"),
    ):
        refused(run, Path(name), message)
    assert not list(Path().iterdir())
    next(run.glob("state/*.safetensors")).write_bytes(b"torn")
    refused(run, tmp_path / "model", "was changed after it was written")
    shutil.rmtree(run / "state")
    refused(run, tmp_path / "model", "has no state/, from which")
    assert not (tmp_path / "model").exists()
