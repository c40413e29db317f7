"""Workers that race, and are killed at any moment."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
from fake_captioner import Drawn, Fake, calls

from mm_imagenet_r.captions.captioner import Request
from mm_imagenet_r.captions.files import read_captions
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.captions.work import caption_units

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["fake_captioner", "mm_imagenet_r.captions.work"])
IDENTITY = {"model": "fake", "prompt": "p"}
UNITS, UNIT_SIZE, WORKERS, KILLS = 300, 4, 3, 40


def _worker(folder: Path, rank: int) -> None:
    store = Store(folder, IDENTITY, {})
    request = Request(str(folder / "calls"), "p", decoding={"seconds": 0.02}, batch_size=UNIT_SIZE)
    images = Drawn(UNITS * UNIT_SIZE)
    captioner = Fake(request, {}, "cpu")
    caption_units(store, images, captioner, rank=rank, world_size=WORKERS)
    store.finish()


def test_forty_kills_of_three_racing_workers_lose_and_repeat_next_to_nothing(
    tmp_path: Path,
) -> None:
    images = Drawn(UNITS * UNIT_SIZE)
    store = Store(tmp_path, IDENTITY, {})
    store.manifest.add(
        {name: hashlib.sha256(images.read(name)).hexdigest() for name in images.names}, UNIT_SIZE
    )

    def start(rank: int) -> multiprocessing.process.BaseProcess:
        process = CONTEXT.Process(target=_worker, args=(tmp_path, rank))
        process.start()
        return process

    chance = random.Random(0)
    workers = [start(rank) for rank in range(WORKERS)]
    kills = 0
    for rank in itertools.cycle(range(WORKERS)):
        time.sleep(chance.uniform(0, 0.08))
        process = workers[rank]
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            workers[rank] = start(rank)
        if kills == KILLS or len(store.done()) == UNITS:
            break
    for process in workers:
        process.join()
    assert kills == KILLS, "the work was done before all kills: make it longer"
    assert [process.exitcode for process in workers] == [0] * WORKERS

    for part in (store.folder / "parts").glob("*.parquet"):
        pq.read_table(part)
    captions = read_captions(store.folder)
    assert captions.by_name == {
        name: f"number {number}" for number, name in enumerate(images.names)
    }
    store.close()
    made = calls(tmp_path / "calls")
    assert len({tuple(call) for call in made}) == UNITS
    assert len(made) - UNITS <= kills
