"""Any model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, `transformers serve`, ...

What a server answers is not reproducible to the letter; the caption set says where it is from.
"""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mm_imagenet_r.captions import openai_api
from mm_imagenet_r.captions.captioner import Caption, Captioner, Request
from mm_imagenet_r.captions.decoding import NUMBER, WHOLE, Kind, join_options
from mm_imagenet_r.captions.pace import Pace, backoff, told_to_wait
from mm_imagenet_r.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

DECODING: Final[dict[str, Any]] = {"max_tokens": 256, "temperature": 0}
MAX_SIDE: Final = 1024
JPEG_QUALITY: Final = 90

#: Options that the protocol knows; all others go to the server as they are.
_KNOWN: Final[dict[str, Kind]] = {
    **dict.fromkeys(("max_completion_tokens", "max_tokens", "seed"), WHOLE),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "temperature", "top_p"), NUMBER),
    "stop": Kind("a text or a list of texts", (str, list)),
}
#: Fields of a request that are made here; others in their place would be another question.
_OURS: Final = ("messages", "model", "n", "stream")
#: Answers that concern the whole run and not one image: no key, no credit, no model.
_HOPELESS: Final = {401, 402, 403, 404}
#: Answers that only say that the server has too much to do, whatever the image.
_BUSY: Final = {408, 429, 503}
#: How often an image is sent while the server answers others.
_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class _Later:
    """A request without an answer that is to be sent again.

    Attributes:
        problem: What came in place of an answer.
        may_be_its_fault: The image may be the cause, if others are answered.
    """

    problem: str
    may_be_its_fault: bool


class Served(Captioner):
    """A client with many requests in flight, which waits for a server that is gone for a while."""

    at_once = 2  # so that requests of the next images are sent while the last ones are answered
    max_side = MAX_SIDE
    on_device = False

    @classmethod
    def identify(cls, request: Request) -> dict[str, Any]:  # noqa: D102
        if request.style == "plain":
            raise UserError("servers take conversations: leave --style out, or give chat")
        if request.revision is not None:
            raise UserError("--revision is for models on the Hub: a server has the one it has")
        for name in _OURS:
            if name in request.decoding:
                raise UserError(f"--decoding {name}: each request has its own; leave it out")
        decoding = join_options(DECODING, request.decoding, _KNOWN)
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
        address = urlsplit(request.model)  # which may hold a name and a password
        return {"server": (address.hostname or "") + (f":{address.port}" if address.port else "")}

    def __init__(self, request: Request, identity: Mapping[str, Any], device: str) -> None:
        openai = openai_api.import_openai()
        self.batch_size = request.concurrency
        self._url = request.model
        self._outage = request.outage
        self._model = identity["model"]
        self._prompt = identity["prompt"]
        decoding = identity["decoding"]
        self._options = {key: value for key, value in decoding.items() if key in _KNOWN}
        self._extra = {key: value for key, value in decoding.items() if key not in _KNOWN}
        self._errors = openai
        self._client = openai.AsyncOpenAI(
            **openai_api.connection(request.model),
            max_retries=0,  # one place decides what is tried again: `_ask`
            timeout=request.timeout,
        )
        self._loop = asyncio.new_event_loop()
        self._calls: set[asyncio.Future[list[Caption]]] = set()
        self._failure: UserError | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._slots = asyncio.Semaphore(request.concurrency)
        self._pace = Pace(request.concurrency)
        self._last_answer, self._answered = 0.0, ""

    def __call__(self, images: Sequence[Image]) -> list[Caption]:  # noqa: D102
        answers = asyncio.run_coroutine_threadsafe(self._ask_all(images), self._loop)
        return answers.result()

    def close(self) -> None:  # noqa: D102
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        asking = asyncio.all_tasks() - {asyncio.current_task()}
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._client.close()

    async def _ask_all(self, images: Sequence[Image]) -> list[Caption]:
        answers = asyncio.gather(*map(self._ask, images))
        self._calls.add(answers)
        try:
            return await answers
        except UserError as error:
            self._failure = error
            for call in self._calls:  # what is hopeless for one is so for all
                call.cancel()
            raise
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            self._calls.discard(answers)

    async def _ask(self, image: Image) -> Caption:
        """Ask about one image until there is an answer, or no hope of one."""
        async with self._slots:
            url = await asyncio.to_thread(data_url, image)
            started = time.monotonic()
            tries = faults = 0
            while True:
                answer = await self._try(url)
                if isinstance(answer, Caption):
                    return answer
                waited = time.monotonic() - max(started, self._last_answer)
                if waited > self._outage:
                    raise UserError(
                        f"the server {self._url} has not answered for {waited:.0f} s "
                        f"({answer.problem}): what is done is kept; see to the server and give "
                        "the same command again"
                    )
                if answer.may_be_its_fault:
                    tries += 1
                    faults += await self._is_up()  # else it is the server's
                    if faults >= _ATTEMPTS and await self._answers_others(started):
                        return Caption.failed(answer.problem)
                    await asyncio.sleep(min(backoff(tries), max(self._outage - waited, 0.05)))

    async def _answers_others(self, started: float) -> bool:
        """Whether an image was answered since then; if none was sent, one is sent again."""
        if self._last_answer <= started and self._answered:
            await self._try(self._answered)
        return self._last_answer > started

    async def _try(self, url: str) -> Caption | _Later:
        """Send a request: return what comes of it, or why it is to be sent again."""
        async with self._pace.turn() as sent:
            try:
                answer = await self._send(url)
            except self._errors.APIStatusError as error:
                problem = f"{error.status_code}: {error.message}"[:500]
                if error.status_code in _HOPELESS:
                    raise UserError(openai_api.refusal(self._url, self._model, error)) from error
                if error.status_code in _BUSY:
                    told = told_to_wait(error.response.headers)
                    if told is not None and told > self._outage:
                        raise UserError(
                            f"the server {self._url} wants to be left alone for {told:.0f} s "
                            f"({problem}): give the same command again after that, or a longer "
                            "--outage"
                        ) from error
                    self._pace.refused(sent, told)
                    return _Later(problem, may_be_its_fault=False)
                if error.status_code < 500 and error.status_code != 409:
                    return Caption.failed(problem)
            except self._errors.APITimeoutError as error:
                problem = str(error)
                self._pace.slow(sent)  # it may have too much to do for any answer in time
            except self._errors.APIConnectionError as error:
                problem = str(error)
            except self._errors.OpenAIError as error:
                return Caption.failed(f"{type(error).__name__}: {error}"[:500])
            else:
                if openai_api.is_completion(answer):
                    self._last_answer, self._answered = time.monotonic(), url
                    self._pace.answered()
                    return openai_api.caption_of(answer)
                problem = openai_api.no_completion(answer)
                if not self._last_answer:
                    raise UserError(openai_api.no_server(self._url, problem))
        return _Later(problem, may_be_its_fault=True)

    async def _is_up(self) -> bool:
        """Whether the server is there at all; what it says to this does not matter."""
        try:
            await self._client.models.with_raw_response.list()
        except self._errors.APIConnectionError:
            return False
        except self._errors.APIStatusError as error:
            return error.status_code not in (*_BUSY, 502, 504)
        return True

    async def _send(self, url: str) -> Any:
        content = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": self._prompt},
        ]
        try:
            return await self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": content}],
                extra_body=self._extra or None,
                **self._options,
            )
        except ValueError as error:  # it says that it sends JSON, and does not
            return error


def data_url(image: Image) -> str:
    """Encode an image as a JPEG within an address."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
