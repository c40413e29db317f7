"""The contract between the harness and a method, and the names of the methods there are.

Importing this module costs nothing: a method's own file is imported when it is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.data import Sample, Samples
    from benchmark.memory import Exemplar, Memory

#: Name -> where the class is, and one line about it.
REGISTRY: dict[str, tuple[str, str]] = {
    "exemplar_masking": (
        "baselines.exemplar_masking:ExemplarMasking",
        "keep attended patches and words, so that more exemplars fit (arXiv 2412.09549)",
    ),
    "ssf": ("baselines.replay:Replay", "replay of whole samples in their native bytes, herding"),
    "random_patches": (
        "baselines.random_patches:RandomPatches",
        "exemplar masking with patches drawn at random: the control for 'which patches'",
    ),
    "finetune": ("baselines.finetune:Finetune", "no memory: the lower bound"),
    "joint": ("baselines.joint:Joint", "all data of all phases at once: the upper bound"),
}


@dataclass(frozen=True)
class MethodContext:
    """What a method is told once.

    Attributes:
        num_classes: Classes of all phases together (heads may be laid out for them).
        backbone: Name, folder or Hub id of the pretrained model.
        tuning: `ssf`, `full` or `head`.
        max_text_length: Text tokens a sample may have; None for the backbone's own limit.
        batch_size: Batch for passes without gradient.
        seed: The run's seed; derive all randomness from it by `MethodContext.rng`.
        device: Where to compute.
        rank, world: This process among several; all of them make the same decisions.
    """

    num_classes: int
    backbone: str
    tuning: str
    max_text_length: int | None
    batch_size: int
    seed: int
    device: torch.device
    rank: int = 0
    world: int = 1

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator of its own for each purpose, the same on every process."""
        import numpy as np

        # Their number belongs to it: numpy takes (1,) and (1, 0) for the same seed.
        return np.random.default_rng([self.seed, len(stream), *stream])


@dataclass(frozen=True)
class PhaseData:
    """The samples of one phase; labels count 0..seen-1 in the order classes appear.

    Attributes:
        index: 0 for the first.
        new: Labels of this phase's classes.
        seen: Number of classes up to and including this phase.
        train: This phase's training samples, of all phases so far if `Method.sees_all_data`. Their
            images are read from disk when asked for; `train.labels` are known without.
    """

    index: int
    new: range
    seen: int
    train: Samples


@dataclass(frozen=True)
class NoSettings:
    """For methods without settings of their own."""


class Method:
    """What the harness asks of a method.

    The harness owns data order, memory, evaluation and checkpoints. Every phase begins with a fresh
    object whose state is loaded from disk, so nothing but `state()` and the memory can pass from a
    phase to the next. Draw from `MethodContext.rng` and the generators you are given. The global ones of
    Python, NumPy and torch are seeded around every hook, so they do no harm either.

    A complete method, a linear classifier of mean colours that replays whole samples at random::

        import numpy as np
        import torch

        from benchmark.memory import StoredExemplar
        from benchmark.method import Method
        from mm_imagenet_r.images import rgb


        class MeanColour(Method):
            def __init__(self, context, settings):
                super().__init__(context, settings)
                self.model = torch.nn.Linear(3, context.num_classes)

            def collate(self, items, rng=None):
                colours = [np.asarray(rgb(item.image)).mean((0, 1)) / 255 for item in items]
                labels = torch.tensor([item.label for item in items])
                return torch.tensor(np.array(colours), dtype=torch.float32), labels

            def loss(self, batch):
                colours, labels = batch
                return torch.nn.functional.cross_entropy(self.model(colours), labels)

            def predict(self, batch):
                return self.model(batch[0])

            def end_phase(self, phase, memory):
                for label in phase.new:
                    samples = phase.train.of_classes([label])
                    order = self.context.rng(phase.index, label).permutation(len(samples))
                    memory.keep(label, (StoredExemplar.whole(samples[int(i)]) for i in order))
    """

    #: A frozen dataclass; its fields are what `--set key=value` accepts.
    Settings: ClassVar[type] = NoSettings
    #: Name -> settings of a published or otherwise named variant, chosen by `method@name`.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: An upper bound: every phase starts anew, with the data of all phases so far.
    sees_all_data: ClassVar[bool] = False

    #: What is trained; set it in `__init__`.
    model: torch.nn.Module

    def __init__(self, context: MethodContext, settings: Any) -> None:
        self.context = task
        self.settings = settings

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Get ready: grow a head, add parameters, look at the new samples.

        The memory is as the phase before left it; it makes room for new classes after training.
        """

    def collate(self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None) -> Any:
        """Turn samples and exemplars into a batch with a `.to(device)`, or a tuple of tensors.

        `rng` is for augmentation while training and None at evaluation, where labels are -1 and
        file names say nothing. May run in a worker.
        """
        raise NotImplementedError

    def loss(self, batch: Any) -> torch.Tensor:
        """Mean loss over a training batch."""
        raise NotImplementedError

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Choose exemplars: call `memory.keep` once for each new class (or any seen)."""

    def predict(self, batch: Any) -> torch.Tensor:
        """Scores (B, classes seen or more); no row may depend on the others of its batch."""
        raise NotImplementedError

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters for AdamW; by default vectors (scales, shifts, biases) are not decayed."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors that go on to the next phase: by default the trained parameters.

        A model that changes otherwise too, such as running means of a BatchNorm, overrides this and
        `load_state` to carry them; they begin anew in every phase else.
        """
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` returned: before `begin_phase`, and amid training after it.

        Raises:
            ValueError: The names or shapes are not those of the trained parameters. A method that
                adds parameters in `begin_phase` overrides this to make room for them first.
        """
        import torch

        own = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        wrong = own.keys() ^ state.keys()
        wrong |= {n for n in own.keys() & state.keys() if own[n].shape != state[n].shape}
        if wrong:
            raise ValueError(f"the saved state does not fit: {', '.join(sorted(wrong)[:5])}")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])

    def provenance(self) -> dict[str, Any]:
        """Name, hash and size of the pretrained model, asked for before anything is trained."""
        count = sum(p.numel() for p in self.model.parameters())
        return {"name": self.context.backbone, "sha256": "", "parameters": count}

    def gallery(self, phase: PhaseData, memory: Memory) -> list[dict[str, Any]]:
        """Pictures of some exemplars for the report; see `benchmark.report`."""
        return []
