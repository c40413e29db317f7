"""What a back end is: something that takes images and returns captions.

A back end of your own is a class in any module; name it with `--backend package.module:Class`, or
its file, `--backend file.py:Class`. docs/captions.md has an example.
"""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL.Image import Image

#: Prompt formats; `auto` means a conversation if the model has a template for it, else plain text.
STYLES: Final = ("auto", "chat", "plain")

#: Precisions; `auto` means float32 on a CPU and what suits the model on a GPU.
DTYPES: Final = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Caption:
    """What a model said about an image."""

    text: str  # without the prompt, unchanged; it may be empty
    finish: str = "stop"  # or `length` at the token limit, `error`, or what a server reports
    n_tokens: int | None = None  # generated ones, None if unknown
    error: str = ""  # why there is no caption
    n_prompt_tokens: int | None = None  # of prompt and image, as a server counts them
    served_model: str | None = None  # the model that answered, as a server names it

    @classmethod
    def failed(cls, why: str) -> Caption:
        """An image without a caption, and the reason."""
        return cls("", "error", None, why or "unknown error")


def is_count(value: object) -> bool:
    """Tell whether a value is a number of tokens, as a table of captions holds it."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asked for; each field is the option of that name, which `--help` describes."""

    model: str
    prompt: str
    style: str = "auto"  # one of `STYLES`
    decoding: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None
    dtype: str = "auto"  # one of `DTYPES`
    device: str = "auto"
    batch_size: int = 16
    served_model: str | None = None
    concurrency: int = 32
    timeout: float = 120.0
    outage: float = 300.0


class Captioner(abc.ABC):
    """Takes images and returns captions. One object lives in each worker."""

    batch_size: int = 1  # images per call
    max_concurrency: int = 1  # calls that may run at the same time, from several threads
    max_side: int | None = None  # larger images are shrunk to this many pixels before the call
    on_device: bool = True  # computes here, on a GPU if there is one; each GPU gets a worker

    @classmethod
    @abc.abstractmethod
    def identify(cls, request: Request) -> dict[str, Any]:
        """Resolve everything that determines the captions, without loading weights.

        The JSON values are under at least `model`, `revision`, `prompt` and `decoding`. Requests
        with equal values belong to the same caption set. `model` is None for a folder, whose
        content counts and not its name.

        Raises:
            UserError: There is no such model, or the request does not suit it.
        """

    @classmethod
    def describe(cls, request: Request) -> dict[str, Any]:
        """Return JSON values worth recording that do not affect the captions.

        A `model` stands in for one that the identity leaves out.
        """
        return {}

    @abc.abstractmethod
    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        """Load the model onto a device, as torch names it; `identity` is that of the request.

        Raises:
            UserError: It does not load, or a server cannot be reached.
        """

    @abc.abstractmethod
    def __call__(self, images: Sequence[Image]) -> list[Caption]:
        """Return a caption for each RGB image, in order.

        Raises:
            UserError: No further image can be captioned either. Any other exception is attributed
                to one of the images, and the call is repeated with fewer of them.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what the object holds; it is not called again."""


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Name a caption set by a hash of everything that determines its captions.

    >>> fingerprint({"model": "m", "prompt": "p"}) == fingerprint({"prompt": "p", "model": "m"})
    True
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
