"""UPMC Food-101: photographs of food with the titles of the web pages they were found on.

Read as it is published (Wang et al., ICMEW 2015, doi 10.1109/ICMEW.2015.7169757; no license is
stated); the known faults of its tables are fixed, see `titles.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mm_imagenet_r.errors import UserError, pluralize, summarize
from mm_imagenet_r.folders import expanded, walk
from mm_imagenet_r.food101.titles import Title, read_titles
from mm_imagenet_r.hashes import file_state, json_sha256
from mm_imagenet_r.reading import IMAGE, TABLE, parse_json, read_bytes, read_text
from mm_imagenet_r.source import FileSource, row
from mm_imagenet_r.splits import list_sha256

#: The classes as published: the number of a class is its place here, which is not alphabetical.
CLASSES: Final = (
    "frozen_yogurt tacos gnocchi ramen sushi spaghetti_carbonara foie_gras club_sandwich "
    "chicken_curry caprese_salad guacamole fish_and_chips seaweed_salad samosa shrimp_and_grits "
    "prime_rib cheese_plate grilled_cheese_sandwich omelette macarons pancakes paella crab_cakes "
    "onion_rings poutine panna_cotta hamburger eggs_benedict pizza cup_cakes red_velvet_cake "
    "huevos_rancheros french_toast pad_thai beef_tartare beet_salad garlic_bread escargots "
    "cheesecake tuna_tartare french_fries pulled_pork_sandwich ravioli clam_chowder "
    "baby_back_ribs pork_chop chicken_quesadilla grilled_salmon dumplings fried_rice "
    "macaroni_and_cheese hot_and_sour_soup tiramisu lobster_roll_sandwich filet_mignon "
    "lobster_bisque risotto takoyaki waffles miso_soup scallops hummus french_onion_soup "
    "spaghetti_bolognese gyoza sashimi caesar_salad donuts pho creme_brulee edamame apple_pie "
    "carrot_cake croque_madame chocolate_cake mussels chocolate_mousse deviled_eggs ice_cream "
    "chicken_wings steak churros beignets breakfast_burrito spring_rolls lasagna cannoli nachos "
    "bruschetta hot_dog greek_salad beef_carpaccio falafel strawberry_shortcake bread_pudding "
    "ceviche peking_duck bibimbap oysters fried_calamari baklava"
)

#: To be raised when the same files are to give other rows: cached copies are then void.
_RULES: Final = 2


@dataclass(frozen=True, slots=True)
class Food101(FileSource):
    """An unpacked copy of the data set."""

    numbers: Mapping[str, int]  # number of each class
    titles: Mapping[str, Sequence[Title]]  # rows of `train` and `test` whose images are there
    states: Mapping[str, Mapping[str, tuple[int, int]]]  # `file_state` by split and file_name
    notes: Sequence[str]  # what was fixed, and where the published lists differ
    absent: Sequence[str]  # images that the tables name and that are absent or empty

    def description(self) -> str:  # noqa: D102 - these are Source's
        left_out = [f"Absent or empty: {summarize(self.absent)}."] if self.absent else []
        return " ".join(["UPMC Food-101: images with titles of web pages.", *self.notes, *left_out])

    def provenance(self) -> dict[str, str]:  # noqa: D102
        return {
            "captions": "titles of web pages",
            "split": "published",
            "split_sha256": list_sha256(title.name for title in self.titles["test"]),
        }

    def classes(self) -> dict[str, str]:  # noqa: D102
        ordered = sorted(self.numbers, key=self.numbers.__getitem__)
        return {cls: cls.replace("_", " ") for cls in ordered}

    def listed(self, split: str, labels: Collection[int]) -> Iterator[dict[str, Any]]:  # noqa: D102
        for title in sorted(self.titles[split], key=lambda t: (self.numbers[t.cls], t.file)):
            if (label := self.numbers[title.cls]) in labels:
                yield row(title.name, label, title.text, title.cls.replace("_", " "))

    def read(self, split: str, file_name: str) -> bytes:  # noqa: D102
        path = self.place / "images" / split / file_name
        try:
            return read_bytes(path, IMAGE)
        except OSError as error:
            raise UserError(
                f"{path} could not be read ({error.strerror or error}): was it moved or changed? "
                "Put it back and give the same command again"
            ) from error

    def num_absent(self) -> int:  # noqa: D102
        return len(self.absent)

    def identity(self) -> str:
        """Hash the cleaned tables, the class numbers, and names and states of the images."""
        rows = {
            split: [(t.file, t.cls, t.text, self.states[split][t.name]) for t in found]
            for split, found in self.titles.items()
        }
        return json_sha256([_RULES, str(self.place), dict(self.numbers), rows, self.leaves_out])


def source(data_dir: str | Path, *, partial: bool = False) -> Food101:
    """Read the tables of a folder with `images` and `texts`, and find its images.

    It holds `images/{train,test}/<class>/<class>_<n>.jpg`, `texts/{train,test}_titles.csv` (image,
    title, class; with a header or without), and optionally `class_idx.json` (class -> number) and
    `split.json` ({"train": [...], "val": [...], "test": [...]}).

    Raises:
        UserError: The folder does not have this layout, a table is damaged, or images are missing
            (unless `partial`, which leaves them out).
    """
    folder = expanded(data_dir).absolute()
    for place in (folder / "images", folder / "texts"):
        if not place.is_dir():
            raise UserError(
                f"{place} is not a folder: give the one into which UPMC Food-101 was unpacked, "
                "with images/train, images/test and texts"
            )
    numbers = class_numbers(folder)
    titles: dict[str, list[Title]] = {}
    states: dict[str, dict[str, tuple[int, int]]] = {}
    notes: list[str] = []
    for split in ("train", "test"):
        found, fixed = read_titles(folder / "texts" / f"{split}_titles.csv", numbers)
        notes += [f"{split}_titles.csv: {note}." for note in fixed]
        states[split] = _image_states(folder / "images" / split)
        titles[split] = found
    notes += _differences(folder / "split.json", titles)
    there = {split: [t for t in titles[split] if t.name in states[split]] for split in titles}
    absent = [
        f"images/{split}/{title.name}"
        for split, found in titles.items()
        for title in found
        if title.name not in states[split]
    ]
    if absent and not partial:
        raise UserError(
            f"{folder} lacks {pluralize(len(absent), 'image')} that its tables name (absent or "
            f"empty): {summarize(absent)}. Unpack it again, or leave them out "
            "(partial=True, --partial)"
        )
    return Food101(folder, partial, numbers, there, states, notes, absent)


def class_numbers(folder: Path) -> dict[str, int]:
    """Number of each class: of `class_idx.json`, else as published; UserError if not from 0 on."""
    path = folder / "class_idx.json"
    if not path.exists():
        return {cls: number for number, cls in enumerate(CLASSES.split())}
    numbers = _read_json(path)
    values = list(numbers.values()) if isinstance(numbers, dict) else []
    if not all(type(v) is int for v in values) or sorted(values) != list(range(len(values) or 1)):
        raise UserError(
            f'{path} must give each class a number from 0 on, as {{"tacos": 0, "ramen": 1}}: fetch '
            "it again, or remove it to use the published numbers"
        )
    return dict(numbers)


def _image_states(folder: Path) -> dict[str, tuple[int, int]]:
    """`file_state` of each file `<class>/<file>` of a part that is not empty."""
    return {
        f"{found.parts[0]}/{name}": state
        for found in (walk(folder, levels=1) if folder.is_dir() else ())
        for name in (found.files if found.parts else ())
        if (path := found.path / name).is_file() and (state := file_state(path))[0]
    }


def _differences(path: Path, titles: Mapping[str, Sequence[Title]]) -> list[str]:
    """Where the published lists and the tables do not name the same images."""
    if not path.exists():
        return []
    listed = _read_json(path)
    parts = {"train": ("train", "val"), "test": ("test",)}
    try:
        lists = {s: {str(n) for part in parts[s] for n in listed.get(part, [])} for s in titles}
    except (AttributeError, TypeError) as error:
        raise UserError(
            f"{path} must hold lists of file names under train, val and test: fetch it again, or "
            "remove it: it only serves as a check"
        ) from error
    notes = []
    for split, found in titles.items():
        names = {title.file for title in found}
        untitled, unlisted = sorted(lists[split] - names), sorted(names - lists[split])
        for images, lacking in ((untitled, "title"), (unlisted, "entry in split.json")):
            if images:
                few = pluralize(len(images), f"{split} image")
                notes.append(f"{few} without {lacking}: {summarize(images)}.")
    return notes


def _read_json(path: Path) -> Any:
    try:
        return parse_json(read_text(path, TABLE))
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise UserError(f"{path} cannot be read as JSON ({why}): fetch it again") from error
