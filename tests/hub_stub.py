"""A Hub in this process: what creating, uploading, listing and loading repositories ask of it.

Clients find it by HF_ENDPOINT, which they read when they are imported, and must have
HF_HUB_DISABLE_XET=1, as uploads through Xet are not understood here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

#: What a repository holds that was just made.
NEW = {".gitattributes": b"*.parquet filter=lfs\n"}


@dataclass
class Hub:
    """What the server holds.

    Attributes:
        files: Content of each file of each repository, by its name: `owner/name` of a data set,
            `spaces/owner/name`, `models/owner/name`.
        private: Names of those that are for their owner alone.
        stored: Large files by their SHA-256, in no repository until a commit names them.
        requests: Method and path of all requests.
        tokens: All that came with requests.
        failures: Patterns of requests to be answered with 500, each once.
        broken: Patterns of requests whose connection ends without an answer, each once.
        others: Patterns of requests, and a file that somebody else writes just before each, as
            its repository and path.
        denied: Status of the answer to every request that writes, which repeats the token.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    others: list[tuple[str, str, str]] = field(default_factory=list)
    denied: int = 0
    url: str = ""

    def commit(self, repository: str) -> str:
        """Identifier of the present state of a repository."""
        state = sorted((name, blob(data)) for name, data in self.files[repository].items())
        return hashlib.sha1(json.dumps(state).encode()).hexdigest()


def blob(data: bytes) -> str:
    """Identifier that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serve() -> Iterator[Hub]:
    """Run an empty Hub on loopback."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.hub.tokens.add(self.headers.get("Authorization", "").removeprefix("Bearer "))
        self.answer()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

    def answer(self) -> None:
        hub, url = self.hub, urllib.parse.urlsplit(self.path)
        path, data = urllib.parse.unquote(url.path), self.body()
        request = f"{self.command} {path}"
        hub.requests.append(request)
        for pattern in hub.failures:
            if re.search(pattern, request):
                hub.failures.remove(pattern)
                return self.reply({"error": "as planned"}, 500)
        for pattern in hub.broken:
            if re.search(pattern, request):
                hub.broken.remove(pattern)
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
        for pattern, repository, name in hub.others:
            if re.search(pattern, request):
                hub.files[repository][name] = b"of somebody else"
        if path == "/api/validate-yaml":
            return self.validate(json.loads(data))
        if hub.denied and self.command in ("POST", "PUT"):
            said = f"Invalid credentials: {self.headers.get('Authorization')}"
            return self.reply({"error": said}, hub.denied, {"X-Error-Message": said})
        if path == "/api/repos/create":
            return self.create(json.loads(data))
        if path.startswith("/large/"):
            hub.stored[path.rpartition("/")[2]] = data
            return self.reply({})
        if re.fullmatch(r"/.+\.git/info/lfs/objects/batch", path):
            return self.reply(self.batch(json.loads(data)))
        for pattern, method in (
            (r"/api/(datasets|spaces|models)/([^/]+/[^/]+)"
             r"(?:/(preupload|commit|revision|tree|paths-info)/(.*))?", self.api),
            (r"/(datasets|spaces)/([^/]+/[^/]+)/(resolve)/(.*)", self.resolve),
        ):  # fmt: skip
            if match := re.fullmatch(pattern, path):
                place, repository, kind, rest = match.groups()
                repository = repository if place == "datasets" else f"{place}/{repository}"
                if repository not in hub.files:
                    return self.missing("RepoNotFound")
                return method(repository, kind or "revision", rest or "main", data)
        return self.missing("EntryNotFound")

    def validate(self, wanted: dict[str, Any]) -> None:
        """What a card says in its header; a Space has to say how it is run."""
        found = re.match(r"---\n(.*?)\n---\n", wanted["content"], re.DOTALL)
        header = yaml.safe_load(found[1]) if found else None
        faults = [] if isinstance(header, dict) else ["no header"]
        if wanted["repoType"] == "space" and not (header or {}).get("sdk"):
            faults.append('"sdk" is required')
        errors = [{"message": fault} for fault in faults]
        self.reply({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        kind = wanted.get("type", "model")
        assert (wanted.get("sdk") == "static") == (kind == "space")
        key = name if kind == "dataset" else f"{kind}s/{name}"
        known = key in self.hub.files
        self.hub.files.setdefault(key, dict(NEW))
        if (wanted.get("private") or wanted.get("visibility") == "private") and not known:
            self.hub.private.add(key)
        folder = "" if kind == "model" else f"{kind}s/"
        self.reply({"url": f"{self.hub.url}/{folder}{name}"}, 409 if known else 200)

    def batch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Where to send large files; those that are there need no sending."""
        objects = [
            entry
            if entry["oid"] in self.hub.stored
            else {**entry, "actions": {"upload": {"href": f"{self.hub.url}/large/{entry['oid']}"}}}
            for entry in wanted["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def api(self, repository: str, kind: str, rest: str, data: bytes) -> None:
        files = self.hub.files[repository]
        revision, _, folder = rest.partition("/")
        commit = self.hub.commit(repository)
        if revision not in ("main", commit):
            return self.missing("RevisionNotFound")
        if kind == "preupload":
            return self.reply({"files": [self.mode(f, files) for f in json.loads(data)["files"]]})
        if kind == "commit":
            header = json.loads(data.splitlines()[0])["value"]
            if header.get("parentCommit", commit) != commit:
                return self.reply({"error": "a commit has happened since"}, 412)
            self.change(files, [json.loads(line) for line in data.splitlines()])
            now = self.hub.commit(repository)
            return self.reply(
                {
                    "commitOid": now,
                    "commitUrl": f"{self.hub.url}/{page(repository)}/commit/{now}",
                }
            )
        if kind == "revision":
            siblings = [{"rfilename": name} for name in sorted(files)]
            private = repository in self.hub.private
            found = {"id": repository, "sha": commit, "private": private, "tags": [], "likes": 0}
            return self.reply({**found, "siblings": siblings, "downloads": 0, "disabled": False})
        if kind == "paths-info":
            asked = json.loads(data)["paths"] if data[:1] == b"{" else urllib.parse.parse_qs(
                data.decode()
            ).get("paths", [])  # fmt: skip
            return self.reply([entry for entry in tree(files) if entry["path"] in asked])
        inside = [e for e in tree(files) if e["path"].startswith(f"{folder}/" if folder else "")]
        if "recursive=true" not in self.path.lower():
            depth = folder.count("/") + 1 if folder else 0
            inside = [entry for entry in inside if entry["path"].count("/") == depth]
        return self.reply(inside) if inside or not folder else self.missing("EntryNotFound")

    def mode(self, wanted: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
        name = wanted["path"]
        large = is_large(name)
        oid = blob(files[name]) if name in files else None
        mode = "lfs" if large else "regular"
        return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def change(self, files: dict[str, bytes], operations: list[dict[str, Any]]) -> None:
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]

    def resolve(self, repository: str, kind: str, rest: str, data: bytes) -> None:
        revision, _, name = rest.partition("/")
        files, commit = self.hub.files[repository], self.hub.commit(repository)
        if revision not in ("main", commit):
            return self.missing("RevisionNotFound")
        if name not in files:
            return self.missing("EntryNotFound", {"X-Repo-Commit": commit})
        content, status = files[name], 200
        headers = {"ETag": f'"{blob(content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first = int(match[1])
            last = min(int(match[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self.reply(content, status, headers)

    def missing(self, code: str, headers: dict[str, str] | None = None) -> None:
        self.reply({"error": code}, 404, {"X-Error-Code": code, **(headers or {})})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def reply(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def page(repository: str) -> str:
    """Where a repository is shown."""
    kind, _, name = repository.partition("/")
    return {"models": name, "spaces": repository}.get(kind, f"datasets/{repository}")


def is_large(name: str) -> bool:
    """Whether a file is kept beside git."""
    return name.endswith((".parquet", ".safetensors"))


def pointer(data: bytes) -> dict[str, Any]:
    """What git has of a large file."""
    return {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}


def tree(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """All files and folders of a repository."""
    folders = {name[:place] for name in files for place in range(len(name)) if name[place] == "/"}
    return [
        *(
            {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
            for name in sorted(folders)
        ),
        *(
            {"type": "file", "path": name, "oid": blob(data), "size": len(data)}
            | ({"oid": "0" * 40, "lfs": pointer(data)} if is_large(name) else {})
            for name, data in sorted(files.items())
        ),
    ]
