"""The protocol of OpenAI as far as it is used here; no answer is used unchecked.

Servers of many makers speak it, each in its own way, and an address may be something else's.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from typing import Any, Final
from urllib.parse import urlsplit

from mm_imagenet_r.captions.captioner import Caption, is_count
from mm_imagenet_r.captions.generation import without_reasoning
from mm_imagenet_r.errors import UserError, did_you_mean, one_line

#: Bytes of an answer: the longest with all of its reasoning has a tenth.
_MOST: Final = 2**22
#: What is read of the headers of an answer.
_HEADERS: Final = ("location", "retry-after", "retry-after-ms")
REDIRECTS: Final = (301, 302, 303, 307, 308)
CHECK_ADDRESS: Final = "check the address, which usually ends in /v1"


def import_openai() -> Any:
    """Return the module `openai`, or raise UserError if it is not installed."""
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise UserError(
            "captions from a server need the package openai: pip install 'mm-imagenet-r[serve]'"
        ) from error


def host_of(url: str) -> str:
    """Return host and port of an address, without a name and a password; UserError if it is none.

    >>> host_of("http://user:secret@localhost:8000/v1")
    'localhost:8000'
    """
    try:
        address = urlsplit(url)
        host = (address.hostname or "").encode("idna").decode()
        if not host:
            raise ValueError("it names no host")
        return f"{host}:{address.port}" if address.port else host
    except ValueError as error:
        raise UserError(
            f"{url!r} is not the address of a server ({error}): give one such as "
            "http://localhost:8000/v1"
        ) from error


def make_client(url: str, timeout: float, *, max_retries: int = 0) -> Any:
    """Return a client that no answer can hold up, send elsewhere or fill the memory of.

    An answer has arrived to its end within `timeout` seconds; redirects are not followed.
    """
    openai = import_openai()
    http = openai.DefaultAsyncHttpxClient(follow_redirects=False)
    send = http.send

    async def receive(request: Any, **options: Any) -> Any:
        try:
            async with asyncio.timeout(timeout):
                response = await send(request, **{**options, "stream": True})
                content = await _content_of(response)
        except TimeoutError as error:
            raise openai.APITimeoutError(request=request) from error
        headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
        kind = type(response)
        return kind(response.status_code, headers=headers, content=content, request=request)

    http.send = receive
    return openai.AsyncOpenAI(
        base_url=url.rstrip("/") + "/",
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
        http_client=http,
        timeout=timeout,
        max_retries=max_retries,
        default_headers={"Accept-Encoding": "identity"},
    )


async def _content_of(response: Any) -> bytes:
    """Receive a body, or say in its place why it is none that was asked for."""
    content = bytearray()
    try:
        if response.headers.get("content-encoding", "identity") != "identity":
            return b"an answer that is compressed, which was not asked for"
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > _MOST:
                return f"an answer of more than {_MOST:,} bytes".encode()
    finally:
        await response.aclose()
    return bytes(content)


def answer_in(raw: Any) -> Any:
    """Return what a raw answer holds: a JSON value, or the text if it is none."""
    content: bytes = raw.http_response.content
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # which deep nesting causes
        return content.decode(errors="replace")


def only_model(url: str) -> str:
    """Ask a server which model it has, or raise UserError if that is not one."""
    openai = import_openai()
    answer: Any = ""
    try:
        answer = asyncio.run(_list_models(url))
        names: list[str] = sorted(model["id"] for model in answer["data"])
        "".join(names)  # a TypeError if they are not texts
    except openai.APIConnectionError as error:
        raise UserError(
            f"the server {url} cannot be reached ({error}): start it, or {CHECK_ADDRESS}"
        ) from error
    except (openai.APIError, LookupError, TypeError) as error:
        if getattr(error, "status_code", None) in (401, 403, *REDIRECTS):
            raise UserError(refusal(url, "", error)) from error
        said = one_line(str(error if isinstance(error, openai.APIError) else answer), 80)
        raise UserError(
            f"the server {url} does not list its models ({said}): {CHECK_ADDRESS}, or name the "
            "model with --served-model"
        ) from error
    if len(names) != 1:
        raise UserError(
            f"the server {url} has {len(names)} models: choose one with --served-model "
            f"({one_line(did_you_mean('', names))})"
        )
    return names[0]


async def _list_models(url: str) -> Any:
    async with make_client(url, 20, max_retries=1) as client:
        return answer_in(await client.models.with_raw_response.list())


def refusal(url: str, model: str, error: Any) -> str:
    """Explain a refusal that concerns the whole run: a redirect, 401, 402, 403 or 404."""
    if error.status_code in REDIRECTS:
        there = one_line(repr(error.response.headers.get("location", "nowhere")))
        return f"the server {url} redirects to {there}: give the address that answers itself"
    problem, remedy = {
        402: ("requires payment", "top up the account and give the same command again"),
        404: (f"has no model {model!r} or no such address", f"{CHECK_ADDRESS}, and --served-model"),
    }.get(error.status_code, ("refuses access", "set OPENAI_API_KEY to a valid key"))
    return f"the server {url} {problem} ({one_line(error.message)}): {remedy}"


def caption_of(answer: Any) -> Caption:
    """Return the caption in a completion, a JSON value of any kind, or why there is none."""
    try:
        choice = answer["choices"][0]
        text = without_reasoning(_text_of(choice["message"]["content"]))
    except (LookupError, TypeError):
        return Caption.failed(f"the server answered without a choice: {one_line(str(answer), 400)}")
    usage, model = answer.get("usage"), answer.get("model")
    return Caption(
        text,
        one_line(str(choice.get("finish_reason") or "unknown"), 40),
        _count(usage, "completion_tokens"),
        n_prompt_tokens=_count(usage, "prompt_tokens"),
        served_model=one_line(model) if isinstance(model, str) and model else None,
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
    """A number of tokens, None for anything else that a server may put there.

    >>> [_count({"n": value}, "n") for value in (3, True, 2**40, "3", None)]
    [3, None, None, None, None]
    """
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if is_count(count) else None
