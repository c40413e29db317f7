"""A small data set with our columns, quick to make."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Image, Value
from PIL import Image as Pillow

FEATURES = Features(
    {
        "image": Image(),
        "caption": Value("string"),
        "label": ClassLabel(names=["n01", "n02", "n03"]),
        "file_name": Value("string"),
        "wnid": Value("string"),
        "class_name": Value("string"),
        "imagenet_index": Value("int32"),
        "style": Value("string"),
    }
)


def jpeg(seed: int, mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(noise).convert(mode).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def rows(split: str, per_class: int) -> list[dict[str, Any]]:
    """Rows in no order, some of them grey or CMYK, captions with all that a table must survive."""
    offset = 0 if split == "train" else 1000
    made = [
        {
            "image": {
                "bytes": jpeg(offset + n, ("RGB", "L", "CMYK")[n % 3]),
                "path": f"n0{n % 3 + 1}__art_{offset + n}.jpg",
            },
            "caption": f'a, "quoted" | caption\nof {n}: ünï',
            "label": n % 3,
            "file_name": f"n0{n % 3 + 1}/art_{offset + n}.jpg",
            "wnid": f"n0{n % 3 + 1}",
            "class_name": ("cat", "dog", "made up")[n % 3],
            "imagenet_index": (281, 207, None)[n % 3],
            "style": "art",
        }
        for n in range(3 * per_class)
    ]
    return [made[i] for i in np.random.default_rng(7).permutation(len(made))]


def made_up(per_class: Mapping[str, int] | None = None, description: str = "Made up.") -> Any:
    """A `DatasetDict` as `mm_imagenet_r.load` gives it."""
    info = DatasetInfo(description=description, features=FEATURES)
    return DatasetDict(
        {
            split: Dataset.from_list(rows(split, count), features=FEATURES, info=info)
            for split, count in (per_class or {"train": 150, "test": 10}).items()
        }
    )
