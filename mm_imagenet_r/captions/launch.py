"""From a command to a caption set: choose the back end, freeze the images, start the workers."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import multiprocessing
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions import backends
from mm_imagenet_r.captions.captioner import Captioner, Request
from mm_imagenet_r.captions.options import AT_SERVER, ON_DEVICE, UNIT_SIZE, Options
from mm_imagenet_r.captions.progress import Progress, show
from mm_imagenet_r.captions.store import Failed, Store
from mm_imagenet_r.captions.work import caption_units
from mm_imagenet_r.errors import UserError, summarize
from mm_imagenet_r.open_images import open_images
from mm_imagenet_r.progress import make_console

_PACKAGES = ("mm-imagenet-r", "torch", "transformers", "tokenizers", "pillow", "openai")


def make_captions(options: Options) -> Path | None:
    """Caption images, or resume it, and write the captions to one file.

    It returns None if captions are missing that other tasks make or that the limit left out.

    Raises:
        UserError: A mistake of the user, or a worker ended early; finished captions are kept.
    """
    console = make_console()
    backend_name, backend = choose_backend(options)
    images = open_images(options.images)
    identity = {"backend": backend_name, **backends.identify(backend, options.request)}
    about = _describe(backend, options.request)
    with contextlib.closing(Store(options.output, identity, about)) as store:
        _freeze(store, images, options, console)
        for note in (*images.notes, *_differences(store, about, options)):
            console.print(f"note: {note}", markup=False)
        retry = store.failed(options.limit) if options.retry_errors else {}
        if retry or store.missing(options.limit):
            with Progress(store, options.limit, retry, console):
                if options.ray:
                    from mm_imagenet_r.captions import ray_data

                    ray_data.caption_units(store, images.path, backend, options)
                else:
                    run = functools.partial(_run, backend, images, retry)
                    _start_workers(run, store, options, choose_devices(backend, options))
        path = store.finish()
        show(store, path, options, retry, console)
    return path


def _differences(store: Store, about: Mapping[str, Any], options: Options) -> Iterator[str]:
    """What differs here from where the captions were started."""
    for package, version in store.about.get("versions", {}).items():
        if (here := about["versions"].get(package, "none")) != version:
            yield (
                f"these captions were started with {package} {version}, and this is {here}: the "
                "rest may differ slightly"
            )
    if (server := store.about.get("server")) != about.get("server"):
        yield f"these captions were started on {server}; this server must serve the same weights"
    others = store.manifest.unit_sizes - {options.unit_size}
    if options.unit_size is not None and others:
        yield f"existing units keep their size ({min(others)}); --unit-size applies to added images"


def choose_backend(options: Options) -> tuple[str, type[Captioner]]:
    """Find the back end that the user names, or that suits the model.

    UserError if there is none, or an option does not apply to it.
    """
    request, name = options.request, options.backend
    if name is None and request.model.startswith(("http://", "https://")):
        name = "served"
    if name is None:
        from mm_imagenet_r.captions.checkpoints import config_of

        config = config_of(request.model, request.revision)
        name = "instructblip" if config.model_type == "instructblip" else "transformers"
    backend = backends.find_captioner(name)
    foreign = AT_SERVER if backend.on_device else ON_DEVICE
    if field := next((field for field in foreign if field in options.given), None):
        option = f"--{field.replace('_', '-')}"
        raise UserError(f"{option} does not apply to the back end {name}: leave it out")
    on_gpus = options.ray and backend.on_device and request.device != "cpu"
    if on_gpus and (request.device != "auto" or request.dtype == "auto"):
        raise UserError(
            "--ray assigns the GPUs itself and needs an explicit precision, as its machines may "
            "differ from this one: give --dtype, such as --dtype float16, and no --device but cpu"
        )
    return name, backend


def _freeze(store: Store, images: Images, options: Options, console: Console) -> None:
    """Record new images; with a limit some from all over the data, with a larger one those too.

    UserError if one that was recorded before is gone or has changed.
    """
    known = store.manifest.hashes.keys()
    names = set(images.names)
    if gone := sorted(known - names):
        raise UserError(
            f"{images.path} lacks {len(gone):,} of the images of the caption set {store.folder} "
            f"({summarize(gone, 3)}): give --images with all of them, or another --output for "
            "other images"
        )
    if options.limit is not None:
        by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        names = {*known, *(by_hash[: options.limit] if len(known) < options.limit else ())}
    # Those recorded before are read too: they may have changed since.
    stored, hidden = images.as_stored(names), not console.is_terminal
    reading = track(stored, "reading images", console=console, transient=True, disable=hidden)
    hashes = {name: hashlib.sha256(images.read(name)).hexdigest() for name in reading}
    store.manifest.add(hashes, options.unit_size or UNIT_SIZE)


def _start_workers(
    run: Callable[[Options, Store], None], store: Store, options: Options, devices: Sequence[str]
) -> None:
    """Run the workers of this task: one in this process, several in processes of their own."""
    tasks = [
        dataclasses.replace(
            options,
            request=dataclasses.replace(options.request, device=device),
            rank=options.rank * len(devices) + number,
            world_size=options.world_size * len(devices),
        )
        for number, device in enumerate(devices)
    ]
    if len(tasks) == 1:
        run(tasks[0], store)
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // len(tasks))
    processes = [
        context.Process(target=_process, args=(run, task, store.identity, threads))
        for task in tasks
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()  # units are written whole or not at all
                process.join()
    if ended := [process.exitcode for process in processes if process.exitcode]:
        raise UserError(
            f"{len(ended)} of {len(processes)} workers ended early (exit code {ended[0]}): remove "
            "the cause and give the same command again; finished captions are kept"
        )


def _run(
    backend: type[Captioner], images: Images, retry: dict[int, Failed], task: Options, store: Store
) -> None:
    """Load the model if there is anything to do, and work."""
    if not (retry or store.missing(task.limit)):
        return
    captioner = backends.load(backend, task.request, store.identity, task.request.device)
    with contextlib.closing(captioner):
        place = {"rank": task.rank, "world_size": task.world_size}
        caption_units(store, images, captioner, limit=task.limit, retry=retry, **place)


def _process(
    run: Callable[[Options, Store], None], task: Options, identity: Any, threads: int
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    try:
        with contextlib.closing(Store(task.output, identity, {})) as store:
            run(task, store)
    except UserError as error:
        erase = "\r\x1b[K" if sys.stderr.isatty() else ""  # the parent's progress bar
        print(f"{erase}error: worker {task.rank}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_parent() -> None:
    """End this process when its parent is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def choose_devices(backend: type[Captioner], options: Options) -> list[str]:
    """Return one device per worker: the one that the user names, or the GPUs of this task in turn.

    If a launcher has started several tasks on this machine, each has its share of the GPUs.
    """
    device = "cpu"
    if backend.on_device:
        from mm_imagenet_r.captions.checkpoints import choose_device

        device = choose_device(options.request.device)
    if device != "cuda":
        return [device] * (options.workers or 1)
    import torch

    count = torch.cuda.device_count()
    own = range(options.local_rank % count, count, options.local_size)
    return [f"cuda:{own[number % len(own)]}" for number in range(options.workers or len(own))]


def _describe(backend: type[Captioner], request: Request) -> dict[str, Any]:
    """Where and when captions are made; it is recorded and determines nothing."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
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
