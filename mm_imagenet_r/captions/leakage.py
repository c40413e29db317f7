"""Where captions name the class of their image, and captions without these names.

The captioner never sees the label, so a caption that names the class is honest input; but it turns
recognition into reading: how often must be known before two caption sets are compared.
"""

from __future__ import annotations

import csv
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

#: From the most to the least specific: the name that ImageNet gives the class; another name of the
#: same synset, or that of ImageNet-R's folder; the last word of a name, which classes may share.
GRADES: Final = ("label", "lemma", "head")

#: Replaces a masked name.
MASK: Final = "object"

_TOKEN: Final = re.compile(r"[^\W_]+")
#: What may be between the words of a name; a dot ends a sentence, unless it follows "St".
_GAP: Final = re.compile(r"(?!\n\n)[\s\-'\u2019]{1,2}")
_DOT: Final = re.compile(r"\.[\s\-]?")
_ABBREVIATIONS: Final = {"st"}
_IRREGULAR: Final = {"fish": ["fishes"], "foot": ["feet"], "goose": ["geese"], "mouse": ["mice"]}


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a class by their grades."""

    label: str
    lemmas: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in a caption, from character `start` to before `end`, that names a class."""

    start: int
    end: int
    grades: dict[str, str]  # by class identifier: several classes may share a name


class Lexicon:
    """Finds class names in captions: whole words, also plural, hyphenated or joined.

    Of overlapping names, the longest counts: `sea lion` does not name a lion.
    """

    def __init__(self, names: Mapping[str, Names]) -> None:
        """Take the names by class identifier."""
        self._grades: dict[tuple[str, ...], dict[str, str]] = {}
        for wnid, its in names.items():
            for grade, some in zip(GRADES, ((its.label,), its.lemmas, its.heads), strict=True):
                for form in (form for name in some for form in forms(name)):
                    self._grades.setdefault(form, {}).setdefault(wnid, grade)
        self._longest = max(map(len, self._grades), default=0)

    def mentions(self, caption: str) -> Iterator[Mention]:
        """Yield the places that name any class, from left to right."""
        tokens = [(m.start(), m.end(), m.group().lower()) for m in _TOKEN.finditer(caption)]
        place = 0
        while place < len(tokens):
            for length in range(min(self._longest, len(tokens) - place), 0, -1):
                some = tokens[place : place + length]
                grades = self._grades.get(tuple(word for _, _, word in some))
                if grades is not None and _adjacent(caption, some):
                    yield Mention(some[0][0], some[-1][1], grades)
                    place += length
                    break
            else:
                place += 1

    def mask(self, caption: str, wnid: str) -> str:
        """Replace the label and lemmas of the caption's own class by "object".

        Head nouns stay: classes share them, and some captions would lose most of their content.
        """
        parts, end = [], 0
        for mention in self.mentions(caption):
            if mention.grades.get(wnid, "head") != "head":
                before = caption[end : mention.start]
                parts += [re.sub(r"\b([Aa])(\s+)$", r"\1n\2", before), MASK]
                end = mention.end
        return "".join([*parts, caption[end:]])


def grade_of(mentions: Iterable[Mention], wnid: str) -> str:
    """Return the most specific grade in which a class is named, "" if it is not."""
    found = {mention.grades.get(wnid) for mention in mentions}
    return next((grade for grade in GRADES if grade in found), "")


def named(mentions: Iterable[Mention]) -> list[str]:
    """Return the classes that are named by label or lemma, in order, each once.

    If several classes share a name, the first class counts.
    """
    found = (
        min((wnid for wnid, grade in mention.grades.items() if grade != "head"), default=None)
        for mention in mentions
    )
    return list(dict.fromkeys(wnid for wnid in found if wnid is not None))


def forms(name: str) -> set[tuple[str, ...]]:
    """Return the words of a name as they may occur: singular and plural, apart and as one word.

    >>> sorted(forms("Timber wolf"))
    [('timber', 'wolf'), ('timber', 'wolfs'), ('timber', 'wolves'), ('timberwolf',),
     ('timberwolfs',), ('timberwolves',)]
    """
    *first, last = _TOKEN.findall(name.lower())
    ends = [last, *_IRREGULAR.get(last, [])]
    if re.search(r"(s|x|z|ch|sh)$", last):
        ends.append(last + "es")
    elif re.search(r"[^aeiou]y$", last):
        ends.append(last[:-1] + "ies")
    elif last.endswith("man"):
        ends.append(last[:-3] + "men")
    else:
        ends.append(last + "s")
        if last.endswith("o"):
            ends.append(last + "es")
        if last.endswith(("f", "fe")):
            ends.append(re.sub("fe?$", "ves", last))
    apart = {(*first, end) for end in ends}
    return apart | {("".join(words),) for words in apart}


@functools.cache
def imagenet_r() -> dict[str, Names]:
    """Return the names of the 200 classes of ImageNet-R by `wnid`.

    >>> imagenet_r()["n02134084"].label, imagenet_r()["n02134084"].lemmas[0]
    ('ice bear', 'polar bear')
    """
    text = (resources.files(__package__) / "lemmas.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))

    def split(names: str) -> tuple[str, ...]:
        return tuple(filter(None, names.split(";")))

    return {
        row["wnid"]: Names(row["label"], split(row["lemmas"]), split(row["heads"])) for row in rows
    }


def lexicon_of(wnids: Iterable[str], readable: Mapping[str, str] | None = None) -> Lexicon:
    """Return a lexicon for classes by their identifiers.

    Those that are not ImageNet-R's have a `readable` name, or their identifier with spaces.

    >>> grade_of(lexicon_of(["apple_pie"]).mentions("Two apple pies."), "apple_pie")
    'label'
    """
    known, given = imagenet_r(), readable or {}
    return Lexicon(
        {wnid: known.get(wnid) or Names(given.get(wnid, wnid).replace("_", " ")) for wnid in wnids}
    )


def mask(caption: str, wnid: str) -> str:
    """Replace the names of a caption's own class by "object".

    >>> mask("A polar bear, its cubs and a lion.", "n02134084")
    'An object, its cubs and a lion.'
    """
    return lexicon_around(wnid).mask(caption, wnid)


def lexicon_around(wnid: str) -> Lexicon:
    """Return the lexicon in which to look for one class.

    For a class of ImageNet-R it has all of them, as a longer name of another one takes precedence.
    """
    return _imagenet_r_lexicon() if wnid in imagenet_r() else lexicon_of([wnid])


@functools.cache
def _imagenet_r_lexicon() -> Lexicon:
    return Lexicon(imagenet_r())


def _adjacent(caption: str, tokens: Sequence[tuple[int, int, str]]) -> bool:
    """Whether nothing but a space, a hyphen or the like is between the words."""
    gaps = (
        (word, caption[end:start]) for (_, end, word), (start, *_) in itertools.pairwise(tokens)
    )
    return all(
        _GAP.fullmatch(gap) or (word in _ABBREVIATIONS and _DOT.fullmatch(gap))
        for word, gap in gaps
    )
