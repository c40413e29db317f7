"""The shape of a result.json: one file per run, and all that tables, pages and checks start from.

A class is its position in the class order (0 is the first learned); `class_order` leads to the data
set's labels. Accuracies are percentages, costs and budgets are in the budget's currency.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from benchmark.metrics import Metrics

SCHEMA_VERSION = 3


class RowAccuracy(TypedDict):
    """One row of the accuracy matrix."""

    per_phase: list[float]


class Accuracy(RowAccuracy):
    """One row of the accuracy matrix and its two averages, which follow from it."""

    sample_weighted: float
    phase_weighted: float


class StageResult(TypedDict):
    """One training within a phase. `epochs` stood in files up to schema 2."""

    name: str
    items: int
    epochs: NotRequired[int]
    steps: int


class ClassLedger(TypedDict):
    """What the memory holds of one class; `budget` is None where only the total is limited."""

    exemplars: int
    bytes: int
    cost: float
    budget: float | None


class MemoryLedger(TypedDict):
    """What the memory holds after a phase. Keys of `per_class` are classes written as strings."""

    exemplars: int
    per_class: dict[str, ClassLedger]
    bytes: int
    cost: float
    budget: float | None


class OutsideMemory(TypedDict):
    """What a method carries to the next phase beside its memory.

    `bytes` is the length of the committed state file, `what` the bytes of its tensors by part.
    """

    bytes: int
    what: dict[str, int]


class Invariance(TypedDict):
    """How many samples were predicted a second time among others, and how many then differed."""

    checked: int
    differing: int


class PhaseBase(TypedDict):
    """What the file and the loaded form of a phase share.

    `train` and `test` count the samples that the phase adds. `seconds` by activity are those since
    the phase was last resumed; it was interrupted `resumed` times before. `loss` holds pairs of a
    step of the phase and the training loss there, about twenty a stage.
    """

    index: int
    classes: list[int]
    train: int
    test: int
    stages: list[StageResult]
    loss: list[list[float]]
    seconds: dict[str, float]
    resumed: int
    memory: MemoryLedger
    invariance: Invariance | None


class PhaseResult(PhaseBase):
    """One phase in a result.json.

    `accuracy` is that of the method's own classifier; a method may have `other_classifiers`.
    """

    accuracy: RowAccuracy
    other_classifiers: dict[str, RowAccuracy]
    outside_memory: OutsideMemory
    trainable_parameters: int


class LoadedPhase(PhaseBase):
    """One phase as `results.read` returns it: averages and steps are derived.

    Results of schema 1 hold `outside_memory` and `trainable_parameters` of the last phase only.
    """

    accuracy: Accuracy
    other_classifiers: dict[str, Accuracy]
    outside_memory: OutsideMemory | None
    trainable_parameters: int | None
    steps: int


class PhaseRecord(TypedDict):
    """What the run loop hands over of a finished phase; see `benchmark.write_results`.

    `result` is its part of result.json. `predictions` has, for each classifier (the method's own
    under "" or its name, and the others that `result` names), the labels of all test samples of the
    classes seen (N,), in the order of `data.test.of_classes(range(num_seen))`. `stored` is one row
    (label, rank, file_name, bytes, cost, codec) for each exemplar selected, `memory` names the
    files of the exemplars of all classes seen, `gallery` holds pictures for the report, `state`
    is the committed state file and `hardware` what the phase was computed on.
    """

    result: PhaseResult
    predictions: dict[str, Any]
    stored: list[dict[str, Any]]
    memory: dict[str, Any]
    gallery: list[dict[str, Any]]
    state: StateInfo
    hardware: dict[str, Any]


class StateInfo(TypedDict):
    """A committed state file."""

    sha256: str
    bytes: int


class DatasetInfo(TypedDict):
    """The data set, the name of its division into train and test, and hashes of both.

    Of a folder or file the name is the last part; where it lay is said in `config`. `left_out`
    counts the images that belong to it and took no part, as they are absent or cannot be used.
    `split_sha256` is the hash of the file names evaluated on (`mm_imagenet_r.splits.list_sha256`),
    `captions_id` the fingerprint of the caption set and a hash of all captions, or the hash alone.
    """

    name: str
    num_classes: int
    train: int
    test: int
    left_out: int
    data_sha256: str
    split: str
    split_sha256: str
    captions: str
    captions_id: str


class ClassOrder(TypedDict):
    """`order[p]` is the data set's label, `names[p]` the name of the class at position p.

    It follows from the seed or, where it is a published one, from the name.
    """

    seed: int | None
    name: str | None
    order: list[int]
    sha256: str
    names: list[str]


class BudgetInfo(TypedDict):
    """What the memory may hold, per class (growth per-class) or in total (growth total).

    As in `benchmark.memory.Budget`: `amount` counts untouched samples, `unit` is the cost of one in
    the currency (bytes, samples or exemplars); `memory` is what the user asked for. `amount` is
    None where the numbers of exemplars are copied from another run. By `sample_bytes`, the mean
    bytes of an untouched sample, extra payload is charged where samples are counted; results of
    schema 1 do not hold it.
    """

    currency: str
    growth: str
    memory: str
    unit: float | None
    unit_meaning: str
    amount: float | None
    sample_bytes: float | None


class ReferenceRun(TypedDict):
    """The run whose numbers of exemplars were copied (`--match-exemplars-of`).

    `counts_sha256` is the hash of these numbers, after each phase and of each class;
    `fingerprint` that of the run's configuration.
    """

    method: str
    method_settings: dict[str, Any]
    method_sha256: str
    seed: int
    fingerprint: str
    counts_sha256: str


class BackboneInfo(TypedDict):
    """The pretrained network a run starts from."""

    name: str
    sha256: str
    parameters: int


class TuningInfo(TypedDict):
    """The recipe that settings are from (`python -m benchmark.tune`); a copy is `tuning.json`.

    `sha256` is that of its file, `trials` the number of settings tried, for runs of so many
    `phases`; `searched` holds the candidates by name and `chosen` the value of each that was the
    best on validation data. Those that the user gave otherwise are `overridden`.
    """

    recipe: str
    sha256: str
    phases: int
    trials: int
    searched: dict[str, list[Any]]
    chosen: dict[str, Any]
    overridden: list[str]


class ResultBase(TypedDict):
    """What the file and the loaded form of a result share.

    Readers ignore keys that they do not know; verification refuses them.

    `config` holds the options with the recipe that was resolved (null: without effect on the
    method), `from_recipe` names those that the user had left to it. `classifier` is the name of
    the method's own one ("" if it has only one). `method_sha256` and `harness_sha256` are hashes
    of source code, `files` those of the files beside the result, `state` the one of the last
    phase. `sees_all_data` marks an upper bound, which the memory does not bind. `tuning` is there
    where settings are from a recipe. `seal` is a hash of all the rest (`run_files.seal_of`) by
    which damage is found; results of earlier versions do not have it.
    """

    schema_version: int
    kind: str
    sees_all_data: bool
    shares_allowance: bool
    about: dict[str, str]
    config: dict[str, Any]
    from_recipe: list[str]
    method_settings: dict[str, Any]
    method_sha256: str
    harness_sha256: str
    files: dict[str, str]
    dataset: DatasetInfo
    class_order: ClassOrder
    classifier: str
    budget: BudgetInfo
    match_exemplars_of: ReferenceRun | None
    backbone: BackboneInfo
    hardware: dict[str, Any]
    versions: dict[str, str]
    complete: bool
    tuning: NotRequired[TuningInfo]
    seal: NotRequired[str]


class ResultFile(ResultBase):
    """A whole result.json: every fact once."""

    phases: list[PhaseResult]


class Result(ResultBase):
    """A result as `results.read` returns it from a file of any schema.

    What follows from the rest is derived: `method`, `preset` and `seed` from the configuration,
    matrix, sizes and metrics from the phases. `schema_version` is that of the file.
    """

    phases: list[LoadedPhase]
    method: str
    preset: str | None
    seed: int
    accuracy_matrix: list[list[float]]
    test_sizes: list[int]
    metrics: Metrics
