"""RanPAC: Random Projections and Pre-trained Models (McDonnell et al., NeurIPS 2023).

Adapters are trained in the first phase and then frozen. Features pass through a fixed random
projection and a ReLU, h = ReLU(f W), and the head is ridge regression on h (Algorithm 1):

    G = sum of h h^T,  Q = sum of h y^T,  W_out = (G + lambda I)^-1 Q

G and Q are sums over all samples seen, so the order of phases does not matter and no sample is
kept. The projection is drawn again from the seed whenever it is needed. G is symmetric: only half
of it is saved, in single precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.adapters import AdapterMethod, AdapterSettings
from baselines.exemplars.selection import Array
from baselines.settings import setting
from benchmark.memory import Memory
from benchmark.method import MethodContext, PhaseData, Stage

#: Candidates for lambda.
_PROJECTION = 5  # times the features: the saved state grows with the square
RIDGES = tuple(10.0**exponent for exponent in range(-8, 9))


@dataclass(frozen=True)
class RanPACSettings(AdapterSettings):
    """Settings of `RanPAC`."""

    projection: int = setting(
        0,
        "M, width of the random projection (10,000 in the paper); 0: five times the features",
    )
    adapt: bool = setting(True, "train adapters in the first phase")


class RanPAC(AdapterMethod):
    """Adapters from the first phase, ridge regression on random features for all."""

    Settings = RanPACSettings
    about: ClassVar[Mapping[str, str]] = {
        "name": "RanPAC",
        "paper": "McDonnell et al. 2023",
        "link": "https://arxiv.org/abs/2307.02251",
    }

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        width = settings.projection or _PROJECTION * self.vilt.hidden_size
        size = self.vilt.hidden_size, width
        # On the CPU, in double precision: otherwise the solution is wrong for small lambdas.
        self._projection = torch.from_numpy(context.rng("projection").standard_normal(size))
        self._gram = torch.zeros(width, width, dtype=torch.float64)
        self._sums = torch.zeros(width, 0, dtype=torch.float64)
        self._ridge = 1.0

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Add adapters and a head in the first phase."""
        super().begin_phase(phase, memory)
        if phase.index == 0 and self.settings.adapt:
            self.add_set(0)
            self.add_head(phase)

    def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
        """Training in the first phase alone."""
        if phase.index == 0 and self.settings.adapt:
            yield Stage(name="adapters")

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Add the phase's samples to G and Q, and choose lambda on them."""
        self.model.sets.requires_grad_(False)
        rows = self._project(
            torch.from_numpy(self.features(self.inputs(phase.train), self._feature))
        )
        targets = one_hot(phase.train.labels, phase.num_seen)
        order = self.context.rng("ridge", phase.index).permutation(len(rows))
        self._ridge = choose_ridge(rows[order], targets[order])
        self._gram += rows.T @ rows
        grown = F.pad(self._sums, (0, phase.num_seen - self._sums.shape[1]))
        self._sums = grown + rows.T @ targets

    def _feature(self, batch: Any) -> Tensor:
        return self.model.feature(batch, 0 if len(self.model.sets) else None)

    def _project(self, features: Tensor) -> Tensor:
        """(N, D) -> h (N, M), double precision on the CPU."""
        return (features.cpu().double() @ self._projection).relu()

    def state(self) -> dict[str, Tensor]:
        """Adapters, the upper half of G, Q and lambda."""
        upper = torch.triu_indices(*self._gram.shape)
        return {
            **super().state(),
            "gram": self._gram[upper[0], upper[1]].float(),
            "sums": self._sums.float(),
            "ridge": torch.tensor(self._ridge, dtype=torch.float64),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        super().load_state(state)
        upper = torch.triu_indices(*self._gram.shape)
        if state["gram"].numel() != upper.shape[1]:
            raise ValueError("the saved state does not fit: gram is of another projection")
        self._gram[upper[0], upper[1]] = state["gram"].double()
        self._gram[upper[1], upper[0]] = state["gram"].double()
        self._sums, self._ridge = state["sums"].double(), float(state["ridge"])

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Solve for the head."""
        self._weights = ridge(self._gram, self._sums, self._ridge)

    def predict(self, batch: Any) -> Tensor:
        """Scores (B, num_seen): h times the weights, with no norm and no bias."""
        scores = self._project(self._feature(batch.inputs)) @ self._weights
        return scores.float().to(self.context.device)


def one_hot(labels: Array, classes: int) -> Tensor:
    """Labels (N,) as rows (N, classes) of double precision."""
    return F.one_hot(torch.from_numpy(labels).long(), classes).double()


def ridge(gram: Tensor, sums: Tensor, penalty: float) -> Tensor:
    """Weights (M, C) of ridge regression from h^T h (M, M) and h^T y (M, C).

    >>> rows = torch.tensor([[1.0, 0], [2, 1], [0, 1]])
    >>> targets = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    >>> ridge(rows.T @ rows, rows.T @ targets, 1.0)
    tensor([[ 0.5000, -0.1429],
            [ 0.0000,  0.4286]])
    """
    unit = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weights: Tensor = torch.linalg.solve(gram + penalty * unit, sums)
    return weights


def choose_ridge(rows: Tensor, targets: Tensor) -> float:
    """The value of `RIDGES` that is best on the last fifth of rows (N, M) and targets (N, C).

    It is fitted to the others and evaluated by the mean squared error. One decomposition serves all
    candidates. It is 1 if there are too few rows to split.
    """
    cut = int(0.8 * len(rows))
    if not 0 < cut < len(rows):
        return 1.0
    left, sizes, right = torch.linalg.svd(rows[:cut], full_matrices=False)
    inner, outer = left.T @ targets[:cut], rows[cut:] @ right.T
    errors = [
        float(F.mse_loss(outer @ ((sizes / (sizes**2 + penalty))[:, None] * inner), targets[cut:]))
        for penalty in RIDGES
    ]
    return RIDGES[errors.index(min(errors))]
