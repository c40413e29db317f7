"""From what `generate` returns to captions, in the same way for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.captions.captioner import Caption
from mm_imagenet_r.captions.decoding import NUMBER, SWITCH, WHOLE, Kind, join_options
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    import torch

_SAMPLING: Final = (
    "is for sampling, which is refused: what is drawn for an image would depend on the others in "
    "its batch, and nobody could make the captions again. Leave it out and choose with num_beams; "
    "a served model may sample, with a seed"
)
_OTHER: Final = "counts the prompt and the image too: give {} instead"
_SET: Final = "is taken from the model and its tokenizer: leave it out"
#: Options that `generate` takes and that mean nothing here, or would break what is promised.
_REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff",
         "eta_cutoff"), _SAMPLING,
    ),
    "max_length": _OTHER.format("max_new_tokens"),
    "min_length": _OTHER.format("min_new_tokens"),
    "eos_token_id": _SET,
    "pad_token_id": _SET,
    "num_return_sequences": "there is one caption for an image: leave it out",
}  # fmt: skip
_KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("max_new_tokens", "min_new_tokens", "no_repeat_ngram_size", "num_beam_groups",
         "num_beams"), WHOLE,
    ),
    **dict.fromkeys(("diversity_penalty", "length_penalty", "repetition_penalty"), NUMBER),
    **dict.fromkeys(("do_sample", "use_cache"), SWITCH),
    "early_stopping": Kind("true, false or never", (bool, str)),
}  # fmt: skip


def decoding_of(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Join the options of a model's `generate` with those that are asked for.

    Raises:
        UserError: One of them cannot be had, or not with this value.
    """
    for name in given:
        if name in _REFUSED:
            raise UserError(f"--decoding {name} {_REFUSED[name]}")
    if given.get("do_sample"):
        raise UserError(f"--decoding do_sample=true {_SAMPLING}")
    return {**join_options(defaults, given, _KINDS), "do_sample": False}


def without_reasoning(text: str, *, began: bool = False) -> str:
    """Cut off what a model thinks before it answers; if it came to no answer, nothing is left.

    Args:
        text: What the model wrote.
        began: The prompt has already begun its thoughts.

    >>> without_reasoning("<think>A dog? A wolf.</think> A wolf. ")
    'A wolf.'
    >>> without_reasoning("<think>A dog? Or")
    ''
    """
    _, end, answer = text.rpartition("</think>")
    if not end and (began or answer.lstrip().startswith("<think>")):
        return ""
    return answer.strip()


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


def captions_of(
    output: torch.Tensor, tokenizer: Any, ends: Sequence[int], *, thinks: bool = False
) -> list[Caption]:
    """Decode generated tokens, and see how many there are and what ended them.

    Args:
        output: (batch, length) new token ids, padded behind the end.
        tokenizer: The model's, or its processor.
        ends: Ids that end a text.
        thinks: The prompt ends within the thoughts of the model.

    Returns:
        (batch,) captions.
    """
    texts = tokenizer.batch_decode(output, skip_special_tokens=True)
    captions = []
    for row, text in zip(output.tolist(), texts, strict=True):
        end = next((n for n, token in enumerate(row) if token in ends), None)
        count = len(row) if end is None else end + 1
        caption = without_reasoning(text, began=thinks)
        captions.append(Caption(caption, "length" if end is None else "stop", count))
    return captions
