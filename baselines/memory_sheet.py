"""The exemplars that a run holds of a class, as one picture: `baselines.show_memory`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from baselines.learner import ViltMethod
from benchmark import results
from benchmark.exemplar import read_records
from benchmark.plan import find_cell_of
from benchmark.result_of import unnamed
from benchmark.run_files import MEMORY, hash_in_name, read
from benchmark.run_folder import RunFolder
from mm_imagenet_r.errors import UserError, did_you_mean

_SIDE, _TEXT, _GAP = 160, 76, 8  # pixels of a picture's side, of the text below it, between them
_COLUMNS = 5


def show_memory(
    run: str | Path, class_name: str, *, most: int = 20, methods: Sequence[str] = ()
) -> Image.Image:
    """A contact sheet of the exemplars that a finished run holds of a class, best first.

    Args:
        run: The folder of the run.
        class_name: One of its classes.
        most: Number of exemplars shown.
        methods: What the run may import besides registered methods, as "file.py:MyMethod".

    Raises:
        UserError: The run is absent, unfinished or of a method without ViLT or that is not in
            `methods`, has no such class, or holds no exemplar of it.
    """
    folder = Path(run).expanduser()
    result = results.read(folder)
    done = RunFolder(folder, writes=False).read_done()
    names = result["class_order"]["names"]
    if class_name not in names:
        raise UserError(f"{folder} has no class {class_name!r}: {did_you_mean(class_name, names)}")
    entry = done[-1]["memory"].get(str(names.index(class_name))) if done else None
    if not entry:
        raise UserError(f"{folder} holds no exemplar of {class_name!r}: name another class or run")
    if others := unnamed(folder, result, methods):
        raise UserError(
            f"{folder} names code that is not of this program, and looking at its memory executes "
            f"it: if you trust it, add methods={others}"
        )
    cell = find_cell_of(result)
    method = cell.method(cell.context(torch.device("cpu")), cell.settings)
    if not isinstance(method, ViltMethod):
        raise UserError(f"{type(method).__name__} does not store pictures for ViLT")
    tiles = []
    path = folder / MEMORY / entry["file"]
    for exemplar in read_records(read(path, hash_in_name(path), entry["bytes"]))[:most]:
        seen = method.decode(exemplar)
        text = method.preprocessor.tokenizer.decode(seen.token_ids, skip_special_tokens=True)
        tiles.append((seen.picture(), text))
    return _sheet(tiles)


def _sheet(tiles: list[tuple[Image.Image, str]]) -> Image.Image:
    columns = min(_COLUMNS, len(tiles))
    width, height = _SIDE + _GAP, _SIDE + _TEXT + _GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (picture, text) in enumerate(tiles):
        x, y = _GAP + number % columns * width, _GAP + number // columns * height
        scale = _SIDE / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        sheet.paste(picture.resize(size), (x, y))
        lines = textwrap.wrap(text, 28, max_lines=5, placeholder=" ...")
        draw.multiline_text((x, y + _SIDE + 4), "\n".join(lines), "black", font, spacing=2)
    return sheet
