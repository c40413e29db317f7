"""What a caption set is like: lengths, faults, and how far its captions give the class away."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mm_imagenet_r.captions.audit.text_only import TextOnly, text_only
from mm_imagenet_r.captions.files import Captions
from mm_imagenet_r.captions.flags import FLAGS, flags, words
from mm_imagenet_r.captions.leakage import GRADES, grade_of, imagenet_r, lexicon_of, named
from mm_imagenet_r.classes import style
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.splits import TEST_FRACTION, Split, stratified_cut

_EXAMPLES: Final = 12


@dataclass(frozen=True, slots=True)
class Group:
    """Captions that are counted together, such as those of a class or a rendition.

    Attributes:
        count: How many there are.
        grades: How many name their class, by the most telling grade.
    """

    count: int
    grades: dict[str, int]

    @property
    def share(self) -> float:
        """Share of captions that name their class by its label or a lemma, 0 to 1."""
        return (self.grades["label"] + self.grades["lemma"]) / self.count


@dataclass(frozen=True, slots=True)
class Audit:
    """The findings.

    Attributes:
        captions: What was looked at.
        words: Words of each caption, in order of the names.
        flags: Names of the images by flag; every flag is there.
        openers: The most frequent first three words, with counts.
        duplicates: Captions that several images have, with counts, the most frequent first.
        duplicated: How many captions another image has as well.
        overall: All captions.
        by_style: By rendition, as in the file names; empty if those tell none.
        by_class: By class identifier.
        by_part: The training and the test part.
        split: What these parts are.
        others: How many captions name a class that is not theirs, by label or lemma.
        rule: Accuracy of taking the first class that a caption names; 0 to 1.
        text_only: Accuracy of a classifier that reads captions alone; None if it could not run.
        grades: Grade by file name.
    """

    captions: Captions
    words: list[int]
    flags: dict[str, list[str]]
    openers: list[tuple[str, int]]
    duplicates: list[tuple[str, int]]
    duplicated: int
    overall: Group
    by_style: dict[str, Group]
    by_class: dict[str, Group]
    by_part: dict[str, Group]
    split: Split
    others: int
    rule: float
    text_only: TextOnly | None
    grades: dict[str, str]

    @property
    def flagged(self) -> int:
        """How many captions have any flag."""
        return len({name for names in self.flags.values() for name in names})

    def quantile(self, share: float) -> int:
        """Words of the caption at a share of all of them, in order of length."""
        return sorted(self.words)[min(int(share * len(self.words)), len(self.words) - 1)]

    @property
    def mean_words(self) -> float:
        """Mean number of words."""
        return statistics.fmean(self.words)


def audit(
    captions: Captions, split: Split | None = None, readable: Mapping[str, str] | None = None
) -> Audit:
    """Look at a caption set.

    Args:
        captions: Of images whose names begin with their class, `<class>/<file>`.
        split: Which images are for training and which for testing, captioned or not; by default a
            fifth of each class is for testing, as in the split `seeded`.
        readable: Names of classes that ImageNet-R does not have, by identifier.

    Raises:
        UserError: There are no captions, or their names tell no class.
    """
    names = sorted(captions.by_name)
    if not names:
        raise UserError("the caption set has no captions: there is nothing to look at")
    if lone := [name for name in names if "/" not in name]:
        raise UserError(
            f"{lone[0]} tells no class: an audit needs names like <class>/<file> in the column "
            "file_name"
        )
    texts = [captions.by_name[name] for name in names]
    classes = [name.split("/")[-2] for name in names]
    prompt = str(captions.info.get("prompt", ""))

    found: dict[str, list[str]] = {flag: [] for flag in FLAGS}
    for name, text in zip(names, texts, strict=True):
        for flag in flags(text, "length" if name in captions.cut else "stop", prompt):
            found[flag].append(name)

    wnids = {*classes, *imagenet_r()} if _is_imagenet_r(classes) else classes
    lexicon = lexicon_of(wnids, readable)
    mentions = [list(lexicon.mentions(text)) for text in texts]
    grades = [grade_of(some, its) for some, its in zip(mentions, classes, strict=True)]
    called = [named(some) for some in mentions]
    split = split or _seeded(classes, names)
    tested = set(split.test)
    held_out = [name in tested for name in names]
    repeated = Counter(text for text in texts if text)
    duplicates = [(text, count) for text, count in repeated.most_common() if count > 1]
    styles = [style(name) for name in names]
    return Audit(
        captions=captions,
        words=[len(words(text)) for text in texts],
        flags=found,
        openers=Counter(" ".join(words(text)[:3]) for text in texts if text).most_common(10),
        duplicates=duplicates,
        duplicated=sum(count for _, count in duplicates),
        overall=_group(grades),
        by_style=_groups(styles, grades) if all(styles) else {},
        by_class=_groups(classes, grades),
        by_part=_groups(["test" if out else "train" for out in held_out], grades),
        split=split,
        others=sum(any(c != its for c in some) for some, its in zip(called, classes, strict=True)),
        rule=statistics.fmean(some[:1] == [its] for some, its in zip(called, classes, strict=True)),
        text_only=text_only(texts, classes, held_out, lexicon),
        grades=dict(zip(names, grades, strict=True)),
    )


def figures(audit: Audit) -> dict[str, Any]:
    """Return the findings as numbers for JSON; shares are of all captions, 0 to 1."""
    count, grades, text = audit.overall.count, audit.overall.grades, audit.text_only
    return {
        "captions": count,
        "test_captions": audit.by_part["test"].count if "test" in audit.by_part else 0,
        "mean_words": round(audit.mean_words, 1),
        "named_by": {grade: round(grades[grade] / count, 4) for grade in GRADES},
        "another_class_named": round(audit.others / count, 4),
        "first_named_class_is_right": round(audit.rule, 4),
        "text_only_accuracy": None
        if text is None
        else {
            "raw": round(text.raw, 4),
            "masked": round(text.masked, 4),
            "most_frequent_class": round(text.majority, 4),
        },
        "duplicated": round(audit.duplicated / count, 4),
        "flags": {flag: len(names) for flag, names in audit.flags.items()},
    }


def examples(audit: Audit) -> list[str]:
    """Choose some images for show, of each grade in turn, the same ones every time."""
    by_grade: dict[str, list[str]] = {grade: [] for grade in ("", *GRADES)}
    for name in sorted(audit.grades, key=lambda name: hashlib.sha256(name.encode()).digest()):
        by_grade[audit.grades[name]].append(name)
    chosen: list[str] = []
    while len(chosen) < _EXAMPLES and any(by_grade.values()):
        chosen += [names.pop(0) for names in by_grade.values() if names]
    return chosen[:_EXAMPLES]


def _seeded(classes: Sequence[str], names: Sequence[str]) -> Split:
    held_out = dict(zip(names, stratified_cut(classes, names, TEST_FRACTION, seed=0), strict=True))
    train = tuple(name for name in names if not held_out[name])
    return Split("seeded", train, tuple(name for name in names if held_out[name]))


def _is_imagenet_r(classes: Sequence[str]) -> bool:
    return any(wnid in imagenet_r() for wnid in classes)


def _group(grades: Sequence[str]) -> Group:
    count = Counter(grades)
    return Group(len(grades), {grade: count[grade] for grade in GRADES})


def _groups(keys: Sequence[str], grades: Sequence[str]) -> dict[str, Group]:
    members: dict[str, list[str]] = {}
    for key, grade in zip(keys, grades, strict=True):
        members.setdefault(key, []).append(grade)
    return {key: _group(some) for key, some in sorted(members.items())}
