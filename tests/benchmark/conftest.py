"""Runs made up by rule, as large as asked, and real ones from the command line."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image, ImageDraw
from running import write_exemplars, write_predictions

from benchmark import metrics, results, run
from benchmark.config import RunConfig
from benchmark.results import records
from benchmark.results.schema import BudgetInfo, PhaseResult, Result
from benchmark.run_files import EXEMPLARS, PREDICTIONS, RESULT
from mm_imagenet_r import caches
from mm_imagenet_r.catalog import CATALOG
from mm_imagenet_r.hashes import json_sha256
from mm_imagenet_r.orders import class_order
from mm_imagenet_r.splits import list_sha256

UNIT = {"bytes": 3412.5, "samples": 1.0}


def make_run(
    folder: Path,
    *,
    method: str = "exemplar_masking",
    seed: int = 0,
    memory: float = 5,
    currency: str = "bytes",
    sizes: tuple[int, ...] = (4,) * 10,
    test: int = 10,
    share: float = 0.22,
    skill: float = 0.0,
    settings: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    names: list[str] | None = None,
    complete: bool = True,
    others: tuple[str, ...] = (),
    class_order_seed: int = 1993,
    epochs: int = 10,
    kind: str | None = None,
) -> Result:
    """Write a consistent run: the better it remembers, the more exemplars a class it kept.

    Args:
        share: Cost of an exemplar in untouched samples; the memory holds memory / share of them.
        skill: Added to the chance of a right prediction.
        others: Names of further classifiers, which guess at random.
        class_order_seed: Of the order; a class has the same name and the same files in each.
        kind: Of the method; a bound for joint and finetune, else replay.
    """
    drawn = [seed, len(method), round(memory * 100)]
    random = np.random.default_rng(drawn + ([class_order_seed] if class_order_seed != 1993 else []))
    classes, starts = sum(sizes), [0, *itertools.accumulate(sizes)]
    ease = random.uniform(0.75, 1.0, classes)
    order, first = class_order(classes, class_order_seed), class_order(classes, 1993)
    names = names or [f"m{first.index(c) * 37 % 1000:08d}" for c in order]
    kept = int(memory / share) if memory else 0
    predictions: list[records.Prediction] = []
    stored: list[records.Stored] = []
    phases: list[PhaseResult] = []
    ledger: dict[str, Any] = {}
    before = 0  # exemplars that a phase is trained with
    budget = memory * UNIT[currency]
    joint = method == "joint"
    for t, size in enumerate(sizes):
        seen = starts[t + 1]
        new = list(range(starts[t], seen))
        for label in new:
            weights = random.normal(share, share / 8, kept).clip(share / 2)
            rows: list[records.Stored] = []
            for rank, weight in enumerate(weights):
                count = round(float(weight) * UNIT["bytes"])
                cost = float(count) if currency == "bytes" else float(weight)
                if sum(row.cost for row in rows) + cost > budget:
                    break
                name = f"{names[label]}/misc_{rank}.jpg"
                rows.append(records.Stored(t, label, rank, name, count, cost, "webp"))
            stored += rows
            ledger[str(label)] = {
                "exemplars": len(rows),
                "bytes": sum(row.bytes for row in rows),
                "cost": sum(row.cost for row in rows),
                "budget": budget,
            }
        guessed: dict[str, list[int]] = {name: [] for name in others}
        right, phase_of = [], np.repeat(np.arange(len(sizes)), sizes)
        for label in range(seen):
            age = t - int(phase_of[label])
            memory_help = 0.11 - 0.07 * (1 - np.exp(-kept / 12))
            chance = float(ease[label] * (0.95 - memory_help * age**0.7 - 0.0022 * seen) + skill)
            for number in range(test):
                hit = random.random() < chance
                near = (label + int(random.choice([1, 1, 2, 5]))) % seen
                guess = label if hit else near
                right.append((label, guess))
                file_name = f"{names[label]}/misc_{900 + number}.jpg"
                own = "own" if others else ""
                predictions.append(records.Prediction(t, file_name, label, guess, own))
                for name in others:
                    guessed[name].append(int(random.integers(seen)))
                    row_of = (t, file_name, label, guessed[name][-1], name)
                    predictions.append(records.Prediction(*row_of))
        row = metrics.phase_accuracies(
            [a for a, _ in right], [b for _, b in right], phase_of.tolist(), t + 1
        )
        samples = starts[t + 1] * 50 if joint else size * 50 + before
        steps = epochs * math.ceil(size * 50 / 32)
        phases.append(
            PhaseResult(
                index=t,
                classes=new,
                train=size * 50,
                test=size * test,
                stages=[{"name": "train", "items": samples, "steps": steps}],
                loss=[[step, 2.0 / step] for step in range(1, steps + 1, 5)],
                resumed=0,
                seconds={
                    "prepare": 1.5 + 0.1 * t,
                    "train": 24 + 2.1 * t + float(random.uniform(0, 3)),
                    "select": 4.0 if kept else 0.0,
                    "evaluate": 1.2 * (t + 1),
                },
                accuracy={"per_phase": row},
                other_classifiers={
                    name: {
                        "per_phase": metrics.phase_accuracies(
                            [a for a, _ in right], guesses, phase_of.tolist(), t + 1
                        )
                    }
                    for name, guesses in guessed.items()
                },
                outside_memory={
                    "bytes": 110_000 + 1000 * t,
                    "what": {"scales and shifts": 68_768, "head": 40_960},
                },
                trainable_parameters=27_432,
                invariance={"checked": 64, "differing": 0},
                memory={
                    "exemplars": sum(entry["exemplars"] for entry in ledger.values()),
                    "per_class": dict(ledger),
                    "bytes": sum(entry["bytes"] for entry in ledger.values()),
                    "cost": sum(entry["cost"] for entry in ledger.values()),
                    "budget": budget * seen,
                },
            )
        )
        before = phases[-1]["memory"]["exemplars"]
    asked = RunConfig(
        method=(method,),
        seeds=(seed,),
        phases=len(sizes),
        base_classes=sizes[0] if len(sizes) > 1 else None,
        memory=f"{memory:g}",
        currency=currency,
        epochs=epochs,
        dataset="shapes",
        backbone="some/vilt",
        class_order_seed=class_order_seed,
    )
    recipe = {"tuning": "ssf", "learning_rate": 0.01, "weight_decay": 0.01}
    order = class_order(classes, asked.class_order_seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        PREDICTIONS: write_predictions(folder / PREDICTIONS, predictions),
        EXEMPLARS: write_exemplars(folder / EXEMPLARS, stored),
        "state": "d4" * 32,
    }
    bound = method in ("joint", "finetune")
    result = results.build(
        kind=kind or ("bound" if bound else "replay"),
        sees_all_data=joint,
        shares_allowance=False,
        about={},
        method_settings=settings or {},
        method_sha256="3e" * 32,
        harness_sha256="4f" * 32,
        files=files,
        config={**asked.identity(), **recipe, **(config or {})},
        from_recipe=[name for name in recipe if name not in (config or {})],
        classifier="own" if others else "",
        dataset={
            "name": "shapes",
            "num_classes": classes,
            "train": 50 * classes,
            "test": test * classes,
            "left_out": 0,
            "data_sha256": "5f" * 32,
            "split": "as given",
            "split_sha256": list_sha256({p.file_name for p in predictions if p.phase == t}),
            "captions": "",
            "captions_id": "a7" * 32,
        },
        class_order={
            "seed": asked.class_order_seed,
            "name": None,
            "order": order,
            "sha256": json_sha256(order),
            "names": names,
        },
        phases=phases,
        budget=BudgetInfo(
            currency=currency,
            growth="per-class",
            memory=f"{memory:g}",
            unit=UNIT[currency],
            unit_meaning="mean bytes of an untouched training sample",
            amount=memory,
            sample_bytes=UNIT["bytes"],
        ),
        match_exemplars_of=None,
        hardware=results.hardware("cpu", 1),
        backbone={"name": "some/vilt", "sha256": "c0" * 32, "parameters": 512_345},
        complete=complete,
    )
    results.write(folder / RESULT, result)
    return results.read(folder)


def make_picture(width: int = 160, height: int = 128) -> bytes:
    """Draw a ball on a hill as JPEG."""
    image = Image.new("RGB", (width, height), (150, 190, 220))
    draw = ImageDraw.Draw(image)
    draw.ellipse((-20, height * 0.7, width + 20, height * 1.8), fill=(90, 130, 80))
    draw.ellipse((60, 40, 112, 92), fill=(200, 80, 60))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def make_gallery_item(
    picture: bytes | None = None,
    grid: tuple[int, int] = (8, 10),
    caption: str = "a red ##dish ball lies on a green hill , under a pale sky",
    **changes: Any,
) -> dict[str, Any]:
    """One entry of gallery.json whose attention is a bump about the middle."""
    rows, columns = np.mgrid[: grid[0], : grid[1]]
    distance = ((rows - grid[0] / 2) / grid[0]) ** 2 + ((columns - grid[1] / 2) / grid[1]) ** 2
    attention = np.exp(-distance * 18) + np.random.default_rng(7).uniform(0, 0.15, grid)
    stop = {"a", "on", "under", "lies", ",", "the", "with", "and", "of", "is", "in", "."}
    picture = picture or make_picture()
    return {
        "file_name": "m00000012/misc_3.jpg",
        "class_name": "red ball",
        "image": base64.b64encode(picture).decode(),
        "grid": list(grid),
        "attention": [float(a) for a in attention.ravel()],
        "kept": [bool(a > attention.mean()) for a in attention.ravel()],
        "words": [{"text": word, "kept": word not in stop} for word in caption.split()],
        "bytes": 812,
        "native_bytes": len(picture),
        "codec": "webp",
        **changes,
    }


@pytest.fixture(scope="session")
def synthetic_run() -> Callable[..., Result]:
    """`make_run`."""
    return make_run


@pytest.fixture(scope="session")
def gallery_item() -> Callable[..., dict[str, Any]]:
    """`make_gallery_item`."""
    return make_gallery_item


@pytest.fixture
def call(
    tmp_path: Path, coloured: Path, mean_colour: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the docstring's example in three phases; further options override. (code, out, err)."""

    def run_main(*options: object) -> tuple[int, str, str]:
        given = [str(option) for option in options]
        defaults = {
            "--method": f"{mean_colour}:MeanColour",
            "--dataset": coloured,
            "--output": tmp_path / "runs",
            "--phases": 3,
            "--epochs": 2,
            "--batch-size": 8,
            "--memory": 2,
            "--device": "cpu",
        }
        for name, value in defaults.items():
            if name not in given and "--config" not in given:
                given += [name, str(value)]
        capsys.readouterr()
        code = run.main(given)
        out, err = capsys.readouterr()
        assert code == 1 or "Traceback" not in err  # 1: an exception in a method, which is shown
        return code, out, err

    return run_main


@pytest.fixture
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of archives and data sets that nobody else has used, and no data folder."""
    monkeypatch.setattr(caches, "cache_folder", lambda: tmp_path / "index")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.delenv(CATALOG["mm_imagenet_r"].environment, raising=False)
