"""Any model that `transformers` knows as image-text-to-text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.captions import checkpoints
from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.captions.generation import captions_of, decoding_of, start_token, without_prompt
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Values for the chat template; all other options of decoding go to `generate`.
_TEMPLATE: Final = "chat_template_kwargs"
#: Tokens at the end of a prompt that may begin the model's thoughts.
_TAIL: Final = 16
DECODING: Final[dict[str, Any]] = {"do_sample": False, "max_new_tokens": 256, "num_beams": 1}


class ImageTextToText(Captioner):
    """LLaVA, Idefics, BLIP-2, Qwen-VL, PaliGemma, ...: one class for all."""

    @classmethod
    def identify(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        config = checkpoints.config_of(request.model, request.revision)
        identity = {
            **checkpoints.identity_of(request, config),
            "dtype": checkpoints.choose_dtype(
                request, "float16" if "float16" in str(config.dtype).split(".") else "bfloat16"
            ),
            "prompt": request.prompt,
            "decoding": decoding_of(DECODING, request.decoding),
        }
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
                f"--decoding {_TEMPLATE} is for chat templates: give it to a model that has one, "
                f"""such as '{_TEMPLATE}={{"enable_thinking": false}}'"""
            )
        backend = "pil" if type(processor.image_processor).__name__.endswith("Pil") else "other"
        return {**identity, "style": style, "image_backend": backend}

    @classmethod
    def describe(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        return checkpoints.describe(request)

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        from transformers import AutoModelForImageTextToText

        self.batch_size = request.batch_size
        self._dtype = checkpoints.torch_dtype(identity["dtype"])
        self._device = device
        self._prompt = identity["prompt"]
        self._chat = identity["style"] == "chat"
        self.processor = _processor(request.model, identity)
        self.model = checkpoints.load_model(
            AutoModelForImageTextToText, request.model, identity, device
        )
        tokenizer = self.processor.tokenizer
        inner = getattr(self.model, "language_model", self.model)
        if not any(getattr(m.config, "is_encoder_decoder", False) for m in (self.model, inner)):
            tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._ends = checkpoints.end_tokens(
            tokenizer.eos_token_id,
            self.model.generation_config.eos_token_id,
            getattr(getattr(inner, "generation_config", None), "eos_token_id", None),
        )
        decoding = dict(identity["decoding"])
        self._template = decoding.pop(_TEMPLATE, {})
        self._options = {
            **decoding,
            "eos_token_id": self._ends,
            "pad_token_id": tokenizer.pad_token_id,
        }

    def __call__(self, images: Sequence[Image]) -> list[Caption]:  # noqa: D102
        import torch

        inputs = self._inputs(images).to(self._device, self._dtype)
        with torch.inference_mode():
            try:
                output = self.model.generate(**inputs, **self._options)
            except TypeError as error:  # BLIP sets its end token itself and takes no other
                if "eos_token_id" not in str(error):
                    raise
                del self._options["eos_token_id"]
                output = self.model.generate(**inputs, **self._options)
        prompt = inputs["input_ids"]
        new = without_prompt(output, prompt, start_token(self.model))
        (end,) = self.processor.batch_decode(prompt[:1, -_TAIL:], skip_special_tokens=False)
        thinks = self._chat and end.rstrip().endswith("<think>")
        return captions_of(new, self.processor, self._ends, thinks=thinks)

    def _inputs(self, images: Sequence[Image]) -> Any:
        if not self._chat:
            return self.processor(
                images=list(images),
                text=[self._prompt] * len(images),
                padding=True,
                return_tensors="pt",
            )
        conversations = [
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": image},
                        {"type": "text", "text": self._prompt},
                    ],
                }
            ]
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
    """Load a processor, with the image part that does not depend on torchvision if it has one."""
    from transformers import AutoProcessor

    return checkpoints.load(AutoProcessor, model, identity, backend="pil")
