"""`python -m benchmark.save RUN FOLDER`: the trained model of a run, as transformers reads it.

The model is made from what the run carried on, its state and its memory, by the same hooks that
made it for the test; so what is saved is what was tested.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import isolation
from benchmark.results.schema import Result
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import check_writable, write_atomic

if TYPE_CHECKING:
    from benchmark.plan import Cell

_HEAD = "classifier.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Save the model of a run; 0, or 2 for a mistake of the user."""
    isolation.computes_nothing()
    return command_line.run(_main, arguments, has_processes=True)


def _main(arguments: Sequence[str] | None) -> None:
    parser = command_line.Parser(
        prog="python -m benchmark.save",
        description="Save the trained model of a finished run: merged ViLT, classifier, processor "
        "and model card.",
        epilog="example: python -m benchmark.save runs/.../seed0-1a2b3c4d my-model",
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("folder", type=Path, help="where to write; must not hold anything yet")
    given = parser.parse_args(arguments)
    save(given.run, given.folder)
    print(f"saved: {given.folder}")


def save(run: Path, folder: Path) -> None:
    """Write the model of a finished run with its card.

    Args:
        run: The folder of the run.
        folder: An absent or empty one.

    Raises:
        UserError: The run is unfinished, of an older version, or lacks its state; its method is
            more than a ViLT with a linear classifier; the folder is not empty.
    """
    from benchmark import results
    from benchmark.plan import find_cell_of
    from benchmark.source_hash import method_sha256

    result = results.read(run)
    if result["schema_version"] == 1 or not result["complete"]:
        raise UserError(
            f"{run} was not finished by this version of the program, so its model cannot be made "
            "again: run the same command with --overwrite first"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not empty: name another folder")
    check_writable(folder)
    cell = find_cell_of(result)
    if method_sha256(cell.method) != result["method_sha256"]:
        raise UserError(
            f"{run} was made by another version of the method's code (a copy is in its source/): "
            "what it would save now is not what was tested. Use that version, or run it again"
        )
    with _new_folder(folder) as target:
        _save(run, result, cell, target)
        write_atomic(target / "README.md", card(result).encode())


def _save(run: Path, result: Result, cell: Cell, target: Path) -> None:
    from benchmark.devices import find_place
    from benchmark.isolation import isolated
    from benchmark.phase import SaveJob
    from benchmark.phase import save as save_phase
    from benchmark.run_folder import RunFolder

    record = RunFolder(run, writes=False).read_done()[-1]
    names = tuple(result["class_order"]["names"][: cell.classes(cell.num_learnt - 1).stop])
    job = SaveJob(
        cell=cell,
        place=find_place(cell.config),
        folder=run,
        index=cell.num_learnt - 1,
        num_seen=len(names),
        samples=(),
        memory=record["memory"],
        state=record["state"],
        target=target,
        class_names=names,
    )
    isolated(save_phase, job, lambda *_: None, cell.method.imports)


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder that appears under its name when all is in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def card(result: Result) -> str:
    """The model card: what was learnt from what, how well, and how to use it."""
    from benchmark.report import command
    from benchmark.results.derive import given_config
    from benchmark.wording import memory_words, method_title, order_words, result_phases_words

    data, backbone = result["dataset"], result["backbone"]
    sizes = [len(phase["classes"]) for phase in result["phases"]]
    settings = ", ".join(f"{k}={v}" for k, v in result["method_settings"].items()) or "none"
    name = method_title(result) + (f"@{result['preset']}" if result["preset"] else "")
    accuracy, average = (
        result["metrics"][key] for key in ("last_accuracy", "average_incremental_accuracy")
    )
    tested = f"{data['test']} {result['config'].get('evaluate_on', 'test')} samples"
    memory = memory_words(result["budget"]) if result["kind"] == "replay" else result["kind"]
    weights = f"sha256 {backbone['sha256'][:16]}, {backbone['parameters']:,} parameters"
    classifier = f", classifier `{result['classifier']}`" if result["classifier"] else ""
    return f"""---
library_name: transformers
tags:
- vilt
- class-incremental-learning
- multimodal
---

# {name} on {data["name"]}

A ViLT that learnt {sum(sizes)} classes of captioned images in {result_phases_words(result)}
(class order: {order_words(result["class_order"])}), saved after the last phase by the benchmark of
MM-ImageNet-R.

| | |
| --- | --- |
| accuracy after the last phase | {accuracy:.2f} % of {tested}{classifier} |
| average over phases | {average:.2f} % |
| memory | {memory} |
| settings of the method | {settings} |
| backbone | {backbone["name"]} ({weights}) |
| data | {data["data_sha256"][:16]}, split {data["split"]} {data["split_sha256"][:16]} |
| seed | {result["seed"]} |

```sh
{command(given_config(result))}
```

## Use

`model.safetensors` is a plain `ViltModel`; what was tuned is merged into its weights. The
classifier, `{_HEAD}`, is linear on its pooled output; `config.id2label` names the classes.

```python
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import ViltModel, ViltProcessor

folder = "path/to/this/folder"
model = ViltModel.from_pretrained(folder).eval()
processor = ViltProcessor.from_pretrained(folder)
head = load_file(f"{{folder}}/{_HEAD}")

inputs = processor(
    Image.open("picture.jpg").convert("RGB"), "a caption", return_tensors="pt",
    truncation=True, max_length=model.config.max_position_embeddings,
)
with torch.no_grad():
    logits = torch.nn.functional.linear(model(**inputs).pooler_output, **head)
print(model.config.id2label[int(logits.argmax())])
```

Trained on nothing but the data above; not checked for any other use.
"""


if __name__ == "__main__":
    sys.exit(main())
