"""The contract between the harness and a method. Importing it costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from benchmark.context import MethodContext, PhaseData, Progress, Stage, learning_rate_factor
from benchmark.memory import Memory

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from benchmark.data import Sample
    from benchmark.exemplar import Exemplar

__all__ = [
    "Kind", "Method", "MethodContext", "NoSettings", "PhaseData", "Progress", "Stage",
    "learning_rate_factor",
]  # fmt: skip

#: `replay` keeps exemplars, `memory-free` none, `bound` is what methods are measured against.
Kind = Literal["replay", "memory-free", "bound"]


@dataclass(frozen=True)
class NoSettings:
    """For methods without settings of their own."""


class Method:
    """What the harness asks of a method.

    The harness owns data order, memory, evaluation and checkpoints. Each phase is learned in a
    process of its own by a new object whose state is loaded from disk, and tested in another one,
    so only `state()` and the memory pass from one phase to the next, or from training to testing.
    The hooks are called in this order:

    * learning: `__init__`, `load_state`, `begin_phase`, `stages`, for every step of each stage
      `collate`, `loss` and `before_step`, then `end_phase` and `state`;
    * testing: `__init__`, `load_state`, `begin_test`, then `collate` and `predict`.

    Draw from `MethodContext.rng` and the generators you are given. The global ones of Python, NumPy
    and torch are seeded around every hook, so they do no harm either.

    A complete method, a linear classifier of mean colours that replays whole samples at random::

        import numpy as np
        import torch

        from benchmark.exemplar import StoredExemplar
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
                    order = self.context.rng("order", label).permutation(len(samples))
                    memory.keep(label, (StoredExemplar.whole(samples[int(i)]) for i in order))
    """

    #: A frozen dataclass; its fields are what `--set key=value` accepts.
    Settings: ClassVar[type] = NoSettings
    #: Former name of a setting -> its name today; the former ones are still understood.
    renamed_settings: ClassVar[Mapping[str, str]] = {}
    #: Name -> settings of a published or otherwise named variant, chosen by `method@name`.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: `memory-free` methods and bounds cannot keep anything.
    kind: ClassVar[Kind] = "replay"
    #: An upper bound: every phase starts again from the backbone, with the data of all phases and
    #: as many steps as any method has taken by then.
    sees_all_data: ClassVar[bool] = False
    #: Only the total of the budget binds; classes may differ (a reservoir). See `Memory.keep`.
    shares_allowance: ClassVar[bool] = False
    #: The method's own `tuning`, `learning_rate` or `weight_decay` where none is given.
    recipe: ClassVar[Mapping[str, Any]] = {}
    #: Options without effect on this method; they are refused when given.
    unused: ClassVar[frozenset[str]] = frozenset()
    #: What `--list` and results say: `name`, `paper`, `authors`, `link`, `licence`.
    about: ClassVar[Mapping[str, str]] = {}
    #: Modules that take long to import; the harness does it once for the processes of all phases.
    imports: ClassVar[tuple[str, ...]] = ()

    #: What is trained; set it in `__init__`.
    model: torch.nn.Module
    #: Set by the harness before each `collate` and `loss` of training.
    progress: Progress = Progress()

    def __init__(self, context: MethodContext, settings: Any) -> None:
        self.context = context
        self.settings = settings

    def begin_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Get ready: grow a head, add parameters, look at the new samples.

        The memory is as the phase before left it; it makes room for new classes after training.
        """

    def stages(self, phase: PhaseData, memory: Memory) -> Iterator[Stage]:
        """Yield the trainings of this phase; by default one, on new samples and exemplars alike.

        Code between two `yield`s runs between two trainings, on the model as the first left it;
        after a kill it runs again from the same state. Parameters that are frozen or added there
        change what is trained next.
        """
        yield Stage()

    def collate(self, items: Sequence[Sample | Exemplar], rng: np.random.Generator | None) -> Any:
        """Turn samples and exemplars into a batch with a `.to(device)`, or a tuple of tensors.

        `rng` is for augmentation while training and None at evaluation, where labels are -1 and
        file names say nothing. `progress` says how far training is. May run in a worker.
        """
        raise NotImplementedError

    def loss(self, batch: Any) -> torch.Tensor:
        """Mean loss over a training batch."""
        raise NotImplementedError

    def before_step(self) -> None:
        """Change gradients before the optimizer uses them: clip, project, mask.

        They are those of the whole batch, summed over all processes, without any loss scale.
        """

    def end_phase(self, phase: PhaseData, memory: Memory) -> None:
        """Choose exemplars: call `memory.keep` once for each new class (or any seen)."""

    def begin_test(self, num_seen: int, memory: Memory) -> None:
        """Get ready to predict, from the state and the memory alone: class means, merged weights.

        Called on a new object after `load_state`; there is no training sample to look at.
        """

    def predict(self, batch: Any) -> torch.Tensor | Mapping[str, torch.Tensor]:
        """Scores (B, C) with C from `num_seen` to `num_classes`; no row may depend on the others.

        A method with several classifiers returns the scores of each by name, its own one first.
        """
        raise NotImplementedError

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters to optimize; by default vectors (scales, shifts, biases) are not decayed."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def optimizer(
        self, groups: list[dict[str, Any]], learning_rate: float
    ) -> torch.optim.Optimizer:
        """The optimizer of a stage; by default AdamW with betas (.9, .98)."""
        import torch

        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))

    def schedule(self, step: int, steps: int) -> float:
        """Factor of the learning rate at a step; by default warm-up over a tenth, then a cosine."""
        return learning_rate_factor(step, steps)

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors that the next phase gets: by default the parameters trained at this moment.

        Override it and `load_state` for a model that also changes in other ways (running means of a
        BatchNorm, parameters that were trained and then frozen). The file they are written to is
        charged as memory outside the budget.
        """
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` returned: before `begin_phase`, and within training after it.

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

    def transient(self) -> dict[str, torch.Tensor]:
        """Tensors that only a checkpoint within a phase needs, besides `state`.

        Temporary heads, moving averages, counters; of shapes that are fixed within a stage.
        """
        return {}

    def load_transient(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back what `transient` returned."""

    def input_pixels(self, width: int, height: int) -> int:
        """Pixels of a picture at the size the model sees it; raw, no payload may be longer.

        Asked only where bytes are not what is charged.
        """
        return width * height

    def provenance(self) -> dict[str, Any]:
        """Name, hash and size of the pretrained model, asked for before anything is trained."""
        count = sum(p.numel() for p in self.model.parameters())
        return {"name": self.context.backbone, "sha256": "", "parameters": count}

    def gallery(self, phase: PhaseData, memory: Memory) -> list[dict[str, Any]]:
        """Pictures of some exemplars for the report; see `benchmark.report`."""
        return []

    def save_pretrained(self, folder: Path, class_names: Sequence[str]) -> None:
        """Write the model as others read it, after `begin_test`; see `python -m benchmark.save`.

        Raises:
            UserError: The method is more than a model of that format can hold.
        """
        from mm_imagenet_r.errors import UserError

        raise UserError(
            f"{type(self).__name__} cannot be saved as a model: it has no save_pretrained"
        )
