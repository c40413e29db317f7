"""SimpleCIL: Revisiting CIL with Pre-Trained Models (Zhou et al., IJCV 2024).

Nothing is trained. A class is the mean feature of its samples in the frozen backbone, and a sample
belongs to the class with the most similar mean:

    score_c = cos(f(x), mean of f over the class)

Every method that trains should do better: this shows what the backbone knows already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.learner import ViltMethod
from benchmark.memory import Memory
from benchmark.method import Kind, MethodContext, PhaseData, Stage


class SimpleCIL(ViltMethod):
    """Class means of the frozen backbone; trains nothing, keeps no sample."""

    kind: ClassVar[Kind] = "memory-free"
    recipe: ClassVar[Mapping[str, Any]] = {"tuning": "head"}
    unused: ClassVar[frozenset[str]] = frozenset(
        {"tuning", "epochs", "steps", "learning_rate", "weight_decay"}
    )
    about: ClassVar[Mapping[str, str]] = {
        "name": "SimpleCIL",
        "paper": "Zhou et al. 2024",
        "link": "https://arxiv.org/abs/2303.07338",
    }

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.model = self.vilt.to(context.device)
        self._means = torch.zeros(0, self.vilt.hidden_size)

    def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
        """No training."""
        return iter(())

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Add the means of the new classes."""
        features = torch.from_numpy(self.features(self.inputs(phase.train), self.vilt.class_token))
        labels = torch.from_numpy(phase.train.labels)
        new = torch.stack([features[labels == label].mean(0) for label in phase.new])
        self._means = torch.cat([self._means, new])

    def state(self) -> dict[str, Tensor]:
        """The means (C, D) of the classes seen."""
        return {"means": self._means.clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned.

        Raises:
            ValueError: It is of another backbone.
        """
        if state["means"].shape[1] != self.vilt.hidden_size:
            raise ValueError("the saved state does not fit: means are of another width")
        self._means = state["means"].clone()

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Scale the means to unit length."""
        self._units = F.normalize(self._means, dim=1).to(self.context.device)

    def predict(self, batch: Any) -> Tensor:
        """Cosines (B, num_seen)."""
        return F.normalize(self.vilt.class_token(batch.inputs), dim=1) @ self._units.T
