r"""The tables of titles of UPMC Food-101, with their known faults mended.

A quotation mark that is never closed swallows the following rows for readers of CSV, some rows name
`.txt` for `.jpg`, and titles hold HTML entities, literal `\xc3\xa2` and pieces of Python lists.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from mm_imagenet_r.errors import UserError, some

_NAME: Final = re.compile(
    r"(?P<stem>(?P<cls>[^/]+)_\d+)(?P<suffix>\.(?:jpe?g|png|txt))", re.IGNORECASE
)
_ESCAPED_BYTES: Final = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")


@dataclass(frozen=True, slots=True)
class Title:
    """One row of a table of titles.

    Attributes:
        file: Name of the image, ending in `.jpg`.
        cls: Its class.
        text: The title, cleaned.
    """

    file: str
    cls: str
    text: str


def read_titles(path: Path, numbers: Mapping[str, int]) -> tuple[list[Title], list[str]]:
    """Read a table of titles line by line, as its quotation marks cannot be trusted.

    In each line the first field that looks like the name of an image is that; the class is what
    precedes the number in it, as in the published code, and the rest is the title. So a header, a
    leading column of row numbers and a missing last column do no harm.

    Args:
        path: The file, with the columns image, title and class in this order.
        numbers: Known classes.

    Returns:
        The rows, and what was mended or left out.

    Raises:
        UserError: The file is absent, a line names no image of a known class, or an image has two
            titles.
    """
    try:
        # By "\n" alone: titles may hold other characters that Python takes for ends of lines.
        lines = path.read_bytes().decode("utf-8-sig", errors="replace").split("\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): unpack UPMC Food-101 again"
        ) from error
    titles: dict[str, Title] = {}
    texts_for_images, wrong, repeated = [], [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        title, named_text = _parse(line, numbers)
        if title is None:
            if number > 1:  # the first may be a header
                wrong.append(f"line {number} ({line[:60].strip()})")
            continue
        if named_text:
            texts_for_images.append(title.file)
        if titles.setdefault(title.file, title) != title:
            repeated.append(title.file)
    if wrong:
        raise UserError(
            f"{path} names no image of a known class in {some(wrong)}: write "
            "<class>_<number>.jpg,<title>,<class> there, or remove the line"
        )
    if repeated:
        raise UserError(f"{path} has two titles for {some(repeated)}: keep one of them")
    if not titles:
        raise UserError(f"{path} names no image: unpack UPMC Food-101 again")
    mended = []
    if texts_for_images:
        mended.append(f"{len(texts_for_images)} named .txt for .jpg: {some(texts_for_images)}")
    return list(titles.values()), mended


def clean_title(raw: str) -> str:
    r"""Return a title as a reader would see it on the page.

    Escaped bytes become characters, HTML entities too (also those escaped twice); the quotation
    marks of CSV and the brackets of a printed Python list go; white space becomes one blank.

    >>> clean_title('"[[""Apple  Pie - Allrecipes.com""]]"')
    'Apple Pie - Allrecipes.com'
    >>> clean_title(r"Cr\xc3\xa8me &amp;agrave; la Land O&#39;Lakes -']")
    "Crème à la Land O'Lakes -"
    >>> clean_title('"Never closed &raquo; pie')
    'Never closed » pie'
    >>> clean_title("Pie [recipe]"), clean_title('6" pie')
    ('Pie [recipe]', '6" pie')
    """
    text = raw.strip()
    if text.startswith('"'):
        closed = len(text) > 1 and text.endswith('"')
        text = (text[1:-1] if closed else text[1:]).replace('""', '"')
    text = _ESCAPED_BYTES.sub(_decode, text)
    text = re.sub(r"\\[nrt]", " ", text)
    text = re.sub(r"\\(['\"\\])", r"\1", text)
    for _ in range(2):
        text = html.unescape(text)
    text = re.sub(r"^\s*\[+\s*[\"']", "", text)
    text = re.sub(r"[\"']\s*\]+\s*$", "", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _parse(line: str, numbers: Mapping[str, int]) -> tuple[Title | None, bool]:
    """The row in a line, if there is one, and whether it named a text for the image."""
    fields = line.split(",")
    for place, field in enumerate(fields):
        match = _NAME.fullmatch(PurePosixPath(field.strip().strip('"')).name)
        if match and match["cls"] in numbers:
            rest = fields[place + 1 :]
            if rest and rest[-1].strip().strip('"').replace(" ", "_").lower() in numbers:
                rest = rest[:-1]  # the class once more
            named_text = match["suffix"].lower() == ".txt"
            file = f"{match['stem']}{'.jpg' if named_text else match['suffix']}"
            return Title(file, match["cls"], clean_title(",".join(rest))), named_text
    return None, False


def _decode(match: re.Match[str]) -> str:
    data = bytes.fromhex(match[0].replace("\\x", ""))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="ignore")
