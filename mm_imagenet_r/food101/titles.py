r"""The tables of titles of UPMC Food-101, with their known faults fixed.

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

from mm_imagenet_r.errors import UserError, summarize
from mm_imagenet_r.reading import TABLE, read_bytes

_NAME: Final = re.compile(
    r"(?P<stem>(?P<cls>[^/]+)_\d+)(?P<suffix>\.(?:jpe?g|png|txt))", re.IGNORECASE
)
_ESCAPED_BYTES: Final = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")


@dataclass(frozen=True, slots=True)
class Title:
    """One row of a table of titles."""

    file: str  # name of the image, ending in .jpg
    cls: str
    text: str  # cleaned

    @property
    def name(self) -> str:
        """The image's key."""
        return f"{self.cls}/{self.file}"


def read_titles(path: Path, numbers: Mapping[str, int]) -> tuple[list[Title], list[str]]:
    """Read a table of image, title and class; return its rows, and what was fixed.

    It is read line by line, as its quotation marks cannot be trusted. The first field that looks
    like the name of an image is that; the class is what precedes the number in it, as in the
    published code, and the rest is the title, without the class at the end where most lines have
    one. So a header, a leading column of row numbers and a missing last column do no harm.
    UserError if a line names no image of a known class, or an image has two titles.
    """
    try:
        # By "\n" alone: titles may hold other characters that Python takes for ends of lines.
        lines = read_bytes(path, TABLE).decode("utf-8-sig", errors="replace").split("\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): unpack UPMC Food-101 again"
        ) from error
    rows: list[_Row] = []
    wrong = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if (row := _parse(line, numbers)) is not None:
            rows.append(row)
        elif number > 1:  # the first may be a header
            wrong.append(f"line {number} ({line[:60].strip()})")
    has_classes = 2 * sum(row.ends_with_class for row in rows) > len(rows)
    titles: dict[str, Title] = {}
    repeated = []
    for row in rows:
        fields = row.rest[:-1] if has_classes and row.ends_with_class else row.rest
        title = Title(row.file, row.cls, clean_title(",".join(fields)))
        if titles.setdefault(title.file, title) != title:
            repeated.append(title.file)
    if wrong:
        raise UserError(
            f"{path} names no image of a known class in {summarize(wrong)}: write "
            "<class>_<number>.jpg,<title>,<class> there, or remove the line"
        )
    if repeated:
        raise UserError(f"{path} has two titles for {summarize(repeated)}: keep one of them")
    if not titles:
        raise UserError(f"{path} names no image: unpack UPMC Food-101 again")
    texts = [row.file for row in rows if row.named_text]
    fixed = [f"{len(texts)} named .txt for .jpg: {summarize(texts)}"] if texts else []
    return list(titles.values()), fixed


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
    >>> clean_title("Pie [recipe]"), clean_title('6" pie'), clean_title('"Foo" and "Bar"')
    ('Pie [recipe]', '6" pie', '"Foo" and "Bar"')
    """
    text = raw.strip()
    if text.startswith('"'):
        # Marks of CSV, unless there are others inside that CSV would have doubled.
        for inner in ([text[1:-1]] if text.endswith('"') else []) + [text[1:]]:
            if '"' not in inner.replace('""', ""):
                text = inner.replace('""', '"')
                break
    text = _ESCAPED_BYTES.sub(_decode, text)
    text = re.sub(r"\\[nrt]", " ", text)
    text = re.sub(r"\\(['\"\\])", r"\1", text)
    for _ in range(2):
        text = html.unescape(text)
    text = re.sub(r"^\s*\[+\s*[\"']", "", text)
    text = re.sub(r"[\"']\s*\]+\s*$", "", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@dataclass(frozen=True, slots=True)
class _Row:
    """A line that names an image: what follows the name, and what is known of it."""

    file: str
    cls: str
    rest: list[str]
    named_text: bool

    @property
    def ends_with_class(self) -> bool:
        last = self.rest[-1] if self.rest else ""
        return last.strip().strip('"').replace(" ", "_").lower() == self.cls


def _parse(line: str, numbers: Mapping[str, int]) -> _Row | None:
    fields = line.split(",")
    for place, field in enumerate(fields):
        match = _NAME.fullmatch(PurePosixPath(field.strip().strip('"')).name)
        if match and match["cls"] in numbers:
            named_text = match["suffix"].lower() == ".txt"
            file = f"{match['stem']}{'.jpg' if named_text else match['suffix']}"
            return _Row(file, match["cls"], fields[place + 1 :], named_text)
    return None


def _decode(match: re.Match[str]) -> str:
    data = bytes.fromhex(match[0].replace("\\x", ""))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="ignore")
