"""Each kind of tampering by name, and what is found of it."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from forging import change_exemplars, change_predictions, change_result, small_form
from tampering import (
    Forge,
    an_eighth,
    another_dataset,
    both_forms,
    cheat,
    cut,
    deep_folders,
    edited,
    empty_outside,
    fifo,
    flipped,
    four_times,
    invent_hashes,
    linked,
    nested_text,
    no_steps,
    packed_bomb,
    predicted,
    renamed,
    rows_of,
    sparse,
    stopped,
    stranger,
    text,
    untrained,
    wide_table,
)

from benchmark.results import records
from benchmark.run_files import PREDICTIONS, RESULT


def entitled(title: str) -> Forge:
    """A method of somebody's own under a title."""

    def change(value: dict[str, Any]) -> None:
        value["config"]["method"] = ["x.py:Mine"]
        value["about"]["name"] = title

    return edited(change)


def gallery(**changes: Any) -> Forge:
    """Pictures beside the result, which nothing vouches for."""
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    item = {
        "file_name": "a", "class_name": "a", "image": picture, "grid": [1, 2],
        "attention": [0.5, 0.5], "kept": [True, False], "words": [], "bytes": 1, "native_bytes": 2,
        "codec": "webp", **changes,
    }  # fmt: skip
    return lambda folder: (folder / "gallery.json").write_text(json.dumps([item]))


#: What the fourteen forgeries that once verified come to.
FORGERIES: dict[str, tuple[Forge, str]] = {
    "labels permuted": (predicted(lambda r: r._replace(label=r.label ^ 1)), "labels not as in"),
    "unit times four": (edited(four_times), "budget.unit is"),
    "nothing outside the memory": (edited(empty_outside), "no length of a state file"),
    "invented hashes": (edited(invent_hashes), "data_sha256 is not that of mini-1"),
    "another method": (edited(renamed), "source/ has no baselines/replay.py"),
    "another data set": (edited(another_dataset), "labels not as in mm_imagenet_r"),
    "no steps": (edited(no_steps), "loss ends at step 32 of 0"),
    "validation": (edited(lambda v: v["config"].update(evaluate_on="validation")), "a board takes"),
    "doubled key": (text("{", '{"complete": false,'), "occurs twice"),
    "last phase cut": (cut, "not all phases are learned"),
    "labels as predictions, in haste": (
        lambda f: change_predictions(f, cheat), "by the predictions"
    ),
}  # fmt: skip

#: Those that a folder cannot show; the first two levels leave them where they are.
HELD: dict[str, Forge] = {
    "labels as predictions": predicted(cheat),
    "exemplars an eighth": an_eighth,
    "another method, no source": lambda f: (small_form(f), change_result(f, renamed)),
    "another learning rate": edited(lambda v: v["config"].update(learning_rate=0.5)),
    "another harness": edited(lambda v: v.update(harness_sha256="0b" * 32)),
    "no steps and no loss": edited(untrained),
    "another seed": edited(lambda v: v["config"].update(seeds=[7])),
    "a faster machine": edited(lambda v: v["phases"][0].update(seconds={"train": 0.01})),
    "script in a title": edited(
        lambda v: (
            v["config"].update(method=["x.py:Mine"]),
            v["about"].update(name="<script>alert(1)</script>"),
        )
    ),
    "another name of the classifier": lambda f: (
        change_result(f, lambda v: v.update(classifier="mine")),
        predicted(lambda r: r._replace(classifier="mine"))(f),
    ),
    "a wild gallery": gallery(attention=[1e308, -1e308]),
    "a gallery that turns": gallery(class_name="\u202egolb\x1b[2J", codec="\u202e"),
    "a record of its own": lambda f: (f / "verified.json").write_text('{"version": 1}'),
    "unread names": lambda f: (f / "state" / "phase-01.json").write_text('{"file": "../../x"}'),
}

TAMPERED: dict[str, tuple[Forge, str]] = {
    # accuracy
    "accuracy": (edited(lambda v: v["phases"][1]["accuracy"].update(per_phase=[99.0, 99.0])),
                 "by the predictions"),
    "accuracy 120": (edited(lambda v: v["phases"][0]["accuracy"].update(per_phase=[120.0])),
                     "not a percentage"),
    "another classifier": (
        edited(lambda v: [p.update(other_classifiers={"best": {"per_phase": [100.0] * (i + 1)}})
                          for i, p in enumerate(v["phases"])]),
        "classifier best: 0 predictions"),
    # predictions
    "no predictions": (lambda f: (f / PREDICTIONS).unlink(), "is missing"),
    "wrong ones dropped": (rows_of(lambda rows: [r for r in rows if r.label == r.prediction]),
                           "predictions of"),
    "doubled": (rows_of(lambda rows: [*rows, *rows]), "predictions of"),
    "unseen classes": (predicted(lambda r: r._replace(prediction=39)), "not seen by then"),
    "phase 99": (rows_of(lambda rows: [*rows, rows[0]._replace(phase=99)]), "does not have"),
    "one label": (rows_of(lambda rows: [rows[0]._replace(label=rows[0].label ^ 1), *rows[1:]]),
                  "a label not as in"),
    "paths": (predicted(lambda r: r._replace(file_name=f"../../{r.file_name}")), "labels not as"),
    "easier images": (predicted(lambda r: r._replace(file_name=r.file_name.replace("_", "_x"))),
                      "split_sha256"),
    "cut off": (lambda f: (f / PREDICTIONS).write_bytes(
        (f / PREDICTIONS).read_bytes()[:-100]), "cannot be read"),
    "no Parquet": (lambda f: (f / PREDICTIONS).write_text("phase,label"), "cannot be read"),
    "wide table": (wide_table, " of size "),
    # seeds
    "a lucky seed": (edited(lambda v: v["config"].update(seeds=[12345])), "takes seeds 0 to 9"),
    "two seeds": (edited(lambda v: v["config"].update(seeds=[0, 1])), "not a list of one int"),
    "another order": (edited(lambda v: v["class_order"]["order"].reverse()), "is not that of"),
    "order seed": (edited(lambda v: v["config"].update(class_order_seed=7)), "class_order.seed"),
    # ledger and memory
    "one exemplar more": (
        edited(lambda v: v["phases"][1]["memory"]["per_class"]["0"].update(exemplars=3)),
        "exemplars of"),
    "half the bytes": (
        edited(lambda v: v["phases"][1]["memory"]["per_class"]["0"].update(bytes=9)), "in the"),
    "negative bytes": (
        lambda f: (small_form(f), change_exemplars(f, lambda r: r._replace(bytes=-9, cost=-9.0))),
        "is negative"),
    "free exemplars": (
        lambda f: (small_form(f), change_exemplars(f, lambda r: r._replace(cost=1.0))), "cost 1.0"),
    "too much": (
        lambda f: (small_form(f), change_exemplars(
            f, lambda r: r._replace(bytes=r.bytes * 9, cost=r.bytes * 9.0))), "exceeds the budget"),
    "stranger": (stranger, "was not kept before"),
    "a word that is data": (
        lambda f: change_exemplars(f, lambda r: r._replace(codec="aGVsbG8=")), "is unknown"),
    "a test image": (
        lambda f: change_exemplars(f, lambda r: r._replace(file_name=records.read_predictions(
            f / PREDICTIONS)[0].file_name)), "an exemplar and a test sample"),
    "a flipped bit": (flipped, "another hash than its name says"),
    "one more file": (lambda f: (f / "memory" / "class-0099-00.bin").write_bytes(b"x"),
                      "belongs to no class"),
    "class 99": (
        edited(lambda v: v["phases"][0]["memory"]["per_class"].update({"99": None})), "is not an"),
    # hashes
    "hash of predictions": (
        edited(lambda v: v["files"].update({PREDICTIONS: "0b" * 32})), "another hash than"),
    "hash of the state": (edited(lambda v: v["files"].update(state="0b" * 32)), "no file in state"),
    "no hash": (edited(lambda v: v.update(harness_sha256="yes")), "is not a valid hash"),
    "hash of the order": (
        edited(lambda v: v["class_order"].update(sha256="0b" * 32)), "class_order.sha256"),
    "edited source": (
        lambda f: next((f / "source").rglob("exemplar_masking.py")).write_text("x = 1"),
        "not that of the files in source"),
    # currency and budget
    "currency": (edited(lambda v: v["budget"].update(currency="samples")), "budget.currency"),
    "currency throughout": (
        edited(lambda v: (v["config"].update(currency="samples"),
                          v["budget"].update(currency="samples", unit=1.0))), "memory.budget"),
    "growth": (edited(lambda v: v["config"].update(growth="total")), "budget.growth"),
    "ten times the memory": (edited(lambda v: v["config"].update(memory="50")), "budget.memory"),
    "part of the data": (edited(lambda v: v["config"].update(partial=True)), "images left out"),
    "images left out": (edited(lambda v: v["dataset"].update(left_out=3)), "3 images left out"),
    "stopped": (stopped, "not all phases are learned"),
    "votes": (edited(lambda v: v["phases"][1].update(invariance={"checked": 64, "differing": 9})),
              "predicted differently"),
    # numbers
    "NaN": (text('"unit": 4154.4295', '"unit": NaN'), "is not valid JSON"),
    "infinity": (text('"unit": 4154.4295', '"unit": 1e400'), "is not valid JSON"),
    "many digits": (text('"unit": 4154.4295', f'"unit": 1{"0" * 5000}'), "is not valid JSON"),
    "truth for a number": (edited(lambda v: v["phases"][0].update(train=True)), "not an integer"),
    "a number of classes": (edited(lambda v: v["dataset"].update(num_classes=2**52)),
                            "num_classes is not that of"),
    "a number of phases": (edited(lambda v: v["config"].update(phases=2**52)), "give a number"),
    "time before": (edited(lambda v: v["phases"][0].update(seconds={"train": -1.0})), "negative"),
    # texts
    "script in a class": (
        edited(lambda v: v["class_order"]["names"].__setitem__(0, "<script>")), "names is not"),
    "terminal codes": (edited(lambda v: v["about"].update(name="\x1b[2J\x1b[Hreproduced")),
                       "control or invisible"),
    "a line of its own": (edited(lambda v: v["about"].update(name="a\n::warning::b")),
                          "control or invisible"),
    "right to left": (edited(lambda v: v["config"].update(method=["x.py:\u202eyalper"])),
                      "control or invisible"),
    "a long text": (edited(lambda v: v["about"].update(name="x" * 10**6)), "is longer than"),
    "a script as a link": (edited(lambda v: v["about"].update(link="javascript:alert(1)")),
                           "not an http address"),
    "a borrowed title": (edited(lambda v: v["about"].update(name="Replay")), "is another method"),
    "a link of its own": (
        edited(lambda v: v["about"].update(link="https://evil.example")), "about differs"),
    "a title of its own": (
        edited(lambda v: v["about"].update(name="Best")), "about differs"),
    **{f"a title like {title}": (entitled(title), words)
       for title, words in {
           "exempl\u0430r masking": "use Latin letters", "\uff32eplay": "is another method",
           "R\u00e9play": "is another method", "SimpIeCIL": "is another method",
           "DER++": "is another method", "Replay (SSF)": "is another method"}.items()},
    "a class of that name": (
        edited(lambda v: (v["config"].update(method=["x.py:Replay"]),
                          v["about"].update(name="Replay"))),
        "is another method"),
    "a borrowed name": (edited(lambda v: v["config"].update(method=["my/exemplar_masking"])),
                        "neither registered"),
    "a title of lines": (entitled("Rep|ay (SSF)"), "is another method"),
    "a long title": (entitled("x" * 61), "more than 60"),
    "a blank title": (entitled("\u2800\u2800"), "without any letter or digit"),
    "a preset that is none": (
        edited(lambda v: v["config"].update(method=["exemplar_masking@reproduced"])),
        "has no preset 'reproduced'"),
    "a setting that is none": (
        edited(lambda v: v["method_settings"].update(verdict="reproduced")), "no setting verdict"),
    "a backbone without a hash": (
        edited(lambda v: v["backbone"].update(sha256="")), "backbone.sha256 is empty"),
    "a recipe that nobody has": (
        edited(lambda v: v.update(tuning={
            "recipe": "official", "sha256": "0b" * 32, "phases": 2, "trials": 999, "searched": {},
            "chosen": {}, "overridden": []})), "tuning.json is not there"),
    "a name that looks alike": (
        edited(lambda v: v["config"].update(method=["exemplar_m\u0430sking"])), "neither reg"),
    "a preset of markup": (
        edited(lambda v: v["config"].update(method=["exemplar_masking@<b>"])), "not a valid"),
    "a split that nobody knows": (
        edited(lambda v: (v["config"].update(dataset="mm_imagenet_r", split_name="mine"),
                          v["dataset"].update(name="mm_imagenet_r", split="mine"))),
        "split 'mine' is not one of"),
    "a folder called mini": (
        edited(lambda v: v["config"].update(dataset="elsewhere/mini-1")), "is another data set"),
    "mini with a suffix": (
        edited(lambda v: (v["config"].update(dataset="mini-1:x"),
                          v["dataset"].update(name="mini-1:x"))), "is another data set"),
    "mini under another name": (
        edited(lambda v: (v["config"].update(dataset="own"), v["dataset"].update(name="own"))),
        "under another name"),
    "a folder called tiny": (
        edited(lambda v: v["config"].update(backbone="own/tiny-1")), "of another one"),
    # files
    "a link to the predictions": (linked(PREDICTIONS, "../{folder.name}-{name}"),
                                  "is a link"),
    "a link to the result": (linked(RESULT, "../{folder.name}-{name}"), "is a link"),
    "a link to passwords": (linked("report.html", "/etc/passwd"), "is a link"),
    "a link to itself": (linked("more", "."), "is a link"),
    "a pipe": (fifo("report.html"), "not a regular file"),
    "a pipe as result": (fifo(RESULT), "not a regular file"),
    "a folder as result": (
        lambda f: ((f / RESULT).unlink(), (f / RESULT).mkdir()), "it is a folder"),
    "seconds beyond counting": (
        edited(lambda v: v["phases"][0]["seconds"].update(train=1.7e308)), "is too large"),
    "millions of values": (text("{", '{"x": [' + "[]," * 5_000_000 + "[]],"), "too many values"),
    "megabytes of text": (text("{", '{"x": "' + "x" * 70_000_000 + '",'), "which no run writes"),
    "a packed bomb": (packed_bomb, "it is too long"),
    "two results": (both_forms, "are both there"),
    "300 MB of result": (sparse(RESULT), "which no run writes"),
    "300 MB of predictions": (sparse(PREDICTIONS), "which no run writes"),
    "300 MB of something": (sparse("extra.bin"), "which no run writes"),
    "deep folders": (deep_folders, "folders deep"),
    # JSON
    "deep text": (lambda f: (f / RESULT).write_text("[" * 100_000), "not valid JSON"),
    "deep and whole": (
        lambda f: (f / RESULT).write_text("[" * 900 + "]" * 900), "is nested too deeply"),
    "deep value": (nested_text, "is nested deeper than"),
    "no JSON": (lambda f: (f / RESULT).write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
    "nothing": (lambda f: (f / RESULT).write_bytes(b""), "is empty"),
    "no object": (lambda f: (f / RESULT).write_text("[1, 2]"), "not an object"),
    "a newer schema": (edited(lambda v: v.update(schema_version=99)), "schema version 99"),
    "no schema": (edited(lambda v: v.update(schema_version="3")), "schema_version is not"),
    "an accuracy beside the others": (
        edited(lambda v: v["phases"][-1]["accuracy"].update({"0": 99.0})),
        "phases[1].accuracy.0 is not a key of this file"),
    "levels in the result": (
        edited(lambda v: v.update(level="reproduced", verified=True)), "level is not a key"),
    "a method of another kind": (
        edited(lambda v: v["config"].update(method=["finetune"])), "it was made by another"),
    "a key that is new": (edited(lambda v: v["config"].update(bonus=5)), "unknown option 'bonus'"),
}  # fmt: skip

_RUN: Final = "test_verify.py::test_what_only_a_run_finds"
_PREDICT: Final = "test_verify.py::test_what_is_refused_before_anything_is_predicted"
#: The fourteen forgeries that once verified: what shows how far each one comes today.
FOURTEEN: dict[str, tuple[str, ...]] = {
    "predictions replaced by the labels": (
        "labels as predictions, in haste", "labels as predictions",
        "test_verify.py::test_predictions_that_the_model_does_not_make", _RUN),
    "labels permuted among test files": ("labels permuted",),
    "budget.unit times four": ("unit times four", _PREDICT),
    "outside_memory emptied": ("nothing outside the memory",),
    "every hash invented": ("invented hashes", "another harness", _PREDICT),
    "memory deleted and exemplars an eighth": ("exemplars an eighth", _PREDICT),
    "renamed to another method": ("another method", "another method, no source", _PREDICT),
    "seed 0 copied as seed 7": (
        "another seed", "test_tampering.py::test_results_beside_each_other", _RUN),
    "mini renamed": ("another data set",),
    "steps 0": ("no steps", "no steps and no loss", _RUN),
    "another learning rate": ("another learning rate", _PREDICT, _RUN),
    "evaluated on validation data": ("validation",),
    "a doubled key": ("doubled key",),
    "the last phase cut": ("last phase cut",),
}  # fmt: skip
