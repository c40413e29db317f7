"""`--backbone ID@REVISION`: what is asked of the Hub, without asking it."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.backbone import backbone_path, located, read_config
from benchmark.config import RunConfig
from benchmark.plan_check import check
from mm_imagenet_r.errors import UserError


def test_a_revision_is_handed_to_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    asked: list[dict[str, object]] = []

    def absent(**arguments: object) -> None:
        asked.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", absent)
    path = backbone_path("dandelin/vilt-b32-mlm@v1.0")
    with pytest.raises(UserError, match=r"vilt-b32-mlm --revision v1\.0 "):
        read_config(path)
    assert asked == [{"pretrained_model_name_or_path": "dandelin/vilt-b32-mlm", "revision": "v1.0"}]


def test_a_folder_may_have_that_sign_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "vilt@home"
    folder.mkdir()
    assert located(str(folder))["pretrained_model_name_or_path"] == str(folder)
    assert located("dandelin/vilt-b32-mlm")["revision"] == "main"


def test_two_revisions_are_two_experiments(tmp_path: Path) -> None:
    one, other = (
        RunConfig(backbone=f"dandelin/vilt-b32-mlm{revision}", output=tmp_path)
        for revision in ("@v1", "@v2")
    )
    check(one)
    assert one.fingerprint() != other.fingerprint()
    assert "--backbone dandelin/vilt-b32-mlm@v1" in one.command()
