"""What the embedded backbone is pretrained on: pictures of base classes with parts hidden."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from baselines.exemplars.selection import Array
from baselines.vilt import Preprocessor, ViltInput
from mm_imagenet_r import mini
from mm_imagenet_r.mini.grammar import SLOTS, VALUES
from studies.quality import coverage

UNASKED = -1  # stands for a word that is not to be guessed


@dataclass(frozen=True)
class Recipe:
    """Architecture and training of the embedded backbone."""

    hidden_size: int = 96
    layers: int = 4
    heads: int = 4
    patch_size: int = 12
    image_size: int = 72
    max_text_length: int = 48
    images_per_class: int = 60
    held_out: int = 5
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    part_weight: float = 1.0
    word_weight: float = 0.25
    patch_weight: float = 0.5
    muon: float = 0.02
    image_only: float = 0.5
    text_only: float = 0.1
    mask_words: float = 0.25
    drop_patches: float = 0.0
    seed: int = 0


def task(
    input: ViltInput, recipe: Recipe, mask_id: int, rng: np.random.Generator
) -> tuple[ViltInput, Array, Array]:
    """One modality of an input or both, and words to guess.

    Returns:
        The input, which of its patches stayed (K,), and for each of its words (T,) what it was
        before it was masked or `UNASKED`.
    """
    mode = rng.random()
    patches = np.ones(len(input.patches), dtype=bool)
    words = np.ones(len(input.token_ids), dtype=bool)
    if mode < recipe.text_only:
        patches[:] = False
    elif mode < recipe.text_only + recipe.image_only:
        words[1:-1] = False
    if patches.any() and rng.random() < recipe.drop_patches:
        patches = rng.random(len(patches)) < rng.uniform(0.25, 1.0)
    part = input.keep(patches, words)
    masked = rng.random(len(part.token_ids)) < recipe.mask_words
    masked[[0, -1]] = False  # [CLS] and [SEP]
    asked = np.where(masked, part.token_ids, UNASKED)
    return replace(part, token_ids=np.where(masked, mask_id, part.token_ids)), patches, asked


@dataclass(frozen=True)
class Drawings:
    """Pictures of the base classes, ready for the model.

    Attributes:
        inputs: N of them.
        targets: (N, 1 + parts) class, and the number of each of its parts.
        seen: For each input (K, values) True where a patch shows a part.
    """

    inputs: list[ViltInput]
    targets: Tensor
    seen: list[Array]


def drawings(preprocessor: Preprocessor, split: str, per_class: int, workers: int) -> Drawings:
    """Draw `per_class` pictures of each base class."""
    classes = mini.base_classes()
    jobs = [(preprocessor, number, split, per_class) for number in range(len(classes))]
    with ProcessPoolExecutor(workers) as pool:
        drawn = list(track(pool.map(_draw, jobs), total=len(jobs), description=f"drawing {split}"))
    found = [one for of_class in drawn for one in of_class]
    targets = torch.tensor([[cls.number, *_part_numbers(cls)] for cls in classes])
    return Drawings(
        [input for input, _ in found],
        targets.repeat_interleave(per_class, 0),
        [seen for _, seen in found],
    )


def _part_numbers(cls: mini.MiniClass) -> list[int]:
    return [VALUES[slot].index(part) for slot, part in zip(SLOTS, cls.parts, strict=True)]


def _draw(job: tuple[Preprocessor, int, str, int]) -> list[tuple[ViltInput, Array]]:
    preprocessor, number, split, count = job
    cls = mini.base_classes()[number]
    drawn = [mini.draw(cls, split, index) for index in range(count)]
    inputs = [preprocessor.input(one.image, one.caption) for one in drawn]
    columns = _part_numbers(cls)
    return [(v, seen_parts(one.parts, v, columns)) for v, one in zip(inputs, drawn, strict=True)]


def seen_parts(parts: Array, input: ViltInput, numbers: Sequence[int]) -> Array:
    """Which parts show in each patch, (K, values): True in a part's column if it fills a tenth."""
    starts = np.cumsum([0, *(len(VALUES[slot]) for slot in SLOTS)])
    seen = np.zeros((len(input.patches), int(starts[-1])), dtype=bool)
    for slot, number in enumerate(numbers):
        seen[:, starts[slot] + number] = coverage(parts == slot + 1, input) > 0.1
    return seen
