"""What a server answers when it is asked for captions."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
from pathlib import Path
from typing import Any

from ..door import Case, Damage, Door
from ..pictures import write_folder
from ..values import change, in_json

_ANSWER: dict[str, Any] = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "stub",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a cat"}}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}  # fmt: skip
_MODELS: dict[str, Any] = {"object": "list", "data": [{"id": "stub", "object": "model"}]}


def _build(folder: Path) -> None:
    write_folder(folder / "data", 2)
    (folder / "plan").mkdir()
    for name, body in (("answer", _ANSWER), ("models", _MODELS)):
        (folder / f"plan/{name}.json").write_text(json.dumps(body))


def _raw(case: Case) -> None:
    """Bytes that are no answer of HTTP as it should be; the file takes the place of the JSON."""
    path = case.some_file(".json")
    body, rng = path.read_bytes(), case.rng
    status = rng.choice((200, 200, 200, 204, 206, 301, 307, 400, 401, 402, 403, 404, 408, 409, 418,
                         422, 429,
                         500, 502, 503, 504, 599, 999, 100, 101))  # fmt: skip
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    odd = (
        ("Content-Type", ""), ("Content-Type", "text/html"), ("Content-Type",
        "application/json; charset=x"),
        ("Content-Type", "text/event-stream"), ("Content-Length", "5"), ("Content-Length", "-1"),
        ("Content-Length", "99999999999999"), ("Content-Length", "x"), ("Content-Encoding", "gzip"),
        ("Content-Encoding", "br"), ("Transfer-Encoding", "chunked"), ("Location", "/v1/models"),
        ("Location", "file:///etc/passwd"), ("Location", "http://["), ("Retry-After", "1e400"),
        ("Retry-After", "-5"), ("Retry-After", "nan"), ("Retry-After", "x" * 100), ("X",
        "y" * 200_000),
        ("Retry-After", "Wed, 21 Oct 9999 07:28:00 GMT"), ("Set-Cookie", "a=\xff"),
    )  # fmt: skip
    for _ in range(rng.choice((0, 1, 1, 2))):
        name, value = rng.choice(odd)
        headers[name] = value
    bodies = (body, body, body, b"", b"null", b"[]", b"{", b"data: {}\n\n", b"\xff\xfe", b"<html>",
    body[:40],
              gzip.compress(body), gzip.compress(bytes(10**8), 9), body + b" " * 10**6)  # fmt: skip
    lines = [
        f"HTTP/1.1 {status} X",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    head = rng.choice(
        ("\r\n".join(lines), "\r\n".join(lines), "\r\n".join(lines), "HTTP/9 x\r\n\r\n", "")
    )
    path.write_bytes(b"RAW" + head.encode("latin-1") + rng.choice(bodies))


def _long(case: Case) -> None:
    """More than anybody asked for."""
    path = case.some_file("answer.json")
    answer = json.loads(json.dumps(_ANSWER))
    texts = (
        "x" * 40_000_000,
        "\ud800",
        "\0",
        "\x1b[2J",
        "a\n" * 100_000,
        "‮",
        "",
        "<think>" * 9_999,
    )
    answer["choices"][0]["message"]["content"] = case.rng.choice(texts)
    path.write_text(json.dumps(answer))


def _count(case: Case) -> None:
    path = case.some_file("answer.json")
    answer = json.loads(json.dumps(_ANSWER))
    answer["usage"] = change(answer["usage"], case.rng)
    path.write_text(json.dumps(answer))


class _Server(threading.Thread):
    """Answers GET with the models and POST with the answer, healthy or not, one connection each."""

    def __init__(self, plan: Path, rng: random.Random, always: bool) -> None:
        super().__init__(daemon=True)
        self._plan, self._rng, self._always = plan, rng, always
        self._end = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._end.getsockname()[1]}/v1"

    def run(self) -> None:
        while True:
            connection, _ = self._end.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                asked = self._asked(connection)
                name = "models" if asked.startswith(b"GET") else "answer"
                odd = self._always or self._rng.random() < 0.3
                healthy = json.dumps(_MODELS if name == "models" else _ANSWER).encode()
                body = (self._plan / f"{name}.json").read_bytes() if odd else healthy
                connection.sendall(body[3:] if body[:3] == b"RAW" else _packed(body))
            except OSError:
                pass

    def _asked(self, connection: socket.socket) -> bytes:
        """A request with its body."""
        found = b""
        while b"\r\n\r\n" not in found and (more := connection.recv(2**16)):
            found += more
        head, _, body = found.partition(b"\r\n\r\n")
        sizes = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        missing = int(sizes[0].split(b":")[1]) - len(body) if sizes else 0
        while missing > 0 and (more := connection.recv(2**16)):
            missing -= len(more)
        return head


def _packed(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _try(case: Case) -> int:
    from mm_imagenet_r.captions import rate_limiter
    from mm_imagenet_r.captions.__main__ import main

    rate_limiter._LONGEST_WAIT = 0.02  # type: ignore[misc]
    server = _Server(case.folder / "plan", case.rng, always=case.rng.random() < 0.5)
    server.start()
    words = ["--model", server.url, "--prompt", "Describe.", "--images", "data", "--workers", "1"]
    fast = ["--concurrency", "4", "--unit-size", "4", "--outage", "0.6", "--timeout", "0.3"]
    return main([*words, *fast, "--output", "captions"])


_OWN: dict[str, Damage] = in_json() | {
    "raw": _raw,
    "more raw": _raw,
    "long": _long,
    "count": _count,
}
ANSWERS = Door("servers", _build, _OWN, _try, "plan")
