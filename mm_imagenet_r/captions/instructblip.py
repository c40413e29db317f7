"""InstructBLIP, decoded as in LAVIS, where it was published.

Source: Dai et al., "InstructBLIP: Towards General-purpose Vision-Language Models with Instruction
Tuning", NeurIPS 2023, arXiv 2305.06500. The classes are named, for published checkpoints declare a
video processor that `AutoProcessor` would take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.captions import checkpoints
from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.captions.generation import captions_of, decoding_of, start_token, without_prompt
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

#: The defaults of LAVIS' `generate`. Its repetition penalty does not see the prompt.
DECODING: Final[dict[str, Any]] = {
    "do_sample": False,
    "length_penalty": 1.0,
    "max_new_tokens": 256,
    "num_beams": 5,
    "repetition_penalty": 1.5,
}


class InstructBlip(Captioner):
    """InstructBLIP with any of its language models, by `transformers`."""

    @classmethod
    def identify(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        config = checkpoints.config_of(request.model, request.revision)
        if config.model_type != "instructblip":
            raise UserError(
                f"--model {request.model} is of type {config.model_type}, not instructblip: "
                "leave --backend out, or give --backend transformers"
            )
        if request.style == "chat":
            raise UserError("InstructBLIP has no chat template: leave --style out, or give plain")
        is_t5 = bool(config.text_config.is_encoder_decoder)
        return {
            **checkpoints.identity_of(request, config),
            "dtype": checkpoints.choose_dtype(request, "bfloat16" if is_t5 else "float16"),
            "prompt": request.prompt,
            "style": "plain",
            "decoding": decoding_of(DECODING, request.decoding),
            "image_backend": "pil",
        }

    @classmethod
    def describe(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        return checkpoints.describe(request)

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        from transformers import (
            BlipImageProcessorPil,
            InstructBlipForConditionalGeneration,
            InstructBlipProcessor,
        )

        self.batch_size = request.batch_size
        self._dtype = checkpoints.torch_dtype(identity["dtype"])
        self._device = device
        self._prompt = identity["prompt"]
        self._decoding = dict(identity["decoding"])
        self.processor = checkpoints.load(InstructBlipProcessor, request.model, identity)
        self.processor.image_processor = checkpoints.load(
            BlipImageProcessorPil, request.model, identity
        )
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"
        self.model = checkpoints.load_model(
            InstructBlipForConditionalGeneration, request.model, identity, device
        )
        config = self.model.config
        self._queries = config.num_query_tokens
        self._image_token = config.image_token_id
        if self.processor.num_query_tokens is None:  # old ones do not say
            self.processor.num_query_tokens = self._queries
        for what, here, there in (
            ("tokens for an image", self.processor.num_query_tokens, self._queries),
            ("image token", tokenizer.convert_tokens_to_ids("<image>"), self._image_token),
        ):
            if here != there:
                raise UserError(
                    f"--model {request.model}: its processor has {what} {here}, config.json has "
                    f"{there}. They do not belong together: download both anew, in the newest "
                    "revision"
                )
        self._ends = checkpoints.end_tokens(
            tokenizer.eos_token_id,
            self.model.generation_config.eos_token_id,
            self.model.language_model.generation_config.eos_token_id,
        )

    def __call__(self, images: Sequence[Image]) -> list[Caption]:  # noqa: D102
        import torch
        from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

        inputs = self.processor(
            images=list(images), text=[self._prompt] * len(images), return_tensors="pt"
        ).to(self._device, self._dtype)
        prompt = inputs["input_ids"]
        found = (prompt == self._image_token).sum(1).unique().tolist()
        if found != [self._queries]:  # with fewer the model would see part of the image, and go on
            raise UserError(
                f"the prompt holds {found} image tokens where the model has {self._queries}: "
                "processor and model do not belong together; download both anew"
            )
        options = dict(self._decoding)
        if not self.model.config.text_config.is_encoder_decoder:
            penalty = options.pop("repetition_penalty", 1.0)
            if penalty != 1.0:
                options["logits_processor"] = LogitsProcessorList(
                    [RepetitionPenaltyLogitsProcessor(penalty, prompt.shape[1])]
                )
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                **options,
                eos_token_id=self._ends,
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
        new = without_prompt(output, prompt, start_token(self.model))
        return captions_of(new, self.processor, self._ends)
