"""SimpleCIL: class means by hand, and that nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from memories import ListMemory
from teaching import taught

from baselines.simplecil import SimpleCIL
from baselines.vilt import collate
from benchmark.data import Samples
from benchmark.method import PhaseData

Build = Callable[..., Any]


@torch.no_grad()
def test_means_and_scores_by_hand(build: Build, phases: list[PhaseData]) -> None:
    method = taught(partial(build, SimpleCIL), phases)
    means = []
    for phase in phases:
        for label in phase.new:
            inputs = [method.input(sample) for sample in phase.train.of_classes([label])]
            means.append(
                torch.stack([method.vilt(collate([v])).hidden[0, 0] for v in inputs]).mean(0)
            )
    torch.testing.assert_close(method.state()["means"], torch.stack(means), atol=1e-5, rtol=1e-5)
    item = phases[1].train[2]
    scores = method.predict(method.collate([item], None))
    feature = method.vilt(collate([method.input(item)])).hidden[0, 0]
    wanted = [float(feature @ mean / feature.norm() / mean.norm()) for mean in means]
    torch.testing.assert_close(scores, torch.tensor([wanted]), atol=1e-5, rtol=1e-5)


def test_phases_make_no_difference(build: Build, phases: list[PhaseData], samples: Samples) -> None:
    single = PhaseData(0, range(6), 6, samples)
    many, one = (
        taught(partial(build, SimpleCIL), cut).state()["means"] for cut in (phases, [single])
    )
    torch.testing.assert_close(many, one, atol=1e-5, rtol=1e-5)


def test_nothing_is_trained(build: Build, phases: list[PhaseData]) -> None:
    method = build(SimpleCIL)
    assert not any(parameter.requires_grad for parameter in method.model.parameters())
    assert list(method.stages(phases[0], ListMemory(0))) == []
    assert method.state()["means"].shape == (0, 32)


def test_means_of_another_backbone_are_refused(build: Build) -> None:
    with pytest.raises(ValueError, match="means are of another width"):
        build(SimpleCIL).load_state({"means": torch.zeros(2, 31)})
