"""Any model that `transformers` knows as image-text-to-text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL.Image import Image

from mm_imagenet_r.captions import checkpoints
from mm_imagenet_r.captions.captioner import Caption, Request
from mm_imagenet_r.captions.generation import LocalModel
from mm_imagenet_r.errors import UserError

#: Values for the chat template; all other options of decoding go to `generate`.
_TEMPLATE: Final = "chat_template_kwargs"
#: Tokens at the end of a prompt that may open the model's reasoning.
_TAIL: Final = 16
DECODING: Final[dict[str, Any]] = {"do_sample": False, "max_new_tokens": 256, "num_beams": 1}


class ImageTextToText(LocalModel):
    """LLaVA, Idefics, BLIP-2, Qwen-VL, PaliGemma, ...: one class for all."""

    @classmethod
    def identify(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        config = checkpoints.config_of(request.model, request.revision)
        on_gpu = "float16" if "float16" in str(config.dtype).split(".") else "bfloat16"
        identity = cls._identity(request, config, on_gpu, DECODING)
        processor = _processor(request.model, identity)
        template = getattr(processor, "chat_template", None)
        if request.style == "chat" and not template:
            raise UserError(
                f"--model {request.model} has no chat template: leave --style out, or give plain"
            )
        style = request.style if request.style != "auto" else "chat" if template else "plain"
        if _TEMPLATE in request.decoding and not (
            style == "chat" and isinstance(request.decoding[_TEMPLATE], dict)
        ):
            raise UserError(
                f"--decoding {_TEMPLATE} needs a model with a chat template and a JSON object, "
                f"""such as '{_TEMPLATE}={{"enable_thinking": false}}'"""
            )
        backend = "pil" if type(processor.image_processor).__name__.endswith("Pil") else "other"
        return {**identity, "style": style, "image_backend": backend}

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        from transformers import AutoModelForImageTextToText

        self._chat = identity["style"] == "chat"
        self.processor = _processor(request.model, identity)
        self._load(AutoModelForImageTextToText, request, identity, device)
        self._template = self._options.pop(_TEMPLATE, {})
        parts = (self.model, getattr(self.model, "language_model", self.model))
        if not any(getattr(part.config, "is_encoder_decoder", False) for part in parts):
            self.processor.tokenizer.padding_side = "left"

    def __call__(self, images: Sequence[Image]) -> list[Caption]:  # noqa: D102
        inputs = self._inputs(images).to(self._device, self._dtype)
        prompt = inputs["input_ids"][:1, -_TAIL:]
        (end,) = self.processor.batch_decode(prompt, skip_special_tokens=False)
        return self._generate(inputs, thinks=self._chat and end.rstrip().endswith("<think>"))

    def _inputs(self, images: Sequence[Image]) -> Any:
        if not self._chat:
            texts = [self._prompt] * len(images)
            return self.processor(
                images=list(images), text=texts, padding=True, return_tensors="pt"
            )
        text = {"type": "text", "text": self._prompt}
        conversations = [
            [{"role": "user", "content": [{"type": "image", "image": image}, text]}]
            for image in images
        ]
        return self.processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
            **self._template,
        )


def _processor(model: str, identity: Mapping[str, Any]) -> Any:
    """Load a processor; its image part uses Pillow rather than torchvision where it can."""
    from transformers import AutoProcessor

    return checkpoints.load(AutoProcessor, model, identity, backend="pil")
