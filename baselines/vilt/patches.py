"""Patches as tokens: their projection, and the position of any of them in any grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchProjection(nn.Module):
    """The patch convolution as the linear map it is on patches that are already split.

    Weight (D, 3, P, P) and bias (D,) keep the names and shapes of the convolution, so checkpoints
    are read and written unchanged.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias

    def forward(self, patches: Tensor) -> Tensor:
        """Map normalized patches (N, 3, P, P) to (N, D)."""
        return F.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def bilinear_weights(indices: Tensor, grids: Tensor, side: int) -> Tensor:
    """Return how much each row of a position table counts for each patch.

    Equals resizing the table to every image's own grid (bilinear, corners aligned), for the wanted
    patches alone, all images at once, and as a matrix product that gradients pass through.

    Args:
        indices: (N,) flat row-major indices.
        grids: (N, 2) rows and columns of each patch's image.
        side: Rows, and columns, of the position table.

    Returns:
        (N, side * side) float weights.
    """
    columns = grids[:, 1]
    at = torch.stack([indices // columns, indices % columns], dim=1)
    # The first and the last patch lie on the first and the last entry; a lone one on the first.
    at = at * (side - 1) / (grids - 1).clamp(min=1)
    near = (1 - (at[:, :, None] - torch.arange(side, device=at.device)).abs()).clamp(min=0)
    return (near[:, 0, :, None] * near[:, 1, None, :]).flatten(1)
