"""Pictures of masked exemplars for the report of a run."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from baselines.vilt.inputs import ViltInput
from benchmark.memory import Memory
from benchmark.method import PhaseData

if TYPE_CHECKING:
    from baselines.exemplar_masking import ExemplarMasking


def masked_gallery(
    method: ExemplarMasking, phase: PhaseData, memory: Memory
) -> list[dict[str, Any]]:
    """The best exemplars of two new classes: image, attention, what was kept, what it costs."""
    first = {row["file_name"]: row for row in memory.selected() if row["rank"] == 0}
    names = phase.train.file_names
    chosen = phase.train.select([i for i, name in enumerate(names) if name in first][:2])
    inputs = [method.input(sample) for sample in chosen]
    pictures = []
    for sample, input, masks in zip(chosen, inputs, method.masks(inputs), strict=True):
        tokens = method.preprocessor.tokenizer.convert_ids_to_tokens(input.token_ids.tolist())
        pictures.append(
            {
                "file_name": sample.file_name,
                "label": sample.label,
                "image": base64.b64encode(_png(input)).decode(),
                "grid": list(input.grid),
                "attention": [round(float(score), 5) for score in masks.attention],
                "kept": masks.patches.tolist(),
                "words": [
                    {"text": token, "kept": bool(kept)}
                    for token, kept in zip(tokens, masks.words, strict=True)
                    if token not in ("[CLS]", "[SEP]")
                ],
                "bytes": first[sample.file_name]["bytes"],
                "native_bytes": len(sample.image) + len(sample.caption.encode()),
                "codec": first[sample.file_name]["codec"],
            }
        )
    return pictures


def _png(input: ViltInput) -> bytes:
    buffer = io.BytesIO()
    input.picture().save(buffer, "PNG")
    return buffer.getvalue()
