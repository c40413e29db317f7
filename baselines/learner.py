"""What methods on ViLT share: inputs of samples, features, a growing head, the loss.

Derive from `ViltLearner`, which trains a head over all classes seen, and override what your method
does differently; or from `ViltMethod` if there is no such head. Give your class a `Settings`
dataclass of its own if it has options (`baselines.settings`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from baselines.exemplars.selection import Array
from baselines.vilt import Batch, Preprocessor, Vilt, ViltInput, collate
from baselines.vilt.tuning import tune
from benchmark.data import Sample
from benchmark.exemplar import Exemplar
from benchmark.memory import Memory
from benchmark.method import Method, MethodContext, PhaseData
from benchmark.processes import map_batches

_Item = TypeVar("_Item")
_log = logging.getLogger(__name__)
_CACHE_BYTES = 4 * 2**30  # decoded inputs of one phase; beyond it they are decoded again each epoch


class Lazy(Sequence[_Item]):
    """Items made when they are asked for: inputs of a whole phase may not fit into memory."""

    def __init__(self, make: Callable[[int], _Item], count: int) -> None:
        self._make = make
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(self._count)[index]]
        return self._make(range(self._count)[index])


@dataclass(frozen=True)
class Labelled:
    """Inputs with their labels (B,)."""

    inputs: Batch
    labels: Tensor

    def to(self, device: torch.device, **_: Any) -> Self:
        """Move all tensors."""
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in values.items() if hasattr(v, "to")})


class Classifier(nn.Module):
    """ViLT and a linear head on its pooled class token.

    The head has rows for all classes, of which the first `num_seen` are used.
    """

    def __init__(self, vilt: Vilt, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.vilt = vilt
        with torch.random.fork_rng(devices=[]):  # a Linear draws from the global generator
            self.head = nn.Linear(vilt.config.hidden_size, num_classes)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)
        self.num_seen = num_classes

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, num_seen)."""
        return self.classify(self.vilt.pool(batch))

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, num_seen) of features (B, D)."""
        seen = slice(self.num_seen)
        return F.linear(features, self.head.weight[seen], self.head.bias[seen])


class ViltMethod(Method):
    """ViLT, its inputs of samples and exemplars, and their features; set `model` yourself.

    Attributes:
        vilt: The backbone, tuned as `--tuning` says.
        preprocessor: Image bytes and captions to inputs.
        generator: Draws the initial weights of what is added to the backbone.
    """

    #: Imports of seconds that reading a ViLT needs; the harness does them in advance.
    imports: ClassVar[tuple[str, ...]] = (
        "accelerate",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
        "transformers.models.bert.tokenization_bert",
        "transformers.models.vilt.modeling_vilt",
        "transformers.models.vilt.image_processing_pil_vilt",
    )

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.generator = self.new_generator("init")
        self.vilt = Vilt.from_pretrained(context.backbone, max_text_length=context.max_text_length)
        # Weights in a mapped file may be unaligned, and products of these differ in their last
        # digits from those of an aligned copy.
        for parameter in self.vilt.parameters():
            parameter.data = parameter.data.clone()
        self._backbone = dict(sorted(self.vilt.model.state_dict().items()))
        tune(self.vilt, context.tuning, self.generator)
        self.preprocessor = Preprocessor.from_pretrained(
            context.backbone, max_text_length=context.max_text_length
        )
        self._inputs: dict[Exemplar | str, ViltInput] = {}
        self._room = _CACHE_BYTES

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Report once how many captions are truncated."""
        captions, limit = phase.train.captions, self.preprocessor.max_text_length
        if phase.index == self.context.rank == 0 and (
            long := self.preprocessor.count_long(captions)
        ):
            _log.warning(
                f"note: {long} of the {len(captions)} captions of the first phase are longer than "
                f"{limit} tokens and are truncated; a larger --max-text-length keeps more of them"
            )

    def new_generator(self, purpose: str, *numbers: int) -> torch.Generator:
        """A generator of the CPU that depends on the seed, its purpose and numbers."""
        return torch.Generator().manual_seed(
            int(self.context.rng(purpose, *numbers).integers(2**63))
        )

    def input(self, item: Sample | Exemplar) -> ViltInput:
        """What the model sees of a sample or an exemplar; decoded once per phase."""
        key = item if isinstance(item, Exemplar) else item.file_name
        if key in self._inputs:
            return self._inputs[key]
        input = self.decode(item) if isinstance(item, Exemplar) else self.see(item)
        if self._room > input.patches.nbytes:
            self._inputs[key] = input
            self._room -= input.patches.nbytes
        return input

    def inputs(self, samples: Sequence[Sample]) -> Lazy[ViltInput]:
        """`input` of each sample."""
        return Lazy(lambda i: self.input(samples[i]), len(samples))

    def see(self, sample: Sample) -> ViltInput:
        """The whole sample."""
        return self.preprocessor.input(sample.image, sample.caption)

    def decode(self, exemplar: Exemplar) -> ViltInput:
        """What was kept of a sample; here a whole one in its native bytes."""
        return self.preprocessor.input(exemplar.image, exemplar.text.decode())

    def collate(self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None) -> Any:
        """Pack inputs; at evaluation they are whole, in training `augment` may change them."""
        # Test samples have no names under which they could be cached.
        see = (self.see(item) if isinstance(item, Sample) else self.input(item) for item in items)
        inputs = list(see) if rng is None else self.augment(items, rng)
        return Labelled(collate(inputs), torch.tensor([item.label for item in items]))

    def augment(
        self, items: Sequence[Sample | Exemplar], rng: np.random.Generator
    ) -> list[ViltInput]:
        """The inputs a training step uses."""
        return [self.input(item) for item in items]

    def encode(
        self, inputs: Sequence[ViltInput], read: Callable[[Batch], Sequence[Any]]
    ) -> list[Any]:
        """The result of `read`, applied to batches without gradient, for each input."""
        self.model.eval()

        def work(chosen: Sequence[int]) -> Sequence[Any]:
            with torch.no_grad():
                return read(collate([inputs[i] for i in chosen]).to(self.context.device))

        context = self.context
        return map_batches(work, len(inputs), context.batch_size, context.rank, context.world)

    def features(
        self, inputs: Sequence[ViltInput], read: Callable[[Batch], Tensor] | None = None
    ) -> Array:
        """Features (N, D) float32 of inputs: `read` of a batch, by default the pooled features."""
        read = read or self.vilt.pool
        rows = self.encode(inputs, lambda batch: list(read(batch).float().cpu().numpy()))
        return np.stack(rows)

    def input_pixels(self, width: int, height: int) -> int:
        """Pixels of a picture after the resizing that the backbone asks for."""
        rows, columns = self.preprocessor.size_of(width, height)
        return rows * columns

    def provenance(self) -> dict[str, Any]:
        """Name, hash and size of the backbone."""
        digest = hashlib.sha256()
        for tensor in self._backbone.values():
            digest.update(tensor.contiguous().numpy().tobytes())
        count = sum(tensor.numel() for tensor in self._backbone.values())
        return {"name": self.context.backbone, "sha256": digest.hexdigest(), "parameters": count}


class ViltLearner(ViltMethod):
    """Fine-tunes ViLT with cross entropy over all classes seen; keeps nothing."""

    model: Classifier

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.model = self.build().to(context.device)

    def build(self) -> Classifier:
        """The model before any training."""
        return Classifier(self.vilt, self.context.num_classes, self.generator)

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Extend the head to the new classes."""
        super().begin_phase(phase, memory)
        self.model.num_seen = phase.num_seen

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Give the head its size in training."""
        self.model.num_seen = num_seen

    def loss(self, batch: Any) -> Tensor:
        """Cross entropy over all classes seen."""
        return F.cross_entropy(self.model(batch.inputs), batch.labels)

    def predict(self, batch: Any) -> Tensor | Mapping[str, Tensor]:
        """Logits of the classes seen (B, num_seen)."""
        scores: Tensor = self.model(batch.inputs)
        return scores

    def save_pretrained(self, folder: Path, class_names: Sequence[str]) -> None:
        """Write a `ViltModel`, its `ViltProcessor`, and the head in `classifier.safetensors`.

        Scales and shifts are merged into the weights. Logits are `weight @ pooler_output + bias`;
        the names of the classes are the `id2label` of the config.
        """
        self.vilt.save_pretrained(folder, class_names)
        self.preprocessor.save_pretrained(folder)
        weight, bias = (tensor.detach().cpu().clone() for tensor in self.linear_head())
        save_file({"weight": weight, "bias": bias}, folder / "classifier.safetensors")

    def linear_head(self) -> tuple[Tensor, Tensor]:
        """Weight (num_seen, D) and bias (num_seen,) of the classifier on pooled features."""
        seen, head = slice(self.model.num_seen), self.model.head
        return head.weight[seen], head.bias[seen]
