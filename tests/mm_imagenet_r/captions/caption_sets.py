"""Caption sets without a model, for tests of what is on disk."""

from __future__ import annotations

import hashlib

from mm_imagenet_r.captions.captioner import Caption
from mm_imagenet_r.captions.store import Store

IDENTITY = {"model": "m", "prompt": "Describe.", "decoding": {"num_beams": 5}}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hashes(*names: str) -> dict[str, str]:
    return {name: sha(name) for name in names}


def commit_all(store: Store) -> None:
    for number, unit in enumerate(store.units):
        if not store.is_done(number):
            store.commit(number, [Caption(f"this is {item.file_name}") for item in unit])
