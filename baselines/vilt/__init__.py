"""ViLT on any subset of patches and words: `Vilt`, `Preprocessor`, and what passes between them."""

from baselines.vilt.batch import Batch, collate
from baselines.vilt.inputs import Preprocessor, ViltInput
from baselines.vilt.model import Encoded, Vilt

__all__ = ["Batch", "Encoded", "Preprocessor", "Vilt", "ViltInput", "collate"]
