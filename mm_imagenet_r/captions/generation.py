"""Models of `transformers` that run here: from what `generate` returns to captions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.captions import checkpoints
from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    import torch

_SAMPLING: Final = (
    "requests sampling, which is refused: a sampled caption would depend on the other images of "
    "its batch and could not be reproduced. Leave it out and use num_beams; a served model may "
    "sample, with a seed"
)
_TOTAL: Final = "also counts the prompt and the image: give {} instead"
_SET: Final = "is taken from the model and its tokenizer: leave it out"
#: Options of `generate` that have no meaning here, or would make captions irreproducible.
_REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("temperature", "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff",
         "eta_cutoff"), _SAMPLING,
    ),
    "max_length": _TOTAL.format("max_new_tokens"),
    "min_length": _TOTAL.format("min_new_tokens"),
    **dict.fromkeys(("eos_token_id", "pad_token_id"), _SET),
    "num_return_sequences": "must be 1, as each image has one caption: leave it out",
}  # fmt: skip
#: Types of known options, of `generate` and of servers, by the words in which a message asks for
#: them; all others are passed on as they are.
_KINDS: Final[dict[str, tuple[tuple[type, ...], tuple[str, ...]]]] = {
    "a whole number": ((int,), (
        "max_completion_tokens", "max_new_tokens", "max_tokens", "min_new_tokens",
        "no_repeat_ngram_size", "num_beam_groups", "num_beams", "seed",
    )),
    "a number": ((int, float), (
        "diversity_penalty", "frequency_penalty", "length_penalty", "presence_penalty",
        "repetition_penalty", "temperature", "top_p",
    )),
    "true or false": ((bool,), ("do_sample", "use_cache")),
    "true, false or never": ((bool, str), ("early_stopping",)),
    "a text or a list of texts": ((str, list), ("stop",)),
}  # fmt: skip


class LocalModel(Captioner):
    """What all models of `transformers` share: their identity, and how a text ends."""

    processor: Any

    @classmethod
    def describe(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        folder = Path(request.model)
        return {"model": folder.resolve().name} if folder.is_dir() else {}

    @staticmethod
    def _identity(
        request: Request, config: Any, on_gpu: str, defaults: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What determines the captions of any of them; `on_gpu` is the usual precision there."""
        given = request.decoding
        if refused := next((name for name in given if name in _REFUSED), None):
            raise UserError(f"--decoding {refused} {_REFUSED[refused]}")
        if given.get("do_sample"):
            raise UserError(f"--decoding do_sample=true {_SAMPLING}")
        decoding = join_options(defaults, given)
        model: str | None = request.model
        revision = getattr(config, "_commit_hash", None) or request.revision or "main"
        if Path(request.model).is_dir():  # which may lie anywhere under any name
            model, revision = None, f"sha256:{checkpoints.hash_folder(Path(request.model))}"
        dtype = request.dtype
        if dtype == "auto":
            is_gpu = checkpoints.choose_device(request.device).startswith("cuda")
            dtype = on_gpu if is_gpu else "float32"
        return {
            "model": model,
            "revision": str(revision),
            "dtype": dtype,
            "prompt": request.prompt,
            "decoding": {**decoding, "do_sample": False},
        }

    def _load(
        self, loader: Any, request: Request, identity: Mapping[str, Any], device: str
    ) -> None:
        """Load the weights; `processor` is there already."""
        import torch

        self.batch_size = request.batch_size
        self._dtype, self._device = getattr(torch, identity["dtype"]), device
        self._prompt = identity["prompt"]
        self.model = checkpoints.load_model(loader, request.model, identity, device)
        tokenizer = self.processor.tokenizer
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        # Configurations and tokenizers may name different tokens that end a text.
        ends = [tokenizer.eos_token_id, *self._configured("generation_config", "eos_token_id")]
        lists = [end if isinstance(end, list) else [end] for end in ends]
        self._ends = sorted({token for tokens in lists for token in tokens if token is not None})
        self._start = next(iter(self._configured("config", "decoder_start_token_id")), None)
        self._options = {
            **identity["decoding"],
            "eos_token_id": self._ends,
            "pad_token_id": tokenizer.pad_token_id,
        }

    def _configured(self, config: str, name: str) -> list[Any]:
        """What the model and its language model say."""
        parts = (self.model, getattr(self.model, "language_model", None))
        values = (getattr(getattr(part, config, None), name, None) for part in parts)
        return [value for value in values if value is not None]

    def _generate(self, inputs: Any, *, thinks: bool = False, **more: Any) -> list[Caption]:
        """Caption prepared inputs; `thinks` if the prompt ends within the model's reasoning."""
        import torch

        with torch.inference_mode():
            try:
                output = self.model.generate(**inputs, **self._options, **more)
            except TypeError as error:  # BLIP sets its end token itself and takes no other
                if "eos_token_id" not in str(error):
                    raise
                del self._options["eos_token_id"]
                output = self.model.generate(**inputs, **self._options, **more)
        new = without_prompt(output, inputs["input_ids"], self._start)
        texts = self.processor.batch_decode(new, skip_special_tokens=True)
        captions = []
        for row, text in zip(new.tolist(), texts, strict=True):
            end = next((n for n, token in enumerate(row) if token in self._ends), None)
            count, finish = (len(row), "length") if end is None else (end + 1, "stop")
            captions.append(Caption(without_reasoning(text, started=thinks), finish, count))
        return captions


def join_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Override options; null removes a default. UserError if a value has the wrong type.

    >>> join_options({"max_tokens": 256, "temperature": 0}, {"temperature": None, "seed": 1})
    {'max_tokens': 256, 'seed': 1}
    """
    for kind, (types, names) in _KINDS.items():
        for name in names:
            value = given.get(name)
            is_switch = isinstance(value, bool)  # which is an int in Python
            if value is not None and not (bool in types if is_switch else isinstance(value, types)):
                raise UserError(f"--decoding {name}={json.dumps(value)}: give {kind}")
    return {key: value for key, value in {**defaults, **given}.items() if value is not None}


def without_reasoning(text: str, *, started: bool = False) -> str:
    """Remove a model's reasoning, which the prompt may have `started`.

    Without an answer, nothing is left.

    >>> without_reasoning("<think>A dog? A wolf.</think> A wolf. ")
    'A wolf.'
    >>> without_reasoning("<think>A dog? Or")
    ''
    """
    _, end, answer = text.rpartition("</think>")
    if not end and (started or answer.lstrip().startswith("<think>")):
        return ""
    return answer.strip()


def without_prompt(output: torch.Tensor, prompt: torch.Tensor, start: int | None) -> torch.Tensor:
    """Remove what a model puts before the text it generates.

    Plain decoders repeat the prompt, an encoder-decoder begins with the token `start`; the output
    (batch, length) shows more reliably than anything else which of the two a model is.
    """
    length = prompt.shape[1]
    if output.shape[1] >= length and bool((output[:, :length] == prompt).all()):
        return output[:, length:]
    if start is not None and bool((output[:, 0] == start).all()):
        return output[:, 1:]
    return output
