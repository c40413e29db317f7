"""Any model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, `transformers serve`, ...

The answers of a server are not exactly reproducible; the caption set records which one it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL.Image import Image

from mm_imagenet_r.captions import openai_api
from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.captions.generation import join_options
from mm_imagenet_r.captions.rate_limiter import RateLimiter, backoff, retry_after
from mm_imagenet_r.errors import UserError, one_line
from mm_imagenet_r.images import jpeg_url

DECODING: Final[dict[str, Any]] = {"max_tokens": 256, "temperature": 0}
MAX_SIDE: Final = 1024
JPEG_QUALITY: Final = 90

#: Fields of a request that are set here; options in their place would change the question.
_OURS: Final = ("messages", "model", "n", "stream")
#: Refusals of the whole run and not of one image: another address, no key, no credit, no model.
_FATAL: Final = {*openai_api.REDIRECTS, 401, 402, 403, 404}
#: The server is overloaded, whatever the image.
_BUSY: Final = {408, 429, 503}
#: More answers than this, and than requests in flight, that are no completions, and none that is:
#: the address is something else's.
_ODD: Final = 4
#: Attempts for an image while the server answers others.
_ATTEMPTS: Final = 8


class _RetryError(Exception):
    """A request without an answer, to be sent again; `blames_image` if that may be the cause."""

    def __init__(self, problem: str, *, blames_image: bool) -> None:
        super().__init__(problem)
        self.blames_image = blames_image


class Served(Captioner):
    """A client with many requests in flight, which waits for a server that is down for a while."""

    max_concurrency = 2  # requests of the next images are sent while the last ones are answered
    max_side = MAX_SIDE
    on_device = False

    @classmethod
    def identify(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        if request.style == "plain":
            raise UserError("servers take conversations: leave --style out, or give chat")
        if request.revision is not None:
            raise UserError("--revision is for models on the Hub: a server has one revision only")
        if name := next((name for name in _OURS if name in request.decoding), None):
            raise UserError(f"--decoding {name} cannot be set: leave it out")
        openai_api.host_of(request.model)
        decoding = join_options(DECODING, request.decoding)
        if "max_completion_tokens" in decoding and "max_tokens" not in request.decoding:
            del decoding["max_tokens"]  # newer models of OpenAI refuse it
        return {
            "model": request.served_model or openai_api.only_model(request.model),
            "revision": None,
            "prompt": request.prompt,
            "style": "chat",
            "decoding": decoding,
            "max_side": MAX_SIDE,
            "jpeg_quality": JPEG_QUALITY,
        }

    @classmethod
    def describe(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        return {"server": openai_api.host_of(request.model)}

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        openai = openai_api.import_openai()
        self.batch_size = request.concurrency
        self._url, self._outage = request.model, request.outage
        self._identity = identity
        self._errors = openai
        # Without retries: `_ask` alone decides what is sent again.
        self._client = openai_api.make_client(request.model, request.timeout)
        self._loop = asyncio.new_event_loop()
        self._failure: UserError | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._slots = asyncio.Semaphore(request.concurrency)
        self._limiter = RateLimiter(request.concurrency)
        self._last_answer, self._answered, self._odd = 0.0, "", 0

    def __call__(self, images: Sequence[Image]) -> list[Caption]:  # noqa: D102
        answers = asyncio.run_coroutine_threadsafe(self._ask_all(images), self._loop)
        return answers.result()

    def close(self) -> None:  # noqa: D102
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        await asyncio.gather(*self._cancel_others(), return_exceptions=True)
        await self._client.close()

    def _cancel_others(self) -> list[asyncio.Task[Any]]:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        return others

    async def _ask_all(self, images: Sequence[Image]) -> list[Caption]:
        try:
            return await asyncio.gather(*map(self._ask, images))
        except UserError as error:
            self._failure = error
            self._cancel_others()  # what is fatal for one is so for all
            raise
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise

    async def _ask(self, image: Image) -> Caption:
        """Ask about one image until there is an answer, or no hope of one."""
        async with self._slots:
            url = await asyncio.to_thread(jpeg_url, image, JPEG_QUALITY)
            started = time.monotonic()
            tries = faults = 0
            while True:
                try:
                    return await self._try(url)
                except _RetryError as retry:
                    problem, blames_image = str(retry), retry.blames_image
                waited = time.monotonic() - max(started, self._last_answer)
                if waited > self._outage:
                    raise UserError(
                        f"the server {self._url} has not answered for {waited:.0f} s ({problem}): "
                        "check the server and give the same command again; finished captions are "
                        "kept"
                    )
                if blames_image:
                    tries += 1
                    faults += await self._is_up()  # else it is the server's
                    if faults >= _ATTEMPTS and await self._answers_others(started):
                        return Caption.failed(problem)
                    await asyncio.sleep(min(backoff(tries), max(self._outage - waited, 0.05)))

    async def _answers_others(self, started: float) -> bool:
        """Whether an image was answered since then; if none was sent, one is sent again."""
        if self._last_answer <= started and self._answered:
            with contextlib.suppress(_RetryError):
                await self._try(self._answered)
        return self._last_answer > started

    async def _try(self, url: str) -> Caption:
        """Send a request: return what comes of it, or raise _RetryError."""
        content = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": self._identity["prompt"]},
        ]
        problem, answer = "", ""
        async with self._limiter.slot() as sent:
            try:
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self._identity["model"],
                    messages=[{"role": "user", "content": content}],
                    extra_body=self._identity["decoding"],
                )
                answer = openai_api.answer_in(raw)
            except self._errors.APIStatusError as error:
                problem = f"{error.status_code}: {error.message}"[:500]
                if error.status_code in _FATAL:
                    model = self._identity["model"]
                    raise UserError(openai_api.refusal(self._url, model, error)) from error
                if error.status_code in _BUSY:
                    self._yield_to(error, problem, sent)
                    raise _RetryError(problem, blames_image=False) from error
                if error.status_code < 500 and error.status_code != 409:
                    return Caption.failed(problem)
            except self._errors.APIConnectionError as error:
                problem = str(error)
                if isinstance(error, self._errors.APITimeoutError):
                    self._limiter.slow(sent)  # it may be too busy to answer anything in time
            except self._errors.OpenAIError as error:
                return Caption.failed(f"{type(error).__name__}: {error}"[:500])
            if isinstance(answer, dict) and "choices" in answer:
                self._last_answer, self._answered = time.monotonic(), url
                self._limiter.answered()
                return openai_api.caption_of(answer)
            if not problem:  # such as the page of a proxy
                problem = f"no completion but {one_line(str(answer), 80)!r}"
                self._odd += 1
                if not self._last_answer and self._odd > max(_ODD, self.batch_size):
                    raise UserError(
                        f"the server {self._url} answers with {problem}: {openai_api.CHECK_ADDRESS}"
                    )
        raise _RetryError(problem, blames_image=True)

    def _yield_to(self, error: Any, problem: str, sent: float) -> None:
        """Wait as long as a busy server asks, unless that is longer than an outage may be."""
        wait = retry_after(error.response.headers)
        if wait is not None and wait > self._outage:
            raise UserError(
                f"the server {self._url} accepts no requests for {wait:.0f} s ({problem}): give "
                "the same command again after that, or a longer --outage"
            ) from error
        self._limiter.refused(sent, wait)

    async def _is_up(self) -> bool:
        """Whether the server is there at all, whatever it answers."""
        try:
            await self._client.models.with_raw_response.list()
        except self._errors.APIConnectionError:
            return False
        except self._errors.APIStatusError as error:
            return error.status_code not in (*_BUSY, 502, 504)
        return True
