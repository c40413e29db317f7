"""From what `generate` returns to captions, in the same way for every model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mm_imagenet_r.captions.captioner import Caption

if TYPE_CHECKING:
    import torch


def without_prompt(output: torch.Tensor, prompt: torch.Tensor, start: int | None) -> torch.Tensor:
    """Cut off what a model puts before the text it generates.

    Plain decoders repeat the prompt, the decoder of an encoder-decoder begins with a token of its
    own; which of the two a model is can be seen here and nowhere else as reliably.

    Args:
        output: (batch, length) generated token ids.
        prompt: (batch, prompt length) token ids that were put in.
        start: The token with which an encoder-decoder begins, None if unknown.

    Returns:
        (batch, new length) token ids that are new.
    """
    length = prompt.shape[1]
    if output.shape[1] >= length and bool((output[:, :length] == prompt).all()):
        return output[:, length:]
    if start is not None and bool((output[:, 0] == start).all()):
        return output[:, 1:]
    return output


def start_token(model: Any) -> int | None:
    """Return the token with which a model's decoder begins, None if it is no encoder-decoder."""
    for part in (model, getattr(model, "language_model", None)):
        start = getattr(getattr(part, "config", None), "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return None


def captions_of(output: torch.Tensor, tokenizer: Any, ends: Sequence[int]) -> list[Caption]:
    """Decode generated tokens, and see how many there are and what ended them.

    Args:
        output: (batch, length) new token ids, padded behind the end.
        tokenizer: The model's, or its processor.
        ends: Ids that end a text.

    Returns:
        (batch,) captions.
    """
    texts = tokenizer.batch_decode(output, skip_special_tokens=True)
    captions = []
    for row, text in zip(output.tolist(), texts, strict=True):
        end = next((n for n, token in enumerate(row) if token in ends), None)
        count = len(row) if end is None else end + 1
        captions.append(Caption(text.strip(), "length" if end is None else "stop", count))
    return captions
