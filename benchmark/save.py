"""`python -m benchmark.save RUN FOLDER`: the trained model of a run, as transformers reads it.

The same hooks that built the model for the test rebuild it: what is saved is what was tested.
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmark import isolation
from benchmark.result_of import unnamed
from benchmark.results.schema import Result
from benchmark.run_files import STATE
from mm_imagenet_r import command_line
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.files import check_writable, explained, write_atomic
from mm_imagenet_r.folders import is_folder

if TYPE_CHECKING:
    from benchmark.method import Method
    from benchmark.plan import Cell

CLASSIFIER: Final = "classifier.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Save the model of a run and return the exit code: 0, or 2 for a user's mistake."""
    isolation.computes_nothing()
    return command_line.run(_main, arguments, has_processes=True)


def _main(arguments: Sequence[str] | None) -> None:
    parser = command_line.Parser(
        prog="python -m benchmark.save",
        description="Save the trained model of a finished run: merged ViLT, classifier, processor "
        "and model card.",
        epilog="example: python -m benchmark.save runs/.../seed0-1a2b3c4d my-model",
    )
    path = command_line.path_of
    parser.add_argument("run", type=path, help="folder of a finished run")
    parser.add_argument("folder", type=path, help="where to write; absent or empty")
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="FILE:CLASS",
        help="the run's method, if it is not one of the program's: this says that you trust its "
        "code, which saving executes; may be repeated, for that of --match-exemplars-of",
    )
    given = parser.parse_args(arguments)
    save(given.run, given.folder, given.method)
    print(f"saved: {given.folder}")


def save(run: Path, folder: Path, methods: Sequence[str] = ()) -> None:
    """Write the model of a finished run and its card into an absent or empty folder.

    What the run names is only imported if it is a registered method or one of `methods`: a result
    may name any file, such as one that came with it.

    Raises:
        UserError: The run is unfinished, of an older version, or lacks its state; its method is
            neither registered nor named, more than a ViLT with a linear classifier, or predicts
            otherwise; the folder is not empty or cannot be made.
    """
    from benchmark import results
    from benchmark.plan import find_cell_of
    from benchmark.same_code import same_code
    from benchmark.source_hash import method_sha256

    if not is_folder(run):
        raise UserError(f"{run} is not a folder: name that of a finished run")
    result = results.read(run)
    if result["schema_version"] == 1 or not result["complete"]:
        raise UserError(
            f"{run} was not finished by this version of the program, so its model cannot be "
            "rebuilt: run the same command with --overwrite first"
        )
    if not (run / STATE).is_dir():
        raise UserError(
            f"{run} has no {STATE}/, from which the model is built: name the folder of the run "
            "itself"
        )
    if folder.name in ("", ".."):
        raise UserError(f"{folder} is not the name of a new folder: give it one")
    if re.search("[\ud800-\udfff]", str(folder.absolute())):  # as Python shows other bytes
        raise UserError(f"{folder} is not text, which files of a model need: name another folder")
    with explained(folder):
        is_used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if is_used or folder.is_symlink():  # which nothing could take the place of
        raise UserError(f"{folder} already exists and is not an empty folder: name another one")
    check_writable(folder, "FOLDER")
    options = " ".join(f"--method {shlex.quote(name)}" for name in unnamed(run, result, methods))
    if options:
        raise UserError(
            f"{run} names code that is not of this program, and saving executes it: if you trust "
            f"it, add {options}"
        )
    cell = find_cell_of(result)
    if not same_code(method_sha256(cell.method), result["method_sha256"]):
        raise UserError(
            f"{run} was made by another version of the method's code (a copy is in its source/), "
            "so the model saved now would not be the one tested. Use that version, or run it again"
        )
    _refuse_own_predictions(cell.method)
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent)
    with scratch as name:
        target = Path(name, "model")
        target.mkdir()
        _save(run, result, cell, target)
        write_atomic(target / "README.md", card(result).encode())
        with explained(folder):
            target.replace(folder)  # only now, when all is in it


def _refuse_own_predictions(method: type[Method]) -> None:
    """Refuse a user's class that predicts by one thing and would be saved as another."""
    from benchmark.load_method import is_registered
    from benchmark.method import Method

    own: set[str] = set()
    for kind in method.__mro__:
        if kind is Method or is_registered(kind):
            break
        if kind.__module__.partition(".")[0] != "baselines":
            own |= vars(kind).keys()
    if "predict" in own and not own & {"save_pretrained", "linear_head"}:
        raise UserError(
            f"{method.__name__} predicts in its own way, so the linear head that would be saved is "
            "not what was tested: give it a linear_head or a save_pretrained that matches"
        )


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


def card(result: Result, dataset_id: str | None = None) -> str:
    """The model card: what the model learned from what, how well, and how to use it.

    `dataset_id` is the data set on the Hub; the name in the result if None.
    """
    from benchmark.formatting import memory_words, order_words, result_phases_words
    from benchmark.report import command
    from benchmark.results.derive import given_config
    from benchmark.results.labels import row_name
    from mm_imagenet_r.export.sections import escape

    data, backbone = result["dataset"], result["backbone"]
    sizes = [len(phase["classes"]) for phase in result["phases"]]
    settings = ", ".join(f"{k}={v}" for k, v in result["method_settings"].items()) or "none"
    accuracy, average = (
        result["metrics"][key] for key in ("last_accuracy", "average_incremental_accuracy")
    )
    tested = f"{data['test']} {result['config'].get('evaluate_on', 'test')} samples"
    memory = memory_words(result["budget"]) if result["kind"] == "replay" else result["kind"]
    weights = f"sha256 {backbone['sha256'][:16]}, {backbone['parameters']:,} parameters"
    classifier = f", classifier {escape(result['classifier'])}" if result["classifier"] else ""
    return f"""---
{_header(result, dataset_id)}---

# {escape(f"{row_name(result)} on {data['name']}")}

A ViLT that learned {sum(sizes)} classes of captioned images in {result_phases_words(result)}
(class order: {escape(order_words(result["class_order"]))}), saved after the last phase by the
benchmark of MM-ImageNet-R.

| | |
| --- | --- |
| accuracy after the last phase | {accuracy:.2f} % of {tested}{classifier} |
| average over phases | {average:.2f} % |
| memory | {escape(memory)} |
| settings of the method | {escape(settings)} |
| backbone | {escape(backbone["name"])} ({weights}) |
| data | {data["data_sha256"][:16]}, split {escape(data["split"])} {data["split_sha256"][:16]} |
| seed | {result["seed"]} |

```sh
{command(given_config(result))}
```

## Use

`model.safetensors` is a plain `ViltModel`; what was tuned is merged into its weights. The
classifier, `{CLASSIFIER}`, is linear on its pooled output; `config.id2label` names the classes.

```python
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import ViltModel, ViltProcessor

folder = "path/to/this/folder"
model = ViltModel.from_pretrained(folder).eval()
processor = ViltProcessor.from_pretrained(folder)
head = load_file(f"{{folder}}/{CLASSIFIER}")

inputs = processor(
    Image.open("picture.jpg").convert("RGB"), "a caption", return_tensors="pt",
    truncation=True, max_length=model.config.max_position_embeddings,
)
with torch.no_grad():
    logits = torch.nn.functional.linear(model(**inputs).pooler_output, **head)
print(model.config.id2label[int(logits.argmax())])
```

Trained only on the data above; not evaluated for any other use.
"""


def _header(result: Result, dataset_id: str | None) -> str:
    """The card's metadata for the Hub: library, pretrained network, figures."""
    from huggingface_hub import EvalResult, ModelCardData

    from benchmark.results.labels import row_name

    data, budget = result["dataset"], result["budget"]
    figures = [
        EvalResult(
            task_type="image-classification",
            task_name="Class-incremental learning",
            dataset_type=dataset_id or data["name"],
            dataset_name=data["name"],
            dataset_split=str(result["config"].get("evaluate_on", "test")),
            dataset_args={
                "phases": len(result["phases"]),
                "memory": str(budget["memory"]),
                "currency": budget["currency"],
            },
            metric_type="accuracy",
            metric_name=words,
            metric_value=round(result["metrics"][metric] or 0.0, 2),
        )
        for words, metric in (
            ("accuracy after the last phase", "last_accuracy"),
            ("accuracy, average over phases", "average_incremental_accuracy"),
        )
    ]
    fields = ModelCardData(
        library_name="transformers",
        base_model=_on_the_hub(str(result["config"].get("backbone"))),
        tags=["vilt", "class-incremental-learning", "multimodal"],
        model_name=row_name(result),
        eval_results=figures,
    )
    return fields.to_yaml() + "\n"


def _on_the_hub(backbone: str) -> str | None:
    """The backbone's id if it is one on the Hub, not an embedded one or a folder."""
    is_id = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", backbone, re.ASCII)
    return backbone if is_id and not Path(backbone).exists() else None


if __name__ == "__main__":
    sys.exit(main())
