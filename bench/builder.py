"""How fast the tar becomes a data set, and how much memory that takes.

A stand-in of ImageNet-R's archive, with its 30,000 true names and small images, is made once in a
temporary folder. Three commands then take turns, each in a process of its own with an empty cache:

    ours    mm_imagenet_r.load on the tar: index, hash, check, join captions, write Arrow
    folder  load_dataset("imagefolder") on the same files, unpacked beforehand (not timed)
    copy    copying the tar

A row shows the median, least and largest ratio of their processor times over the pairs, and the
largest memory of a process of ours.

    python bench/builder.py [--pairs 3] [--side 48]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mm_imagenet_r.classes import image_names
from tests.standin import image_files, plain_captions, write_captions, write_folder
from tests.standin import write_tar as write_archive

ROOT = Path(__file__).resolve().parent.parent
FASTER = 2.0
MEMORY_MB = 1000

OURS = """
import mm_imagenet_r
found = mm_imagenet_r.load("captions", data_dir={data!r})
assert (len(found["train"]), len(found["test"])) == (24000, 6000)
"""
FOLDER = """
from datasets import load_dataset
assert len(load_dataset("imagefolder", data_dir={tree!r}, split="train")) == 30000
"""
COPY = """
import shutil
shutil.copyfile({data!r} + "/imagenet-r.tar", {data!r} + "/copy.tar")
"""


def run(program: str) -> tuple[float, float, float]:
    """Seconds of the processor, seconds by the clock and megabytes of a program of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "HF_HOME": home,
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        report = (
            "\nimport resource, sys\nu = resource.getrusage(resource.RUSAGE_SELF)\n"
            "print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1000, file=sys.stdout)\n"
        )
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program + report],
            env=environment, cwd=home, check=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    cpu, memory = map(float, done.stdout.split())
    return cpu, seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the builder beside datasets' imagefolder.")
    parser.add_argument("--pairs", type=int, default=3, help="rounds")
    parser.add_argument("--side", type=int, default=48, help="width of the images in pixels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data, tree = Path(temporary) / "data", Path(temporary) / "tree"
        names = image_names()
        data.mkdir()
        write_archive(data / "imagenet-r.tar", image_files(names, arguments.side))
        write_folder(tree, image_files(names, arguments.side))
        write_captions(data / "captions" / "captions.csv", plain_captions(names))
        size = (data / "imagenet-r.tar").stat().st_size
        programs = {
            name: text.format(data=str(data), tree=str(tree))
            for name, text in (("ours", OURS), ("folder", FOLDER), ("copy", COPY))
        }
        taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
        for number in range(arguments.pairs):
            for name in sorted(programs, reverse=bool(number % 2)):
                taken[name].append(run(programs[name]))
    print(f"30,000 images, {size / 1e6:.0f} MB, {arguments.pairs} rounds, medians")
    for name, times in taken.items():
        cpu, seconds, memory = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:<8} {cpu:7.2f} s processor {seconds:7.2f} s clock {memory:7.0f} MB")
    for name in ("folder", "copy"):
        ratios = [a[0] / b[0] for a, b in zip(taken[name], taken["ours"], strict=True)]
        row = (
            f"{name} / ours: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
        faster = statistics.median(ratios) >= FASTER
        print(f"{row}   >= {FASTER} {'ok' if faster else 'MISSED'}" if name == "folder" else row)
    most = max(memory for _, _, memory in taken["ours"])
    print(
        f"memory of ours: {most:.0f} MB   <= {MEMORY_MB} {'ok' if most <= MEMORY_MB else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
