"""InstructBLIP, decoded as in LAVIS, where it was published.

Source: Dai et al., "InstructBLIP: Towards General-purpose Vision-Language Models with Instruction
Tuning", NeurIPS 2023, arXiv 2305.06500. The classes are named explicitly, as published checkpoints
declare a video processor that `AutoProcessor` would choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL.Image import Image

from mm_imagenet_r.captions import checkpoints
from mm_imagenet_r.captions.captioner import Caption, Request
from mm_imagenet_r.captions.generation import LocalModel
from mm_imagenet_r.errors import UserError

#: The defaults of LAVIS' `generate`. Its repetition penalty does not see the prompt.
DECODING: Final[dict[str, Any]] = {
    "do_sample": False,
    "length_penalty": 1.0,
    "max_new_tokens": 256,
    "num_beams": 5,
    "repetition_penalty": 1.5,
}
_MISMATCH: Final = (
    "processor and model do not belong together; download both again, in the newest revision"
)


class InstructBlip(LocalModel):
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
        on_gpu = "bfloat16" if config.text_config.is_encoder_decoder else "float16"
        identity = cls._identity(request, config, on_gpu, DECODING)
        return {**identity, "style": "plain", "image_backend": "pil"}

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        from transformers import (
            BlipImageProcessorPil,
            InstructBlipForConditionalGeneration,
            InstructBlipProcessor,
        )

        model = request.model
        self.processor = checkpoints.load(InstructBlipProcessor, model, identity)
        self.processor.image_processor = checkpoints.load(BlipImageProcessorPil, model, identity)
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"
        self._load(InstructBlipForConditionalGeneration, request, identity, device)
        config = self.model.config
        self._penalty = 1.0
        if not config.text_config.is_encoder_decoder:
            self._penalty = self._options.pop("repetition_penalty", 1.0)
        if self.processor.num_query_tokens is None:  # processors of older releases do not say
            self.processor.num_query_tokens = config.num_query_tokens
        for what, here, there in (
            ("tokens per image", self.processor.num_query_tokens, config.num_query_tokens),
            ("image token", tokenizer.convert_tokens_to_ids("<image>"), config.image_token_id),
        ):
            if here != there:
                fault = f"{what} is {here} in its processor and {there} in config.json"
                raise UserError(f"--model {model}: {fault}: {_MISMATCH}")

    def __call__(self, images: Sequence[Image]) -> list[Caption]:  # noqa: D102
        from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

        inputs = self.processor(
            images=list(images), text=[self._prompt] * len(images), return_tensors="pt"
        ).to(self._device, self._dtype)
        prompt, config = inputs["input_ids"], self.model.config
        found = (prompt == config.image_token_id).sum(1).unique().tolist()
        if found != [config.num_query_tokens]:  # with fewer the model would see a part of the image
            raise UserError(
                f"the prompt holds {found} image tokens and the model needs "
                f"{config.num_query_tokens}: {_MISMATCH}"
            )
        more: dict[str, Any] = {}
        if self._penalty != 1.0:
            penalty = RepetitionPenaltyLogitsProcessor(self._penalty, prompt.shape[1])
            more["logits_processor"] = LogitsProcessorList([penalty])
        return self._generate(inputs, **more)
