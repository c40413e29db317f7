"""Ways in which a method could come by more than its budget, by accident or not.

Each is stopped, charged or shown. What cannot be closed inside Python is listed in docs/trust.md.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from running import Call, folders

from benchmark import results
from benchmark.results.verify import verify

HEAD = """
import sys
import numpy as np
import torch
from benchmark.exemplar import Exemplar, StoredExemplar
from benchmark.method import Method
from {stem} import MeanColour

HELD = []


def attribute(place):
    if not hasattr(place, "held_by_cheat"):
        setattr(place, "held_by_cheat", [])
    return place.held_by_cheat
"""


@pytest.fixture
def cheat(tmp_path: Path, call: Call, mean_colour: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a class `Cheat(MeanColour)` with this body; three phases of two classes."""
    monkeypatch.syspath_prepend(mean_colour.parent)

    def run(body: str, *options: object) -> tuple[int, str, str]:
        lines = textwrap.indent(textwrap.dedent(body), "    ")
        path = tmp_path / "cheat.py"
        path.write_text(
            HEAD.format(stem=mean_colour.stem) + f"\n\nclass Cheat(MeanColour):\n{lines}\n"
        )
        return call("--method", f"{path}:Cheat", *options)

    return run


PREDICTIONS = {
    "smooths over the neighbours in its batch": """
        def predict(self, batch):
            scores = self.model(batch[0])
            return scores + scores.mean(0)
    """,
    "lets the batch vote": """
        def predict(self, batch):
            scores = self.model(batch[0])
            votes = torch.bincount(scores.argmax(1), minlength=scores.shape[1])
            return scores + votes
    """,
    "normalises by the batch": """
        def predict(self, batch):
            scores = self.model(batch[0])
            return (scores - scores.mean(0)) / (scores.std(0, correction=0) + 1)
    """,
    "reads the class off the number of the test sample": """
        def collate(self, items, rng=None):
            batch = super().collate(items, rng)
            if rng is None:
                self.numbers = [int(item.file_name.removeprefix("test/")) for item in items]
            return batch
        def predict(self, batch):
            scores = torch.zeros(len(batch[0]), 6)
            scores[:, 0] = torch.tensor(self.numbers)
            return scores
    """,
    "counts what it has predicted": """
        count = 0
        def predict(self, batch):
            self.count += 1
            return self.model(batch[0]) * (1 + self.count)
    """,
    "goes by the place in the batch": """
        def predict(self, batch):
            return self.model(batch[0]) + torch.arange(len(batch[0]))[:, None] * torch.arange(6)
    """,
}


@pytest.mark.parametrize("body", PREDICTIONS.values(), ids=PREDICTIONS)
def test_a_prediction_that_depends_on_others_is_refused(cheat: Call, body: str) -> None:
    code, _, err = cheat(body)
    assert code == 2
    assert re.search(r"cheat\.py:Cheat, phase \d, test: ", err)
    assert "get different scores when they are predicted again in another batch" in err


CARRIERS = {
    "a global": "HELD",
    "a class attribute": "type(self).held",
    "an attribute of a base class": "attribute(MeanColour)",
    "an attribute of the context's class": "attribute(type(self.context))",
    "an attribute of the settings' class": "attribute(type(self.settings))",
    "a module of the harness": "attribute(sys.modules['benchmark.method'])",
    "the interpreter": "attribute(sys)",
}


@pytest.mark.parametrize("place", CARRIERS.values(), ids=CARRIERS)
def test_nothing_left_in_python_reaches_another_phase_or_the_test(cheat: Call, place: str) -> None:
    """Whole samples and the phase itself are put there; the process ends, and it with them."""
    code, _, err = cheat(f"""
        held = []
        def carrier(self):
            return {place}
        def begin_phase(self, phase, memory):
            assert not self.carrier(), "data of an earlier phase"
            self.carrier().extend([phase, *phase.train])
            assert self.carrier()
        def begin_test(self, num_seen, memory):
            assert not self.carrier(), "training data at the test"
        def end_phase(self, phase, memory):
            assert self.carrier()
    """)
    assert (code, err) == (0, "")


def test_the_rows_of_a_phase_lead_to_no_others(cheat: Call) -> None:
    code, _, err = cheat("""
        def begin_phase(self, phase, memory):
            rows = phase.train._rows
            assert len(rows) == len(phase.train) == len(rows.file_names) == len(rows.captions)
            assert {name.partition("/")[0] for name in rows.file_names} == {
                sample.file_name.partition("/")[0] for sample in phase.train
            }
            assert len({*phase.train.labels.tolist()}) == len(phase.new)
        def collate(self, items, rng=None):
            if rng is None:
                assert all(item.label == -1 for item in items)
                assert all(item.file_name.startswith("test/") for item in items)
            return super().collate(items, rng)
    """)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("declared", ["sees_all_data = True", "kind = 'replay'"])
def test_what_a_class_declares_cannot_be_changed_on_the_way(cheat: Call, declared: str) -> None:
    code, _, err = cheat(f"""
        kind = "memory-free"
        def __init__(self, context, settings):
            super().__init__(context, settings)
            type(self).{declared}
        def begin_phase(self, phase, memory):
            assert len(set(phase.train.labels.tolist())) == 2
    """)
    assert code == 2
    assert "nothing can be kept here" in err  # MeanColour tries, but it declared to keep nothing


STATES = {
    "a view of a long storage": (
        'return super().state() | {"x": torch.rand(10**6)[:1]}',
        'assert len(state["x"].untyped_storage()) == 4',
        500,
    ),
    "an attribute of a tensor": (
        'x = torch.zeros(1); x.held = [1] * 10**6; return super().state() | {"x": x}',
        'assert not hasattr(state["x"], "held")',
        500,
    ),
    "the name of a tensor": (
        'return super().state() | {"x" + "y" * 50_000: torch.zeros(1)}',
        "assert len(state) == 3",
        51_000,
    ),
    "a tensor that is kept": (
        'return super().state() | {"x": torch.rand(2500)}',
        'assert state["x"].shape == (2500,)',
        11_000,
    ),
}


@pytest.mark.parametrize(("give", "take", "most"), STATES.values(), ids=STATES)
def test_what_is_carried_beside_the_memory_is_charged_as_the_file_it_is(
    cheat: Call, tmp_path: Path, give: str, take: str, most: int
) -> None:
    code, _, err = cheat(f"""
        def state(self):
            {give}
        def load_state(self, state):
            {take}
            super().load_state({{k: v for k, v in state.items() if k in ("weight", "bias")}})
    """)
    assert (code, err) == (0, "")
    (folder,) = folders(tmp_path)
    (file,) = folder.glob("state/*.safetensors")
    charged = [phase["outside_memory"]["bytes"] for phase in results.read(folder)["phases"]]  # type: ignore[index]
    assert charged == [file.stat().st_size] * 3
    assert most / 1.2 - 500 < charged[0] <= most


END = """
def end_phase(self, phase, memory):
    sample = phase.train[0]
    {code}
"""
KEEPS = {
    "pixels that are claimed to be few": (
        "memory.keep(sample.label, [StoredExemplar(Exemplar(sample.label, bytes(10**6), b'', "
        "pixel_fraction=1e-9), sample.file_name)])",
        "bytes long, more than the",
    ),
    "a class's features as extra bytes": (
        "memory.keep(sample.label, [StoredExemplar(Exemplar(sample.label, b'', b'', bytes(10**6), "
        "pixel_fraction=1e-9), sample.file_name)])",
        "bytes long, more than the",
    ),
    "data in the word for the codec": (
        "memory.keep(sample.label, [StoredExemplar(StoredExemplar.whole(sample).exemplar, "
        "sample.file_name, 'q1w2e3r4t5')])",
        "codec 'q1w2e3r4t5' is not one of",
    ),
    "data in a file name": (
        "memory.keep(sample.label, "
        "[StoredExemplar(StoredExemplar.whole(sample).exemplar, 'note')])",
        "'note' is not a sample of this phase",
    ),
    "a class that is not seen": ("memory.keep(5, [])", "class 5 is not among the 2 seen"),
    "a larger budget": ("memory.budget = None", "cannot set 'budget' of the memory"),
}


@pytest.mark.parametrize(("code", "message"), KEEPS.values(), ids=KEEPS)
def test_what_is_kept_is_what_it_claims_to_be(cheat: Call, code: str, message: str) -> None:
    exit_code, _, err = cheat(END.format(code=code), "--currency", "samples")
    assert exit_code == 2
    assert "cheat.py:Cheat, phase 1, learn: " in err
    assert message in err


def test_names_of_old_exemplars_are_not_told(cheat: Call) -> None:
    code, _, err = cheat("""
        def begin_phase(self, phase, memory):
            for old in [*memory.exemplars(), *memory.of_class(0)]:
                assert not hasattr(old, "file_name") and not hasattr(old, "codec")
            assert memory.selected() == []
            assert len(memory.exemplars()) >= 2 * phase.index
    """)
    assert (code, err) == (0, "")


def test_extra_bytes_cost_something_where_samples_are_counted(cheat: Call, tmp_path: Path) -> None:
    code, _, err = cheat(
        END.format(
            code="memory.keep(sample.label, [StoredExemplar(Exemplar(sample.label, b'', b'', "
            "bytes(300), pixel_fraction=1e-9), sample.file_name)])\n"
            "    assert memory.of_class(sample.label)"
        ),
        "--currency", "samples", "--phases", 1,
    )  # fmt: skip
    assert (code, err) == (0, "")
    (folder,) = folders(tmp_path)
    assert verify(folder) == []
    ledger = results.read(folder)["phases"][0]["memory"]
    assert ledger["cost"] > 0.05


def test_nothing_can_be_kept_at_the_test(cheat: Call) -> None:
    code, _, err = cheat("""
        def begin_test(self, num_seen, memory):
            memory.keep(0, memory.of_class(0))
    """)
    assert code == 2
    assert "phase 1, test: nothing can be kept here" in err


def test_the_harness_counts_where_the_method_does_not_run(cheat: Call, tmp_path: Path) -> None:
    code, _, err = cheat("""
        def begin_test(self, num_seen, memory):
            from benchmark import metrics
            metrics.phase_accuracies = lambda *a: [100.0] * a[-1]
        def predict(self, batch):
            return torch.zeros(len(batch[0]), 6)
    """)
    assert (code, err) == (0, "")
    (folder,) = folders(tmp_path)
    assert results.read(folder)["phases"][0]["accuracy"]["per_phase"] == [50.0]


BROKEN = {
    "a loss of NaN": (
        "def loss(self, batch):\n    return super().loss(batch) * float('nan')",
        "phase 1, learn: the loss is nan at step 1 of",
    ),
    "scores of NaN": (
        "def predict(self, batch):\n    return self.model(batch[0]) * float('nan')",
        "phase 1, test: predict returned scores that are NaN",
    ),
    "too few rows": (
        "def predict(self, batch):\n    return self.model(batch[0])[1:]",
        "phase 1, test: predict returned scores of shape",
    ),
    "too few columns": (
        "def predict(self, batch):\n    return self.model(batch[0])[:, :1]",
        "phase 1, test: predict returned scores of shape",
    ),
    "too many columns": (
        "def predict(self, batch):\n    return torch.zeros(len(batch[0]), 7)",
        "phase 1, test: predict returned scores of shape",
    ),
    "one score": (
        "def predict(self, batch):\n    return self.model(batch[0]).argmax(1)",
        "it has to be (B, C)",
    ),
    "a loss for each sample": (
        "def loss(self, batch):\n    return self.model(batch[0]).sum(1)",
        "phase 1, learn: loss returned Tensor (4,): it has to be one number",
    ),
    "a loss without gradients": (
        "def loss(self, batch):\n    return super().loss(batch).detach()",
        "phase 1, learn: loss returned Tensor (): it has to be one number",
    ),
    "stages that are none": (
        "def stages(self, phase, memory):\n    yield 'train'",
        "phase 1, learn: stages yielded 'train': yield Stage(",
    ),
    "samples for exemplars": (
        "def end_phase(self, phase, memory):\n    memory.keep(0, phase.train)",
        "phase 1, learn: Sample was handed in for class 0: hand in StoredExemplar.whole(sample)",
    ),
    "an unknown kind": ("kind = 'rehearsal'", "Cheat.kind is 'rehearsal': known: "),
    "an unknown option": ("unused = frozenset({'epoch'})", "did you mean 'epochs'"),
    "an unknown recipe": ("recipe = {'lr': 1}", "Cheat.recipe has 'lr'; it may hold tuning"),
    "an unknown tuning": ("recipe = {'tuning': 'lora'}", "Cheat.recipe has tuning 'lora'"),
    "a state of no tensors": (
        "def state(self):\n    return {'x': [1, 2]}",
        "phase 1, learn: state returned 'x': list, not a tensor",
    ),
    "a state that is not taken back": (
        "def load_state(self, state):\n    raise ValueError('no room')",
        "phase 1, test: a new object cannot load its own state: no room",
    ),
}


@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_contract_is_told_with_method_and_phase(
    cheat: Call, body: str, message: str
) -> None:
    code, _, err = cheat(body)
    assert code == 2
    assert "Cheat" in err
    assert message in err
    assert "Traceback" not in err


def test_an_exception_in_a_method_is_shown_where_it_happened(cheat: Call) -> None:
    code, _, err = cheat("def end_phase(self, phase, memory):\n    {}['absent']")
    assert code == 1
    assert err.rstrip().endswith("it can be resumed")
    assert "cheat.py" in err
    assert "in end_phase" in err
    assert "Cheat, phase 1, learn" in err
    assert err.count("Traceback") == 1


def test_a_thread_that_does_not_end_is_ended(cheat: Call) -> None:
    code, _, err = cheat(
        """
        def end_phase(self, phase, memory):
            import threading, time
            threading.Thread(target=time.sleep, args=(10_000,)).start()
    """,
        "--phases",
        1,
    )
    assert (code, err) == (0, "")


def test_a_method_cannot_end_its_process_unnoticed(cheat: Call) -> None:
    code, _, err = cheat("def end_phase(self, phase, memory):\n    sys.exit(0)")
    assert code == 1
    assert "SystemExit: 0" in err
    assert "stopped by this exception in its method" in err
