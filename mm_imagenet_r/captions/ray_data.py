"""Captioning on a Ray cluster, for machines that share no file system, or come and go.

Actors hand units back to the driver, which writes them; a driver that was killed resumes from the
caption set. Every node must find the images at the same path.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Caption, Captioner
from mm_imagenet_r.captions.fault_tolerance import FaultTolerant, samples_of
from mm_imagenet_r.captions.manifest import Item
from mm_imagenet_r.captions.options import Options
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.captions.work import prefetch
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.open_images import open_images


class Actor:
    """Captions whole units; there is one per running model."""

    def __init__(
        self, load: Callable[[], Captioner], images: Path, samples: Sequence[Item]
    ) -> None:
        self._fault = ""
        try:
            self._captioner = FaultTolerant(load(), open_images(images), samples)
        except UserError as error:
            self._fault = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Caption the `items` of a row (as JSON, each a name and a hash, unit after unit).

        The `captions` are fields of `Caption`, as JSON too; the `fault` says why the run cannot
        continue, as Ray would wrap an exception.
        """
        made: list[Caption] = []
        try:
            if not self._fault:
                made = self._caption([Item(*pair) for pair in json.loads(row["items"])])
        except UserError as error:
            self._fault = str(error)
        captions = json.dumps([*map(dataclasses.astuple, made)])
        return {"units": row["units"], "captions": captions, "fault": self._fault}

    def _caption(self, items: Sequence[Item]) -> list[Caption]:
        size = self._captioner.batch_size
        batches = (items[start : start + size] for start in range(0, len(items), size))
        loaded = prefetch([*map(self._captioner.load, batch)] for batch in batches)
        made = [caption for batch in loaded for caption in self._captioner(batch)]
        self._captioner.check()
        return made


def caption_units(store: Store, images: Path, backend: type[Captioner], options: Options) -> None:
    """Caption every unit that is not done; `images` is their path on every node.

    Each model takes a GPU where the cluster has any, unless the request says `cpu`. UserError if
    Ray is not installed or the run cannot continue; finished units are kept.
    """
    request, todo = options.request, sorted(store.missing(options.limit))
    if not todo:
        return
    try:
        ray: Any = importlib.import_module("ray")
        data: Any = importlib.import_module("ray.data")
    except ImportError as error:
        hint = "--ray needs the package ray: pip install 'mm-imagenet-r[ray]'"
        raise UserError(hint) from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    wants_gpu = backend.on_device and request.device != "cpu"
    gpus = 1 if wants_gpu and ray.cluster_resources().get("GPU") else None
    batch = request.batch_size if backend.on_device else request.concurrency
    count = max(1, batch // max(map(len, store.units)))  # so many units fit into a batch
    rows = []
    for start in range(0, len(todo), count):
        units = todo[start : start + count]
        items = [dataclasses.astuple(item) for unit in units for item in store.units[unit]]
        rows.append({"units": units, "items": json.dumps(items)})
    device = "cuda" if gpus else "cpu"
    load = functools.partial(backends.load, backend, request, store.identity, device)
    # Each row is a block, as a block is what Ray hands back at once.
    made = data.from_items(rows, override_num_blocks=len(rows)).map(
        Actor,
        fn_constructor_args=(load, images, samples_of(store.units)),
        compute=data.ActorPoolStrategy(size=options.ray),
        num_gpus=gpus,
    )
    for row in made.iter_rows():
        if row["fault"]:
            raise UserError(row["fault"])
        captions = iter([Caption(*fields) for fields in json.loads(row["captions"])])
        for unit in map(int, row["units"]):
            store.commit(unit, [next(captions) for _ in store.units[unit]])
