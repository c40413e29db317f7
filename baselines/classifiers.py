"""Classifiers on features: the head as trained, and three that use the stored exemplars.

Replay leaves a linear head that is biased to the newest classes, of which it saw most. These
classifiers differ in how they correct it, so a comparison names the one it uses and offers every
method the same choice.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.exemplars import selection
from baselines.exemplars.selection import Array

#: The head as trained; re-fitted to exemplars with equally weighted classes; nearest mean of
#: exemplars; new rows of the head scaled to the length of the old ones.
READINGS = ("linear", "balanced", "nme", "aligned")
#: Score of a class without exemplars: below that of any other, which is at least -4.
_ABSENT = -5.0
_DECAY = 1e-2  # pulls the re-fitted head to the trained one
_ITERATIONS = 50


def class_mean(features: Array) -> Array:
    """Mean (D,) of features (N, D) of unit length, itself scaled to unit length (iCaRL).

    >>> class_mean(np.array([[1, 1], [2, 1]])).round(6)
    array([0.811242, 0.58471 ])
    """
    return selection.unit(selection.unit(features).mean(0))


def class_means(features: Array, labels: Array, num_classes: int) -> Tensor:
    """`class_mean` of each class (C, D), float32; zero where a class has no features."""
    means = torch.zeros(num_classes, features.shape[1])
    for label in np.unique(labels).tolist():
        means[label] = torch.from_numpy(class_mean(features[labels == label]))
    return means


def nearest_mean(features: Tensor, means: Tensor) -> Tensor:
    """Minus the squared distances (B, C) of unit features (B, D) to the class means (C, D).

    A class whose mean is zero has no exemplars and scores lowest (iCaRL, Algorithm 1).

    >>> means = torch.tensor([[0.811242, 0.584710], [-0.447214, 0.894427], [0.0, 0.0]])
    >>> [round(float(score), 4) for score in nearest_mean(torch.tensor([[0.2, 1.0]]), means)[0]]
    [-0.5351, -0.4213, -5.0]
    """
    distances = (F.normalize(features.float())[:, None] - means).square().sum(-1)
    return torch.where(means.any(dim=1), -distances, _ABSENT)


def aligned(weight: Tensor, num_old: int) -> Tensor:
    """Rows (C, D) of a head, those of new classes scaled to the mean length of the old ones.

    Weight aligning (Zhao et al., CVPR 2020, eq. 8); biases stay as they are, as in PyCIL.

    >>> aligned(torch.tensor([[3.0, 4], [0, 5], [6, 8], [0, 10]]), 2)[2:].tolist()
    [[3.0, 4.0], [0.0, 5.0]]
    """
    if not 0 < num_old < len(weight):
        return weight
    lengths = weight.norm(dim=1)
    scaled = weight.clone()
    scaled[num_old:] *= lengths[:num_old].mean() / lengths[num_old:].mean()
    return scaled


def balanced(features: Array, labels: Array, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A head fitted to features with equally weighted classes, regularized to the trained one.

    Minimizes the mean over classes of their mean cross entropy, plus half of .01 times the squared
    distance to the trained head (classifier re-training of Kang et al., ICLR 2020, on exemplars).
    Classes without features keep their rows and are left out.

    Args:
        features: (N, D), of stored exemplars.
        labels: (N,).
        weight: (C, D), as trained.
        bias: (C,), as trained.

    Returns:
        Weight (C, D) and bias (C,), of the type and on the device of the trained ones.
    """
    present, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(present) < 2:
        return weight, bias
    rows = torch.from_numpy(features).double()
    targets = torch.from_numpy(index)
    share = torch.from_numpy(1 / (counts[index] * len(present)))
    start = torch.cat([weight, bias[:, None]], dim=1).detach().cpu().double()[present]
    head = start.clone().requires_grad_(True)
    solver = torch.optim.LBFGS([head], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        logits = F.linear(rows, head[:, :-1], head[:, -1])
        loss = (share * F.cross_entropy(logits, targets, reduction="none")).sum()
        loss = loss + 0.5 * _DECAY * (head - start).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(objective)  # type: ignore[no-untyped-call]
    fitted = head.detach().to(weight.dtype).to(weight.device)
    new_weight, new_bias = weight.detach().clone(), bias.detach().clone()
    new_weight[present], new_bias[present] = fitted[:, :-1], fitted[:, -1]
    return new_weight, new_bias
