"""An OpenAI-compatible server that misbehaves on schedule."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

#: An image's number is its red divided by this.
STEP = 6
PAGE = b"<html>\n<title>Welcome</title></html>"


class Stub:
    """What the server is to do, and what it was asked.

    Attributes:
        plan: What to do with the next requests: a status, or `drop`, `stall`, `empty`, `length`,
            `nothing`, `filter`, `think`, `parts`, `page`, `no JSON`, `endless`, or one of `odd`;
            when it is used up, they are answered.
        odd: Answers of its own by their names: status, headers, body.
        always: What to do with images of these numbers.
        asked: Bodies of the requests.
        models: Names it gives when asked for its models; None for a page in place of an answer.
        listing: What it says in place of them, unless it is `...`.
        answers_as: The model that its answers name.
        limit: How many requests it answers in a window of `window` seconds; others are told 429,
            and by `retry_after` when to come back.
        gone_until: Until then, by `time.monotonic`, all connections are dropped.
    """

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.always: dict[int, str] = {}
        self.odd: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[dict[str, Any]] = []
        self.models: list[str] | None = ["stub"]
        self.listing: Any = ...
        self.answers_as = "stub"
        self.limit: int | None = None
        self.window = 0.25
        self.retry_after: str | None = "0.05"
        self.gone_until = 0.0
        self.url = ""
        self._window, self._answered = 0.0, 0
        self.stalled = threading.Event()
        self.lock = threading.Lock()

    def act(self, body: dict[str, Any]) -> tuple[str, int]:
        """What to do with a request, and the number of its image."""
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
        red = Image.open(io.BytesIO(data)).convert("RGB").getpixel((8, 8))[0]  # type: ignore[index]
        number = round(red / STEP)  # JPEG does not keep colours to the last digit
        with self.lock:
            self.asked.append(body)
            planned = self.plan.pop(0) if self.plan else "answer"
            if self.limit is not None:
                now = time.monotonic()
                if now - self._window > self.window:
                    self._window, self._answered = now, 0
                self._answered += 1
                planned = "answer" if self._answered <= self.limit else "429"
        return self.always.get(number, planned), number


@contextmanager
def serve() -> Iterator[Stub]:
    """Run a server on the loopback."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _send(self, status: int, body: Any, kind: str = "application/json") -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if status == 429 and stub.retry_after is not None:
                self.send_header("Retry-After", stub.retry_after)
            self.end_headers()
            self.wfile.write(data)

        def _drop(self) -> None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

        def do_GET(self) -> None:
            if time.monotonic() < stub.gone_until:
                return self._drop()
            if stub.listing is not ...:
                return self._send(200, stub.listing)
            if stub.models is None:
                return self._send(200, PAGE, "text/html")
            self._send(200, {"object": "list", "data": [{"id": name} for name in stub.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            what, number = stub.act(body)
            if what == "drop" or time.monotonic() < stub.gone_until:
                return self._drop()
            if what.isdigit():
                self._send(int(what), {"error": {"message": f"told to say {what}"}})
                return
            if what in stub.odd:
                status, headers, data = stub.odd[what]
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return
            if what == "endless":
                self.send_response(200)
                self.end_headers()
                while not stub.stalled.wait(0.05):
                    self.wfile.write(b" ")
                return
            if what == "stall":
                stub.stalled.wait(30)
                self.close_connection = True
                return
            if what in ("page", "no JSON"):
                self._send(200, PAGE, "text/html" if what == "page" else "application/json")
                return
            parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": f"is {number}"}]
            texts = {
                "empty": "", "filter": None, "think": f"<think>Hm.</think>\nis {number}",
                "parts": parts,
            }  # fmt: skip
            reasons = {"length": "length", "filter": "content_filter"}
            choice = {
                "index": 0,
                "finish_reason": reasons.get(what, "stop"),
                "message": {"role": "assistant", "content": texts.get(what, f"is {number}")},
            }
            answer = {
                "id": "x", "object": "chat.completion", "created": 0, "model": stub.answers_as,
                "choices": [] if what == "nothing" else [choice],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
            }  # fmt: skip
            self._send(200, answer)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients end connections that are of no use to them."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield stub
    finally:
        stub.stalled.set()
        server.shutdown()
        server.server_close()
        thread.join()
