from __future__ import annotations

import errno
import hashlib
import http.client
import itertools
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standin import image_files, write_tar

from mm_imagenet_r import caches, classes, tar_index
from mm_imagenet_r import fetch as fetching
from mm_imagenet_r.download import main
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.fetch import fetch

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server:
    """Serves one file, badly: `faults` says for each request in turn what goes wrong."""

    def __init__(self) -> None:
        self.data = DATA
        self.faults: list[Any] = []
        self.asked: list[str | None] = []
        self.ranges = True
        self.says_range = ""  # what it says instead
        self.says_length: bool | str = True  # or what it says instead
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/imagenet-r.tar"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers["Range"]
        self.asked.append(wanted)
        fault = self.faults.pop(0) if self.faults else None
        if fault in (404, 500, 503):
            request.send_error(fault)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(self.data):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", self.says_range or f"bytes {start}-/*")
        if self.says_length is True:
            request.send_header("Content-Length", str(len(self.data) - start))
        elif self.says_length is not False:
            request.send_header("Content-Length", self.says_length)
        request.end_headers()
        end = len(self.data) if fault is None else start + int(fault)
        request.wfile.write(self.data[start:end])


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def get(server: Server, path: Path, **options: Any) -> None:
    fetch(server.url, path, sha256=SHA256, pause=0, **options)


def test_a_connection_that_breaks_is_resumed(server: Server, tmp_path: Path) -> None:
    server.faults = [100_000, 503, 50_000, 0, 0, 0, 1, None]
    seen: list[int] = []
    path = tmp_path / "new" / "file"
    get(server, path, size=len(DATA), progress=lambda done, total: seen.append(done))
    assert path.read_bytes() == DATA
    starts = [None, 100_000, 100_000, 150_000, 150_000, 150_000, 150_000, 150_001]
    assert server.asked == [s if s is None else f"bytes={s}-" for s in starts]
    assert seen == sorted(seen)
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_what_has_arrived_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.faults = [70_000, *[0] * 5]
    with pytest.raises(UserError, match=r"kept \(70,000 bytes\): give the same command again"):
        get(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    get(server, tmp_path / "file")
    assert server.asked[-1] == "bytes=70000-"
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_part_that_is_whole_already_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA)
    get(server, tmp_path / "file")  # the server answers 416
    assert (tmp_path / "file").read_bytes() == DATA
    (tmp_path / "known.part").write_bytes(DATA)
    asked = len(server.asked)
    get(server, tmp_path / "known", size=len(DATA))
    assert len(server.asked) == asked


def test_a_server_without_ranges_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.faults = False, [1234, None]
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_another_content_is_refused_and_not_kept(
    size: int | None, server: Server, tmp_path: Path
) -> None:
    server.data = b"x" + DATA[1:]
    with pytest.raises(UserError, match=r"its sha256 is .*Nothing was kept"):
        get(server, tmp_path / "file", size=size)
    server.data = DATA[1:]
    with pytest.raises(UserError, match="Nothing was kept"):
        get(server, tmp_path / "file", size=size)
    assert not list(tmp_path.iterdir())


PORTAL = b"<html>please log in</html>"


@pytest.mark.parametrize(
    ("data", "ranges", "says_range"),
    [
        (PORTAL, False, ""),
        (PORTAL, True, ""),  # 416
        (DATA[:-1] + b"!", True, ""),
        (DATA, True, "bytes 0-9/10"),
        (DATA, True, "bytes 70001-80000/*"),
        (DATA, True, "items 1-2"),
    ],
)
def test_what_was_there_is_kept_whatever_the_server_sends(
    data: bytes, ranges: bool, says_range: str, server: Server, tmp_path: Path
) -> None:
    part = tmp_path / "file.part"
    server.data, server.ranges, server.says_range = data, ranges, says_range
    founds = (DATA[:70_000], DATA + b"x", bytes(len(DATA)))
    for found, size, says_length in itertools.product(founds, (None, len(DATA)), (True, False)):
        part.write_bytes(found)
        server.says_length = says_length
        with pytest.raises(UserError, match="ive another address"):
            get(server, tmp_path / "file", size=size)
        assert part.read_bytes() == found


def test_a_server_that_never_comes_further_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ranges, server.faults = False, [20, 10] * 50
    with pytest.raises(UserError, match=r"kept \(20 bytes\): give the same command again"):
        get(server, tmp_path / "file")
    assert len(server.asked) == 1 + 4
    server.faults = []
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_more_than_the_known_size_is_not_received(server: Server, tmp_path: Path) -> None:
    server.data = DATA * 40
    with pytest.raises(UserError, match=r"offers 10,240,000 bytes, but the file has 256,000: give"):
        get(server, tmp_path / "file", size=len(DATA))
    with pytest.raises(UserError, match=r"offers 10,240,000 bytes, but the file has at most 300,0"):
        get(server, tmp_path / "file", most=300_000)
    assert (tmp_path / "file.part").stat().st_size == 0
    seen: list[int] = []
    server.says_length = False
    with pytest.raises(UserError, match=r"it has more than 256,000 bytes\. Nothing was kept"):
        get(server, tmp_path / "file", size=len(DATA), progress=lambda done, _: seen.append(done))
    assert seen[-1] == len(DATA) + 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", ["x", "-5", "", "9" * 5000])
def test_a_length_that_is_none_is_not_believed(length: str, server: Server, tmp_path: Path) -> None:
    server.says_length = length
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_nothing_is_written_through_a_link(server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "file.part").symlink_to(mine)
    with pytest.raises(UserError, match="a link or no file: remove it"):
        get(server, tmp_path / "file")
    assert mine.read_text() == "mine"


def test_servers_that_have_nothing(server: Server, tmp_path: Path) -> None:
    server.faults = [404]
    with pytest.raises(UserError, match=r"is not available \(404 Not Found\): check the address"):
        get(server, tmp_path / "file")
    server.faults = [500] * 5
    with pytest.raises(UserError, match="500 Internal Server Error, 5 attempts"):
        get(server, tmp_path / "file")
    with pytest.raises(UserError, match="Connection refused"):
        fetch("http://127.0.0.1:9/x", tmp_path / "file", pause=0)
    with pytest.raises(UserError, match="is not an address"):
        fetch("imagenet-r.tar", tmp_path / "file", pause=0)


def test_a_silent_server_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", 0.05)
    stop = threading.Event()
    monkeypatch.setattr(server, "answer", lambda request: stop.wait(20))
    with pytest.raises(UserError, match=r"no answer|timed out"):
        get(server, tmp_path / "file")
    stop.set()


@pytest.mark.parametrize("error", [ssl.SSLError("bad record"), OSError(errno.EHOSTUNREACH, "?")])
def test_whatever_breaks_in_the_network_is_tried_again(
    error: OSError, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, faults = http.client.HTTPResponse.read, [error, error]

    def failing(self: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        if faults:
            raise faults.pop()
        return read(self, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", failing)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(server.asked) == 3


def test_a_full_disk_is_not_the_networks_fault(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = open("/dev/full", "ab")  # noqa: PTH123, SIM115 (Path.open is replaced)
    monkeypatch.setattr(Path, "open", lambda path, mode: full)
    with pytest.raises(UserError, match="the disk is full"):
        get(server, tmp_path / "file")
    assert len(server.asked) == 1


def test_file_systems_without_locks_will_do(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: Any, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_places_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="choose another folder"):
        get(server, tmp_path / "file" / "inside")


def test_two_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    def second(done: int, total: int | None) -> None:
        with pytest.raises(UserError, match="another process is downloading"):
            get(server, tmp_path / "file")

    get(server, tmp_path / "file", progress=second)
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.fixture
def published(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str]], None]:
    monkeypatch.setattr(caches, "cache_folder", lambda: tmp_path / "cache")

    def publish(names: list[str]) -> None:
        tar = tmp_path / "published.tar"
        write_tar(tar, image_files(names, side=8))
        server.data = tar.read_bytes()
        monkeypatch.setattr(tar_index, "PUBLISHED_SIZE", len(server.data))
        monkeypatch.setattr(tar_index, "PUBLISHED_SHA256", hashlib.sha256(server.data).hexdigest())

    return publish


def test_the_command_fetches_once_and_says_what_is_there(
    server: Server,
    published: Callable[[list[str]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published([f"n01443537/art_{n}.jpg" for n in range(13)])
    command = [str(tmp_path / "data"), "--url", server.url]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert "13 images of 1 classes" in out
    assert "split seed42: 10 train, 3 test, sha256 " in out
    assert "complete" not in out
    assert "missing: all 207 images of n01484850 (great_white_shark), " in err
    asked = len(server.asked)
    monkeypatch.setattr(classes, "missing", lambda names: [])
    assert main(command) == 0
    assert "complete: every class has all of its images" in capsys.readouterr().out
    assert len(server.asked) == asked
    published(["cats/art_0.jpg"])
    (tmp_path / "data" / "imagenet-r.tar").write_bytes(server.data)
    assert main(command) == 2
    assert "is not ImageNet-R: cats is not a class" in capsys.readouterr().err
    assert main([*command, "--nonsense"]) == 2


def test_an_archive_that_another_program_cut_off_is_completed(
    server: Server,
    published: Callable[[list[str]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published([f"n01443537/art_{n}.jpg" for n in range(13)])
    monkeypatch.setattr(classes, "missing", lambda names: [])
    path = tmp_path / "data" / "imagenet-r.tar"
    path.parent.mkdir()
    command = [str(path.parent), "--url", server.url]
    for length in (5000, 0):
        path.write_bytes(server.data[:length])
        with pytest.raises(
            UserError, match=rf"interrupted, python -m mm_imagenet_r.* {path.parent} "
        ):
            tar_index.read(path)
        assert main(command) == 0, capsys.readouterr()
        assert server.asked[-1] == (f"bytes={length}-" if length else None)
        assert "is cut off at byte" in capsys.readouterr().out
        assert path.read_bytes() == server.data
    asked = len(server.asked)
    write_tar(path, image_files(["n01443537/art_0.jpg"], side=8))  # whole, but of its owner's
    own = path.read_bytes()
    assert main(command) == 0
    assert path.read_bytes() == own
    path.write_text("<html>")
    assert main(command) == 2
    assert "is neither a tar nor Parquet" in capsys.readouterr().err
    assert len(server.asked) == asked
    part = path.with_name("imagenet-r.tar.part")
    path.unlink()
    path.symlink_to(tmp_path / "cut.tar")
    (tmp_path / "cut.tar").write_bytes(server.data[:5000])
    assert main(command) == 2
    assert "is cut off, and it is a link: remove one" in capsys.readouterr().err
    path.unlink()
    for made in (path, part):
        made.write_bytes(server.data[:5000])
    assert main(command) == 2
    assert "imagenet-r.tar.part is there too: remove one of them" in capsys.readouterr().err
    assert path.read_bytes() == part.read_bytes() == server.data[:5000]
    assert len(server.asked) == asked
    page = path.parent / "other.tar"
    page.write_bytes(server.data[:5000])
    with pytest.raises(UserError, match=r"interrupted, name it imagenet-r\.tar, then python"):
        tar_index.read(page)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("absent")])
def test_what_is_no_file_in_place_of_the_archive_is_refused(
    make: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "imagenet-r.tar"
    make(path)
    assert main([str(tmp_path), "--url", "http://127.0.0.1:9/x"]) == 2
    assert f"{path} cannot be read (" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
