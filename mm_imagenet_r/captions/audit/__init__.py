"""The findings on a caption set: lengths, faults, and how far captions give the class away."""

from __future__ import annotations

import hashlib
import itertools
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
    """Captions counted together, such as those of a class or a rendition."""

    count: int
    grades: dict[str, int]  # how many name their class, by the most specific grade

    @property
    def share(self) -> float:
        """Share of captions that name their class by its label or a lemma, 0 to 1."""
        return (self.grades["label"] + self.grades["lemma"]) / self.count


@dataclass(frozen=True, slots=True)
class Audit:
    """The findings."""

    captions: Captions
    words: list[int]  # of each caption, in order of the names
    flags: dict[str, list[str]]  # names of the images by flag; every flag is there
    openers: list[tuple[str, int]]  # the most frequent first three words, with counts
    duplicates: list[tuple[str, int]]  # captions of several images, the most frequent first
    duplicated: int  # captions that another image has as well
    overall: Group
    by_style: dict[str, Group]  # by rendition; empty if the file names do not contain it
    by_class: dict[str, Group]
    by_part: dict[str, Group]  # the training and the test part, as in `split`
    split: Split
    others: int  # captions that name a class that is not theirs, by label or lemma
    rule: float  # accuracy, 0 to 1, of predicting the first class that a caption names
    text_only: TextOnly | None  # None if the classifier could not run
    grades: dict[str, str]  # by file name

    @property
    def flagged(self) -> int:
        """How many captions have any flag."""
        return len({name for names in self.flags.values() for name in names})

    def quantile(self, share: float) -> int:
        """Number of words below which this share of the captions lies."""
        return sorted(self.words)[min(int(share * len(self.words)), len(self.words) - 1)]

    @property
    def mean_words(self) -> float:
        """Mean number of words."""
        return statistics.fmean(self.words)


def audit(
    captions: Captions, split: Split | None = None, readable: Mapping[str, str] | None = None
) -> Audit:
    """Audit captions of images whose names begin with their class, `<class>/<file>`.

    By default a fifth of each class is for testing, as in the split `seeded`. Classes that are not
    ImageNet-R's may have `readable` names, by identifier.

    Raises:
        UserError: There are no captions, or their names do not contain the class.
    """
    names = sorted(captions.by_name)
    if not names:
        raise UserError("the caption set has no captions: there is nothing to audit")
    if lone := next((name for name in names if "/" not in name), None):
        raise UserError(
            f"{lone} does not contain its class: an audit needs names like <class>/<file> in the "
            "column file_name"
        )
    texts = [captions.by_name[name] for name in names]
    classes = [name.split("/")[-2] for name in names]
    prompt = str(captions.info.get("prompt", ""))

    found: dict[str, list[str]] = {flag: [] for flag in FLAGS}
    for name, text in zip(names, texts, strict=True):
        for flag in flags(text, "length" if name in captions.cut else "stop", prompt):
            found[flag].append(name)

    is_imagenet_r = any(wnid in imagenet_r() for wnid in classes)
    lexicon = lexicon_of({*classes, *imagenet_r()} if is_imagenet_r else classes, readable)
    mentions = [list(lexicon.mentions(text)) for text in texts]
    grades = [grade_of(some, its) for some, its in zip(mentions, classes, strict=True)]
    called = list(zip(map(named, mentions), classes, strict=True))
    if split is None:
        cut = dict(zip(names, stratified_cut(classes, names, TEST_FRACTION, seed=0), strict=True))
        test = tuple(name for name in names if cut[name])
        split = Split("seeded", tuple(name for name in names if not cut[name]), test)
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
        overall=_groups([""] * len(grades), grades)[""],
        by_style=_groups(styles, grades) if all(styles) else {},
        by_class=_groups(classes, grades),
        by_part=_groups(["test" if out else "train" for out in held_out], grades),
        split=split,
        others=sum(any(wnid != its for wnid in some) for some, its in called),
        rule=statistics.fmean(some[:1] == [its] for some, its in called),
        text_only=text_only(texts, classes, held_out, lexicon),
        grades=dict(zip(names, grades, strict=True)),
    )


def figures(audit: Audit) -> dict[str, Any]:
    """Return the findings as numbers for JSON; shares are of all captions, 0 to 1."""
    count, grades, text = audit.overall.count, audit.overall.grades, audit.text_only

    def share(value: float) -> float:
        return round(value, 4)

    return {
        "captions": count,
        "test_captions": audit.by_part["test"].count if "test" in audit.by_part else 0,
        "mean_words": round(audit.mean_words, 1),
        "named_by": {grade: share(grades[grade] / count) for grade in GRADES},
        "another_class_named": share(audit.others / count),
        "first_named_class_is_right": share(audit.rule),
        "text_only_accuracy": text
        and {
            "raw": share(text.raw),
            "masked": share(text.masked),
            "most_frequent_class": share(text.majority),
        },
        "duplicated": share(audit.duplicated / count),
        "flags": {flag: len(names) for flag, names in audit.flags.items()},
    }


def examples(audit: Audit) -> list[str]:
    """Choose some images to show, from each grade in turn, the same ones every time."""
    by_grade: dict[str, list[str]] = {grade: [] for grade in ("", *GRADES)}
    for name in sorted(audit.grades, key=lambda name: hashlib.sha256(name.encode()).digest()):
        by_grade[audit.grades[name]].append(name)
    turns = itertools.zip_longest(*by_grade.values())
    return [name for turn in turns for name in turn if name][:_EXAMPLES]


def _groups(keys: Sequence[str], grades: Sequence[str]) -> dict[str, Group]:
    counts: dict[str, Counter[str]] = {key: Counter() for key in sorted(set(keys))}
    for key, grade in zip(keys, grades, strict=True):
        counts[key][grade] += 1
    return {
        key: Group(count.total(), {grade: count[grade] for grade in GRADES})
        for key, count in counts.items()
    }
