"""ViLT on any subset of patches and words: `Vilt`, `Preprocessor`, and what passes between them."""

from baselines.vilt.inputs import Batch, Preprocessor, ViltInput, collate
from baselines.vilt.model import Encoded, Vilt

__all__ = ["Batch", "Encoded", "Preprocessor", "Vilt", "ViltInput", "collate"]
