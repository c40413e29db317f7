"""Whether a result agrees with what is shipped about its data set, backbone and captions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from benchmark.data.known import Known, Part, backbone_sha256, known
from benchmark.results.records import Prediction, Stored
from benchmark.results.schema import Result


def known_faults(
    result: Result, predictions: Sequence[Prediction], exemplars: Sequence[Stored]
) -> Iterator[str]:
    """Names, hashes, counts, sizes and labels against the data set of the same name."""
    backbone = result["backbone"]
    sha256 = backbone_sha256(str(result["config"].get("backbone")))
    if sha256 is not None and backbone["sha256"] not in (sha256, ""):
        yield f"backbone.sha256 is not that of {backbone['name']} as it is shipped"
    config, data = result["config"], result["dataset"]
    seed = config.get("split_seed", 0)
    found = known(
        str(config.get("dataset")),
        data["split"],
        str(config.get("evaluate_on", "test")),
        seed if isinstance(seed, int) else 0,
    )
    if found is None:
        return
    yield from _names(result, found)
    yield from _labels(result, found, predictions, exemplars)
    if found.part is not None and not data["left_out"] and not config.get("partial"):
        yield from _part(result, found, found.part)


def _names(result: Result, found: Known) -> Iterator[str]:
    data, order, names = result["dataset"], result["class_order"], found.class_names
    of = f"that of {found.name}"
    if data["left_out"] and set(order["names"]) <= set(names):
        return  # some images, and perhaps some classes, are absent
    if data["num_classes"] != len(names):
        yield f"dataset.num_classes is {data['num_classes']}, not {of}: {len(names)}"
    elif sorted(order["order"]) != list(range(len(names))):
        yield "class_order.order does not name each class once"
    elif order["names"] != [names[c] for c in order["order"]]:
        yield f"class_order.names is not {of}"
    if config_captions(result):
        return  # captions of the user's own
    shipped = {"data_sha256": found.data_sha256, "captions_id": found.captions_id}
    for key, wanted in shipped.items():
        if wanted and cast(Any, data)[key] != wanted:
            yield f"dataset.{key} is not {of} as it is shipped"


def config_captions(result: Result) -> bool:
    """Whether the captions came from a file of the user's."""
    return result["config"].get("captions") is not None


def _part(result: Result, found: Known, part: Part) -> Iterator[str]:
    data, order = result["dataset"], result["class_order"]["order"]
    evaluated = result["config"].get("evaluate_on", "test")
    if data["split_sha256"] != part.split_sha256:
        yield f"dataset.split_sha256 is not that of the {evaluated} part of {found.name}"
    if not part.train or len(order) != len(part.train):
        return
    for phase in result["phases"]:
        own = [order[c] for c in phase["classes"] if 0 <= order[c] < len(part.train)]
        for name, counts in (("train", part.train), ("test", part.test)):
            said, wanted = cast(Any, phase)[name], sum(counts[c] for c in own)
            if said != wanted:
                yield f"phases[{phase['index']}].{name} is {said}, but {found.name} has {wanted}"
    unit, said_unit = part.unit(result["schema_version"]), result["budget"]["unit"]
    if result["budget"]["currency"] != "bytes" or unit is None or config_captions(result):
        return
    if said_unit is None or not math.isclose(said_unit, unit, rel_tol=1e-9):
        yield f"budget.unit is {said_unit}, but an untouched sample of {found.name} has {unit}"


def _labels(
    result: Result, found: Known, predictions: Iterable[Prediction], exemplars: Iterable[Stored]
) -> Iterator[str]:
    names = result["class_order"]["names"]
    for what, rows in (("predictions", predictions), ("exemplars", exemplars)):
        pairs = {(row.file_name, row.label) for row in rows}
        wrong = sorted(
            name
            for name, label in pairs
            if (own := found.label(name)) is None
            or not 0 <= label < len(names)
            or names[label] != found.class_names[own]
        )
        if wrong:
            many = f"{len(wrong)} labels" if len(wrong) > 1 else "a label"
            yield f"{what}: {many} not as in {found.name}, first that of {wrong[0]}"
