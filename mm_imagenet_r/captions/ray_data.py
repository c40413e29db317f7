"""Captioning on a Ray cluster, for machines that share no file system, or come and go.

Ray carries units to actors, each with a model of its own, and captions back. The caption set lies
with the driver, which writes each unit as it arrives: a driver that was killed goes on where it
was, and no checkpoint of Ray's is needed. Every node must find the images at the same path.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mm_imagenet_r.archive import open_images
from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.captions.store import Item, Store
from mm_imagenet_r.captions.work import caption_items, units_of
from mm_imagenet_r.errors import UserError


class Actor:
    """Captions whole units; there is one for each model that runs."""

    def __init__(
        self,
        backend: type[Captioner],
        request: Request,
        identity: Mapping[str, Any],
        images: Path,
        device: str,
    ) -> None:
        self._captioner = backends.load(backend, request, identity, device)
        self._images = open_images(images)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Caption the images of a unit.

        Args:
            row: `unit`; and as JSON its `items`, each a name and a hash.

        Returns:
            `unit`; and as JSON its `captions`, each the fields of `Caption`.
        """
        items = [Item(*pair) for pair in json.loads(row["items"])]
        made = caption_items(items, self._images, self._captioner)
        return {"unit": row["unit"], "captions": json.dumps([*map(dataclasses.astuple, made)])}


def caption_units(
    store: Store,
    images: Path,
    backend: type[Captioner],
    request: Request,
    *,
    actors: int,
    limit: int | None = None,
) -> None:
    """Caption every unit that is not done.

    Args:
        store: The caption set, on the driver.
        images: Where the images lie, on every node.
        backend: The captioner's class.
        request: What was asked for.
        actors: How many models run at once; each takes a GPU where the cluster has any.
        limit: Only the first units that hold at least this many images.

    Raises:
        UserError: Ray is not installed.
    """
    done = store.done()
    todo = [unit for unit in range(units_of(store, limit)) if unit not in done]
    if not todo:
        return
    try:
        ray: Any = importlib.import_module("ray")
        data: Any = importlib.import_module("ray.data")
    except ImportError as error:
        raise UserError("--ray needs the package ray: pip install -e '.[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    gpus = 1 if backend.on_device and ray.cluster_resources().get("GPU") else None
    rows = [
        {"unit": unit, "items": json.dumps([*map(dataclasses.astuple, store.units[unit])])}
        for unit in todo
    ]
    # A unit is a block: a block is what Ray hands back at once.
    made = data.from_items(rows, override_num_blocks=len(rows)).map(
        Actor,
        fn_constructor_args=(backend, request, store.identity, images, "cuda" if gpus else "cpu"),
        compute=data.ActorPoolStrategy(size=actors),
        num_gpus=gpus,
    )
    for row in made.iter_rows():
        captions = [Caption(*fields) for fields in json.loads(row["captions"])]
        store.commit(int(row["unit"]), captions)
