"""The contract between the harness and a method. Importing it costs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from benchmark.data import Sample, Samples
    from benchmark.exemplar import Exemplar
from benchmark.errors import ContractError
from benchmark.memory import Memory

_WARM_UP = 0.1  # share of a stage's steps in which the learning rate rises

#: `replay` keeps exemplars, `memory-free` none, `bound` is what methods are measured against.
Kind = Literal["replay", "memory-free", "bound"]


@dataclass(frozen=True)
class MethodContext:
    """What a method is told once.

    Attributes:
        num_classes: Classes of all phases together (heads may be laid out for them).
        phase_sizes: Number of new classes of each phase (pools of prompts are divided among them).
        backbone: Name, folder or Hub id of the pretrained model.
        tuning: `ssf`, `full` or `head`.
        max_text_length: Text tokens a sample may have; None for the backbone's own limit.
        batch_size: Batch for passes without gradient.
        seed: The run's seed; derive all randomness from it by `rng`.
        device: Where to compute.
        rank, world: This process among several; all of them make the same decisions.
    """

    num_classes: int
    phase_sizes: tuple[int, ...]
    backbone: str
    tuning: str
    max_text_length: int | None
    batch_size: int
    seed: int
    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def num_phases(self) -> int:
        """Phases there will be."""
        return len(self.phase_sizes)

    def rng(self, purpose: str, *numbers: int) -> np.random.Generator:
        """A generator for each purpose and numbers (phase, class, ...), the same on every process.

        The harness draws from streams of its own, which no method can reach by a name.
        """
        from benchmark.randomness import stream

        return stream(self.seed, f"method/{purpose}", *numbers)


@dataclass(frozen=True)
class PhaseData:
    """The samples of one phase; labels count 0..num_seen-1 in the order classes appear.

    Attributes:
        index: 0 for the first.
        new: Labels of this phase's classes.
        num_seen: Number of classes up to and including this phase.
        train: This phase's training samples, of all phases so far if `Method.sees_all_data`. Their
            images are read from disk when asked for; `train.labels` are known without.
        steps: Training steps the phase has, the same for every method.
    """

    index: int
    new: range
    num_seen: int
    train: Samples
    steps: int = 0


@dataclass(frozen=True)
class Stage:
    """One training within a phase: on which items, for which share of the phase's steps.

    Every phase has the same number of steps for every method, so that none learns more by keeping
    more: its stages divide them.

    Attributes:
        items: What is trained on; None for the phase's samples and the memory's exemplars.
        share: Share of the phase's steps, of all its stages together at most 1; 0 trains nothing.
        replay_share: Share of each batch that is drawn from the exemplars among the items; None
            shuffles samples and exemplars together.
        learning_rate: Peak; None for what `--learning-rate` or the method's recipe says.
        name: For progress and results.

    Raises:
        ContractError: A share that is none.
    """

    items: Sequence[Sample | Exemplar] | None = None
    share: float = 1.0
    replay_share: float | None = None
    learning_rate: float | None = None
    name: str = "train"

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        for name in ("share", "replay_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ContractError(f"Stage({name}={value}): a share lies between 0 and 1")


@dataclass(frozen=True)
class Progress:
    """How far training is; `Method.progress` holds it while `collate` and `loss` run.

    Attributes:
        stage: Number of the stage in its phase.
        step: Number of the step in its stage.
        steps: Steps of the stage.
    """

    stage: int = 0
    step: int = 0
    steps: int = 1

    @property
    def share(self) -> float:
        """Share of the stage's steps that are done, from 0 to below 1.

        >>> Progress(step=3, steps=12).share
        0.25
        """
        return self.step / self.steps


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up over the first tenth, then a cosine to zero.

    >>> [round(learning_rate_factor(s, 100), 3) for s in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@dataclass(frozen=True)
class NoSettings:
    """For methods without settings of their own."""


class Method:
    """What the harness asks of a method.

    The harness owns data order, memory, evaluation and checkpoints. Each phase is learnt in a
    process of its own by a fresh object whose state is loaded from disk, and tested in another one,
    so nothing but `state()` and the memory passes from a phase to the next, or from training to
    testing. The hooks are called in this order:

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
    #: `memory-free` methods and bounds are given no memory to keep anything in.
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

        What stands between two `yield`s runs between two trainings, on the model as the former left
        it; after a kill it runs again from the same state. Parameters that are frozen or added
        there change what is trained next.
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

        Called on a fresh object after `load_state`; there is no training sample to look at.
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
        """Tensors that go on to the next phase: by default the parameters trained at this moment.

        Override it and `load_state` for a model that changes otherwise too (running means of a
        BatchNorm, parameters that were trained and then frozen). The file they are written to is
        charged as memory outside the budget.
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

    def transient(self) -> dict[str, torch.Tensor]:
        """Tensors that a checkpoint amid a phase needs beside `state` and the next phase must not.

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
