"""How fast our ViLT is beside transformers' `ViltModel`, and what a dropped patch saves.

Two ways of computing the same pooled vectors run alternately in one process, so that a busy machine
slows both; a row shows the median, least and largest ratio of their times over the pairs, above 1
where ours is faster. All weights are random, gradients are off, and `ViltModel` is given pixels and
masks that are prepared already, as our model is given its collated batch.

    python bench/vilt.py [--threads 1] [--pairs 7]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from transformers import ViltConfig, ViltModel

from baselines.vilt import Batch, Vilt, ViltInput, collate
from baselines.vilt.pixels import from_pixels, to_pixels

TINY: dict[str, Any] = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "image_size": 96,
    "patch_size": 12,
    "vocab_size": 1000,
}
NORMALISE = SimpleNamespace(
    do_normalize=True,
    do_rescale=True,
    image_mean=(0.5,) * 3,
    image_std=(0.5,) * 3,
    rescale_factor=1 / 255,
)
TARGETS = {"pool": 1.3, "whole": 1.0, "b32": 1.0, "third": 1.8}


def models(**config: Any) -> tuple[ViltModel, Vilt]:
    model_class: Any = ViltModel
    theirs = model_class(ViltConfig(pad_token_id=0, **config)).eval()
    ours = model_class(theirs.config).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, Vilt(ours, NORMALISE).eval()


def random_views(
    rng: np.random.Generator, patch: int, sizes: list[tuple[int, int]], vocabulary: int, text: int
) -> list[ViltInput]:
    inputs = []
    for height, width in sizes:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        patches = from_pixels(pixels, patch)
        words = rng.integers(5, vocabulary, text)
        patch_indices = np.arange(len(patches))
        grid = (height // patch, width // patch)
        inputs.append(ViltInput(patches, patch_indices, grid, words, np.arange(text), text))
    return inputs


def for_transformers(inputs: list[ViltInput], batch: Batch) -> dict[str, torch.Tensor]:
    """The same whole inputs as `ViltModel` takes them."""
    images = [to_pixels(input.patches, input.patch_indices, input.grid) for input in inputs]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    pixels = torch.zeros(len(images), 3, height, width)
    mask = torch.zeros(len(images), height, width, dtype=torch.int64)
    for i, image in enumerate(images):
        normalised = (torch.tensor(image).permute(2, 0, 1) / 255 - 0.5) / 0.5
        pixels[i, :, : image.shape[0], : image.shape[1]] = normalised
        mask[i, : image.shape[0], : image.shape[1]] = 1
    return {
        "input_ids": batch.token_ids,
        "attention_mask": batch.text_mask.long(),
        "pixel_values": pixels,
        "pixel_mask": mask,
    }


def compare(
    name: str, target: float, a: Callable[[], Any], b: Callable[[], Any], pairs: int
) -> None:
    """Print how much longer `a` takes than `b`."""
    # On one thread the time of the processor leaves out that others wait for it too.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    a()
    b()
    times = np.empty((pairs, 2))
    for pair in range(pairs):
        for which, run in ((0, a), (1, b)) if pair % 2 else ((1, b), (0, a)):
            start = clock()
            run()
            times[pair, which] = clock() - start
    ratios = times[:, 0] / times[:, 1]
    first, second = (1000 * statistics.median(column) for column in times.T)
    verdict = "ok" if statistics.median(ratios) >= target else "MISSED"
    print(
        f"{name:<74} {first:8.1f} {second:8.1f}   {statistics.median(ratios):5.2f} "
        f"({ratios.min():.2f}-{ratios.max():.2f})   >= {target:.1f} {verdict}"
    )


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description="Time ViLT beside transformers' ViltModel.")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--pairs", type=int, default=7, help="alternations of each comparison")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pairs = arguments.pairs
    print(f"{'A / B':<74} {'A ms':>8} {'B ms':>8}   ratio (least-most)   target")

    theirs, ours = models(**TINY)
    inputs = random_views(rng, 12, [(72, 96), (72, 72)] * 16, 1000, 40)
    batch = collate(inputs)
    given = for_transformers(inputs, batch)
    difference = (theirs(**given).pooler_output - ours(batch).pooled).abs().max()
    assert difference < 1e-4, f"the two models differ by {difference}"
    tiny = "tiny, 32 whole mixed images: transformers / "
    for name, key, run in (
        ("pool (training, predicting)", "pool", lambda: ours.pool(batch)),
        ("forward (with all tokens)", "whole", lambda: ours(batch)),
    ):
        compare(tiny + name, TARGETS[key], lambda: theirs(**given), run, 5 * pairs)

    theirs, ours = models()
    inputs = random_views(rng, 32, [(384, 384)] * 2, 30522, 40)
    batch = collate(inputs)
    given = for_transformers(inputs, batch)
    difference = (theirs(**given).pooler_output - ours(batch).pooled).abs().max()
    assert difference < 1e-4, f"the two models differ by {difference}"
    b32 = "ViLT-B/32, 2 whole images: "
    for name, run in (
        ("pool", lambda: ours.pool(batch)),
        ("forward", lambda: ours(batch)),
    ):
        compare(f"{b32}transformers / {name}", TARGETS["b32"], lambda: theirs(**given), run, pairs)
    third = collate(
        [input.keep(np.isin(input.patch_indices, rng.permutation(144)[:48])) for input in inputs]
    )
    name = b32 + "all patches / a third"
    compare(name, TARGETS["third"], lambda: ours(batch), lambda: ours(third), pairs)


if __name__ == "__main__":
    main()
