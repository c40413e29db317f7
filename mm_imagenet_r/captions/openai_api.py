"""The protocol of OpenAI as far as it is used here; no answer is used unchecked.

Servers of many makers speak it, each in its own way, and an address may be something else's.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

from mm_imagenet_r.captions.captioner import Caption
from mm_imagenet_r.captions.generation import without_reasoning
from mm_imagenet_r.errors import UserError, did_you_mean, one_line

CHECK_ADDRESS: Final = "check the address, which usually ends in /v1"


def import_openai() -> Any:
    """Return the module `openai`, or raise UserError if it is not installed."""
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise UserError(
            "captions from a server need the package openai: pip install 'mm-imagenet-r[serve]'"
        ) from error


def connection(url: str) -> dict[str, str]:
    """Return what a client needs to know about a server."""
    key = os.environ.get("OPENAI_API_KEY") or "none"
    return {"base_url": url.rstrip("/") + "/", "api_key": key}


def only_model(url: str) -> str:
    """Ask a server which model it has, or raise UserError if that is not one."""
    openai = import_openai()
    try:
        with openai.OpenAI(**connection(url), max_retries=1, timeout=20) as client:
            answer = client.models.with_raw_response.list().http_response
        names = sorted(str(model["id"]) for model in answer.json()["data"])
    except openai.APIConnectionError as error:
        raise UserError(
            f"the server {url} cannot be reached ({error}): start it, or {CHECK_ADDRESS}"
        ) from error
    except (openai.APIError, ValueError, KeyError, TypeError) as error:
        if getattr(error, "status_code", None) in (401, 403):
            raise UserError(refusal(url, "", error)) from error
        said = error if isinstance(error, openai.APIError) else one_line(answer.text, 80)
        raise UserError(
            f"the server {url} does not list its models ({said}): {CHECK_ADDRESS}, or name the "
            "model with --served-model"
        ) from error
    if len(names) != 1:
        raise UserError(
            f"the server {url} has {len(names)} models: choose one with --served-model "
            f"({did_you_mean('', names)})"
        )
    return names[0]


def refusal(url: str, model: str, error: Any) -> str:
    """Explain a refusal that concerns the whole run: 401, 402, 403 or 404."""
    problem, remedy = {
        402: ("requires payment", "top up the account and give the same command again"),
        404: (f"has no model {model!r} or no such address", f"{CHECK_ADDRESS}, and --served-model"),
    }.get(error.status_code, ("refuses access", "set OPENAI_API_KEY to a valid key"))
    return f"the server {url} {problem} ({error.message}): {remedy}"


def caption_of(answer: Any) -> Caption:
    """Return the caption in a completion, or why there is none."""
    try:
        choice = answer.choices[0]
        text = without_reasoning(_text_of(choice.message.content))
    except (AttributeError, LookupError, TypeError):
        return Caption.failed(f"the server answered without a choice: {answer}"[:500])
    usage = getattr(answer, "usage", None)
    return Caption(
        text,
        str(choice.finish_reason or "unknown"),
        _count(usage, "completion_tokens"),
        n_prompt_tokens=_count(usage, "prompt_tokens"),
        served_model=str(getattr(answer, "model", None) or "") or None,
    )


def _text_of(content: Any) -> str:
    """The text of a message, which some servers send in parts.

    >>> _text_of([{"type": "text", "text": "A dog"}, {"type": "text", "text": "."}])
    'A dog.'
    """
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    if not isinstance(content, str | None):
        raise TypeError(content)
    return content or ""


def _count(usage: Any, name: str) -> int | None:
    count = getattr(usage, name, None)
    return count if isinstance(count, int) else None
