"""A stand-in for ImageNet-R's archive: its layout and true names, with small made-up images."""

from __future__ import annotations

import io
import itertools
import random
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image

#: Length of the colour profile that two of the images carry.
PROFILE = 1_800_000


def first_of_each_class(names: Iterable[str], count: int) -> list[str]:
    """The first names of each class."""
    groups = itertools.groupby(sorted(names), lambda name: name.partition("/")[0])
    return [name for _, group in groups for name in itertools.islice(group, count)]


def image_files(names: Iterable[str], side: int = 48) -> Iterator[tuple[str, bytes]]:
    """A JPEG for each name, no two alike: the name is in a comment of the file.

    2 % are grayscale, 2 % CMYK, and the first two have a colour profile of 1.8 MB.
    """
    rng = random.Random(0)
    pools = {mode: [_jpeg(mode, side, rng) for _ in range(60)] for mode in ("RGB", "L", "CMYK")}
    heavy = [_jpeg("CMYK", side, rng, bytes(PROFILE)) for _ in range(2)]
    for number, name in enumerate(names):
        mode = {0: "L", 1: "CMYK"}.get(number % 50, "RGB")
        plain = heavy[number] if number < 2 else pools[mode][rng.randrange(60)]
        text = name.encode()
        comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
        yield name, plain[:2] + comment + plain[2:]


def _jpeg(mode: str, side: int, rng: random.Random, profile: bytes | None = None) -> bytes:
    small = Image.frombytes(
        mode, (4, 4), rng.randbytes(16 * len(Image.new(mode, (1, 1)).getbands()))
    )
    buffer = io.BytesIO()
    image = small.resize((side, side + rng.randrange(side // 2)), Image.Resampling.BILINEAR)
    image.save(buffer, "JPEG", quality=80, icc_profile=profile)
    return buffer.getvalue()


def bomb(small: bytes) -> bytes:
    """The same JPEG, with a header that speaks of 65,500 x 65,500 pixels."""
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + (65_500).to_bytes(2, "big") * 2 + small[at + 4 :]


def write_tar(path: Path, files: Iterable[tuple[str, bytes]], root: str = "imagenet-r/") -> None:
    """Write a tar in the real layout: a README, a member for each folder, the images."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        folders = set()
        _add(tar, f"{root}README.txt", b"a stand-in\n")
        for name, data in files:
            folder = root + name.partition("/")[0]
            if folder not in folders:
                folders.add(folder)
                member = tarfile.TarInfo(folder)
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            _add(tar, root + name, data)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_folder(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write the same as files."""
    for name, data in files:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def write_captions(path: Path, captions: Mapping[str, str]) -> None:
    """Write a captions file as somebody else would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["file_name,caption", *(f'{name},"{text}"' for name, text in captions.items())]
    path.write_text("\n".join(lines) + "\n")


def plain_captions(names: Iterable[str]) -> dict[str, str]:
    """A caption for each name that says which it is."""
    return {name: f"a picture called {name.replace('/', ' ')}" for name in names}
