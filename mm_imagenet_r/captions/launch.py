"""From a command to a caption set: choose the back end, freeze the images, start the workers."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import multiprocessing
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_imagenet_r.archive import Images, open_images
from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Captioner, Request
from mm_imagenet_r.captions.options import AT_SERVER, ON_DEVICE, Options
from mm_imagenet_r.captions.progress import Progress, make_console, show
from mm_imagenet_r.captions.store import Store
from mm_imagenet_r.captions.work import caption_units
from mm_imagenet_r.errors import UserError

_PACKAGES = ("mm-imagenet-r", "torch", "transformers", "tokenizers", "pillow", "openai")


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker process is given."""

    backend: type[Captioner]
    request: Request
    identity: Mapping[str, Any]
    images: Images
    output: Path
    limit: int | None
    retry_errors: bool
    device: str
    rank: int
    world_size: int


def make_captions(options: Options) -> Path | None:
    """Caption images, or go on with it, and put the captions into one file.

    Returns:
        The file, None if captions are missing that other tasks make or that the limit left out.

    Raises:
        UserError: A mistake of the user, or a worker ended early; what is done is kept.
    """
    console = make_console()
    backend_name, backend = choose_backend(options)
    images = open_images(options.images)
    for note in images.notes:
        console.print(f"note: {note}", markup=False)
    identity = identity_of(backend_name, backend, options)
    about = describe(backend, options.request)
    store = Store(options.output, identity, about)
    try:
        for package, version in store.about.get("versions", {}).items():
            if about["versions"].get(package) != version:
                console.print(
                    f"note: these captions were begun with {package} {version}, here is "
                    f"{about['versions'].get(package, 'none')}: the rest may differ slightly"
                )
        if (server := store.about.get("server")) != about.get("server"):
            console.print(
                f"note: these captions were begun at {server}, which must serve the same weights",
                markup=False,
            )
        freeze(store, images, options, console)
        with Progress(store, options.limit, console):
            if options.ray:
                from mm_imagenet_r.captions import ray_data

                ray_data.caption_units(
                    store,
                    images.path,
                    backend,
                    options.request,
                    actors=options.ray,
                    limit=options.limit,
                )
            else:
                _work(backend, identity, images, options)
        path = store.finish()
        show(store, path, options, console)
    finally:
        store.close()
    return path


def choose_backend(options: Options) -> tuple[str, type[Captioner]]:
    """Find the back end that is asked for, or that suits the model.

    Raises:
        UserError: There is none, or an option means nothing to it.
    """
    name = options.backend
    if name is None and options.request.model.startswith(("http://", "https://")):
        name = "served"
    if name is None:
        from mm_imagenet_r.captions.checkpoints import config_of

        config = config_of(options.request.model, options.request.revision)
        name = "instructblip" if config.model_type == "instructblip" else "transformers"
    backend = backends.find(name)
    for field in AT_SERVER if backend.on_device else ON_DEVICE:
        if field in options.given:
            raise UserError(
                f"--{field.replace('_', '-')} means nothing to the back end {name}: leave it out"
            )
    return name, backend


def identity_of(name: str, backend: type[Captioner], options: Options) -> dict[str, Any]:
    """Return everything that decides the captions.

    The size of units is part of it: they fix which images share a batch, and in 16 bits that can
    tip a near tie between words.
    """
    identity = backends.identify(backend, options.request)
    return {"backend": name, "unit_size": options.unit_size, **identity}


def freeze(store: Store, images: Images, options: Options, console: Any) -> None:
    """Write down which images there are, unless that has been done.

    With a limit those are images from all over the data, and with a larger one the same and more.
    """
    from rich.progress import track

    names = images.names
    if options.limit is not None:
        if len(store) >= options.limit:
            return
        names = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        names = names[: options.limit]
    new = images.as_stored(name for name in names if name not in store)
    reading = track(
        new,
        "reading images",
        console=console,
        transient=True,
        disable=not console.is_terminal or not new,
    )
    hashes = {name: hashlib.sha256(images.read(name)).hexdigest() for name in reading}
    store.add(hashes, options.unit_size)


def _work(
    backend: type[Captioner], identity: Mapping[str, Any], images: Images, options: Options
) -> None:
    """Run the workers of this task: one in this process, several in processes of their own."""
    devices = _devices(backend, options)
    tasks = [
        Task(
            backend=backend,
            request=options.request,
            identity=identity,
            images=images,
            output=options.output,
            limit=options.limit,
            retry_errors=options.retry_errors,
            device=device,
            rank=options.rank * len(devices) + number,
            world_size=options.world_size * len(devices),
        )
        for number, device in enumerate(devices)
    ]
    if len(tasks) == 1:
        run_task(tasks[0])
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // len(tasks))
    processes = [context.Process(target=_process, args=(task, threads)) for task in tasks]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    ended = [process.exitcode for process in processes if process.exitcode]
    if ended:
        raise UserError(
            f"{len(ended)} of {len(processes)} workers ended early (exit code {ended[0]}): what "
            "is done is kept. Remove the cause, and give the same command again"
        )


def run_task(task: Task) -> None:
    """Load the model if there is anything to do, and work."""
    store = Store(task.output, task.identity, {})
    try:
        if len(store.done()) < len(store.units) or task.retry_errors:
            captioner = backends.load(task.backend, task.request, task.identity, task.device)
            with contextlib.closing(captioner):
                caption_units(
                    store,
                    task.images,
                    captioner,
                    rank=task.rank,
                    world_size=task.world_size,
                    limit=task.limit,
                    retry_errors=task.retry_errors,
                )
    finally:
        store.close()


def _process(task: Task, threads: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    try:
        run_task(task)
    except UserError as error:
        print(f"error: worker {task.rank}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _devices(backend: type[Captioner], options: Options) -> list[str]:
    """One device for each worker: all GPUs in turn, or the one that is asked for."""
    if not backend.on_device:
        return ["cpu"] * (options.workers or 1)
    from mm_imagenet_r.captions.checkpoints import choose_device

    device = choose_device(options.request.device)
    if device != "cuda":
        return [device] * (options.workers or 1)
    import torch

    count = torch.cuda.device_count()
    if options.local_rank is not None:
        return [f"cuda:{options.local_rank % count}"] * (options.workers or 1)
    return [f"cuda:{number % count}" for number in range(options.workers or count)]


def describe(backend: type[Captioner], request: Request) -> dict[str, Any]:
    """Say with what captions are made here, and when; it is noted and decides nothing."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    about = {
        "versions": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **backends.describe(backend, request),
    }
    if backend.on_device:
        from mm_imagenet_r.captions.checkpoints import name_device

        about["device"] = name_device(request.device)
    return about
