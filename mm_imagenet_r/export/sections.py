"""The text of a card: the parts of its template that apply, and what the files themselves say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.captions.leakage import GRADES

if TYPE_CHECKING:
    from mm_imagenet_r.export.card import Exported

_PART: Final = re.compile(r"<!-- begin (\S+) -->\n(.*?)<!-- end \1 -->\n", re.DOTALL)
#: Of the record of a configuration, what is said elsewhere.
_NO_FACTS: Final = {"description", "sha256"}

_EXAMPLE: Final = """
```python
from datasets import load_dataset

ds = load_dataset("<this folder or its id on the Hub>", "{name}")
```

"""
_GRADES: Final = """
### What captions reveal

Share of the captions that name the class of their image: by its label, by another name of its
WordNet synset ("polar bear" for ice bear), or by a head noun alone ("bear"). Then the accuracy of a
classifier that reads only captions (TF-IDF and logistic regression, trained on `train` and tested
on `test`), also with label and other names replaced by "object".

"""


def parts_of(configs: Sequence[Exported]) -> set[str]:
    """Return the names of the parts of the template that apply to some configurations."""
    parts = {config.origin.part for config in configs}
    makers = " ".join(f"{config.name} {config.record.get('model', '')}" for config in configs)
    return parts | ({"instructblip"} if "instructblip" in makers.lower() else set())


def choose(template: str, parts: Collection[str]) -> str:
    r"""Keep those parts of a text that apply, and what is in no part.

    >>> choose("A\n<!-- begin b -->\nB\n<!-- end b -->\nC", {"b"})
    'A\nB\nC'
    >>> choose("A\n<!-- begin b -->\nB\n<!-- end b -->\nC", {})
    'A\nC'
    """
    kept = _PART.sub(lambda match: match[2] if match[1] in parts else "", template)
    return re.sub(r"\n{3,}", "\n\n", kept)


def computed(configs: Sequence[Exported], default: str) -> str:
    """Return what a card says of its configurations: table, example, making, leakage."""
    return (
        _table(configs)
        + _EXAMPLE.format(name=default)
        + "".join(map(_making, configs))
        + _leakage(configs)
        + "\n"
    )


def escape(text: str) -> str:
    r"""Write any text so that a cell of a table shows it literally.

    >>> print(escape("a|b\n*c* <!-- end -->"))
    a\|b<br>\*c\* \<!-- end --\>
    """
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return "<br>".join(re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", line) for line in lines)


def _table(configs: Sequence[Exported]) -> str:
    rows = []
    for config in configs:
        counts = ", ".join(f"{count:,} {split}" for split, count in config.rows.items())
        made = escape(" ".join(_without_facts(config).split()))
        rows.append([f"`{config.name}`", counts, f"{config.download_size / 1e6:,.1f} MB", made])
    return "\n" + _rows(["configuration", "rows", "files", "made from"], rows)


def _without_facts(config: Exported) -> str:
    """The description without the facts that have a table of their own."""
    said = str(config.record.get("description", ""))
    for key, value in _facts(config).items():
        said = said.replace(f" {key} {value};", "").replace(f" {key} {value}.", "")
    return said


def _facts(config: Exported) -> dict[str, str]:
    return {k: str(v) for k, v in config.record.items() if k not in _NO_FACTS}


def _making(config: Exported) -> str:
    """All that is known of how a configuration was made, except its name."""
    facts = {key: value for key, value in _facts(config).items() if value != config.name}
    if not facts:
        return ""
    rows = [["`" + re.sub(r"\W+", " ", key) + "`", escape(value)] for key, value in facts.items()]
    return f"### How `{config.name}` was made\n\n" + _rows(["", ""], rows) + "\n"


def _leakage(configs: Sequence[Exported]) -> str:
    rows = [
        [f"`{config.name}`", *_figures(config.figures)]
        for config in configs
        if config.figures.get("captions")
    ]
    if not rows:
        return ""
    head = ["configuration", "label", "other name", "head noun", "another class"]
    head += ["text alone", "names replaced", "most frequent class"]
    return _GRADES.lstrip("\n") + _rows(head, rows)


def _figures(figures: Any) -> list[str]:
    named, text = figures["named_by"], figures["text_only_accuracy"]
    keys = ("raw", "masked", "most_frequent_class")
    shares = [*(named[grade] for grade in GRADES), figures["another_class_named"]]
    accuracy = ["not measured"] * 3 if text is None else [_percent(text[key]) for key in keys]
    return [*map(_percent, shares), *accuracy]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
