"""What captioning costs beside the model itself, and what a second worker gains.

The model is InstructBLIP's real class, tiny and random, decoded as by default on one thread, to
the full length. The command's own work (reading, hashing, decoding and preparing images, writing
units) alternates with a bare `generate` over the same batches prepared beforehand. Compared is all
processor time, that of the thread which decodes ahead included, so the ratio holds on a busy
machine and is worse than what a clock on the wall shows. Workers are timed by the wall, from when
all have their model.

    python bench/captions.py [overhead] [workers] [--pairs 9] [--images 16] [--tokens 256]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "mm_imagenet_r" / "captions"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from mm_imagenet_r.captions.captioner import Request
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.captions.work import caption_units
from mm_imagenet_r.open_images import open_images

BATCH = 16
TARGETS = {"overhead": 0.95, "workers": 1.6}


def photos(folder: Path, count: int) -> Path:
    """JPEGs of the usual size in one folder a class."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class{number % 4}" / f"art_{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        small.resize((400, 300)).save(path, quality=90)
    return folder


def captioner_of(model: Path, tokens: int) -> tuple[Any, dict[str, Any]]:
    import torch

    from mm_imagenet_r.captions.instructblip import InstructBlip

    torch.set_num_threads(1)
    request = Request(
        str(model), "Describe.",
        decoding={"min_new_tokens": tokens, "max_new_tokens": tokens},
        device="cpu", batch_size=BATCH,
    )  # fmt: skip
    identity = InstructBlip.identify(request)
    return InstructBlip(request, identity, "cpu"), identity


def new_store(folder: Path, images: Any, identity: dict[str, Any], unit_size: int) -> Store:
    store = Store(folder, identity, {})
    names = images.names
    store.manifest.add({n: hashlib.sha256(images.read(n)).hexdigest() for n in names}, unit_size)
    return store


def overhead(folder: Path, model: Path, pairs: int, count: int, tokens: int) -> None:
    import torch

    images = open_images(photos(folder / "photos", count))
    captioner, identity = captioner_of(model, tokens)
    pictures = [Image.open(folder / "photos" / name).convert("RGB") for name in images.names]
    batches = [pictures[start : start + BATCH] for start in range(0, count, BATCH)]
    generate = captioner.model.generate
    inputs: list[dict[str, Any]] = []

    def keep(**given: Any) -> Any:
        inputs.append(given)
        return generate(**given)

    captioner.model.generate = keep
    for batch in batches:
        captioner(batch)
    captioner.model.generate = generate

    @torch.inference_mode()
    def bare() -> None:
        for given in inputs:
            generate(**given)

    ratios = []
    for pair in range(pairs):
        store = new_store(folder / f"out{pair}", images, identity, count)
        order: tuple[Callable[[], None], ...] = (
            lambda store=store: caption_units(store, images, captioner),  # type: ignore[misc]
            bare,
        )
        times = {}
        for run in order if pair % 2 else order[::-1]:
            start = time.process_time()
            run()
            times[run is bare] = time.process_time() - start
        assert store.done() == {0}
        store.close()
        ratios.append(times[True] / times[False])
    show(f"captions/s of the command / of bare generate, {count} images", ratios, "overhead")


def work(folder: Path, model: Path, tokens: int, rank: int, world: int, barrier: Barrier) -> None:
    images = open_images(folder / "photos")
    captioner, identity = captioner_of(model, tokens)
    store = Store(folder / "out", identity, {})
    captioner([Image.new("RGB", (400, 300))] * BATCH)  # the first call is slower
    barrier.wait()
    caption_units(store, images, captioner, rank=rank, world_size=world)
    barrier.wait()


def workers(folder: Path, model: Path, pairs: int, count: int, tokens: int) -> None:
    context = multiprocessing.get_context("spawn")
    ratios = []
    for pair in range(pairs):
        seconds = {}
        for number in (1, 2) if pair % 2 else (2, 1):
            place = folder / f"{pair}-{number}"
            images = open_images(photos(place / "photos", 16 * count))
            _, identity = captioner_of(model, tokens)
            new_store(place / "out", images, identity, BATCH).close()
            barrier = context.Barrier(number + 1)
            processes = [
                context.Process(target=work, args=(place, model, tokens, rank, number, barrier))
                for rank in range(number)
            ]
            for process in processes:
                process.start()
            barrier.wait()
            start = time.perf_counter()
            barrier.wait()
            seconds[number] = time.perf_counter() - start
            for process in processes:
                process.join()
        ratios.append(seconds[1] / seconds[2])
    show(f"captions/s of two workers / of one, {16 * count} images", ratios, "workers")


def show(name: str, ratios: list[float], target: str) -> None:
    median = statistics.median(ratios)
    verdict = "ok" if median >= TARGETS[target] else "MISSED"
    print(
        f"{name:<62} {median:5.3f} ({min(ratios):.3f}-{max(ratios):.3f})   "
        f">= {TARGETS[target]:.2f} {verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time captioning beside its model.")
    parser.add_argument("what", nargs="*", help="overhead, workers (default: both)")
    parser.add_argument("--pairs", type=int, default=9, help="alternations of each comparison")
    parser.add_argument("--images", type=int, default=16, help="images of a comparison")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a caption")
    given = parser.parse_args()
    models: Any = importlib.import_module("tiny_models")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = models.MODELS["instructblip-llama"](folder / "model")
        print(f"{'A / B':<62} ratio (least-most)      target")
        if "overhead" in (given.what or ["overhead"]):
            overhead(folder, model, given.pairs, given.images, given.tokens)
        if "workers" in (given.what or ["workers"]):
            workers(folder, model, given.pairs, given.images, given.tokens)


if __name__ == "__main__":
    main()
