"""How suitable a data set and a backbone are for measuring exemplar masking: probes, attention.

    python -m studies.quality                        # prints the figures
    python -m studies.quality --page docs/mini.md    # and writes them there

The probes see frozen features and choose their weight decay on a part of the training data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from baselines.exemplars.selection import Array
from baselines.vilt import Batch, Encoded, Preprocessor, Vilt, ViltInput, collate
from baselines.vilt.attention import SOURCES, above_mean, patch_scores, reduce_layers
from mm_imagenet_r import command_line, mini
from mm_imagenet_r.files import replace_section

RATE = 0.36  # share of the patches that the paper's masks keep on average
_DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)


def probe(train: Array, labels: Array, test: Array, answers: Array) -> float:
    """Accuracy of logistic regression on features (N, D), its decay chosen on a held-out fifth."""
    held = np.arange(len(train)) % 5 == 0
    inner = [_fit(train[~held], labels[~held], decay) for decay in _DECAYS]
    scores = [_score(model, train[held], labels[held]) for model in inner]
    best = _fit(train, labels, _DECAYS[int(np.argmax(scores))])
    return _score(best, test, answers)


def _fit(x: Array, y: Array, decay: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    features = torch.as_tensor(x, dtype=torch.float32)
    mean, std = features.mean(0), features.std(0) + 1e-6
    features, target = (features - mean) / std, torch.as_tensor(y)
    weight = torch.zeros(int(target.max()) + 1, features.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(features @ weight[:, :-1].T + weight[:, -1], target)
        loss = loss + decay * weight[:, :-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), mean, std


def _score(model: tuple[torch.Tensor, ...], x: Array, y: Array) -> float:
    weight, mean, std = model
    features = (torch.as_tensor(x, dtype=torch.float32) - mean) / std
    found = (features @ weight[:, :-1].T + weight[:, -1]).argmax(1).numpy()
    return float((found == y).mean())


class Measured:
    """Mini through a backbone: inputs, features, attention."""

    def __init__(self, backbone: str, edition: mini.Edition) -> None:
        self.preprocessor = Preprocessor.from_pretrained(backbone)
        self.model = Vilt.from_pretrained(backbone)
        self.labels: dict[str, Array] = {}
        self.inputs: dict[str, list[ViltInput]] = {}
        self.objects: list[Array] = []  # share of each patch of a test image that is object
        counts = {"train": edition.train_per_class, "test": edition.test_per_class}
        for split, count in counts.items():
            classes = [c for c in mini.classes(edition) for _ in range(count)]
            drawn = [mini.draw(c, split, i % count) for i, c in enumerate(classes)]
            self.labels[split] = np.array([c.number for c in classes])
            self.inputs[split] = [self.preprocessor.input(d.image, d.caption) for d in drawn]
        pairs = zip(drawn, self.inputs["test"], strict=True)
        self.objects = [coverage(d.mask, seen) for d, seen in pairs]

    def features(self, inputs: Sequence[ViltInput]) -> Array:
        """Pooled features (N, D)."""
        starts = range(0, len(inputs), 128)
        with torch.no_grad():
            rows = [self.model.pool(collate(inputs[i : i + 128])).numpy() for i in starts]
        return np.concatenate(rows)

    def scores(self, inputs: Sequence[ViltInput], source: str) -> list[Array]:
        """Class-token attention on each input's patches."""
        found: list[Array] = []
        for start in range(0, len(inputs), 128):
            batch = collate(inputs[start : start + 128])
            with torch.no_grad():
                out = self.model(batch, attentions=True)
            found += patch_scores_of(out, batch, source)
        return found

    def probe(self, train: Sequence[ViltInput], test: Sequence[ViltInput]) -> float:
        """Linear probe trained on one kind of input and tested on another."""
        return probe(
            self.features(train), self.labels["train"], self.features(test), self.labels["test"]
        )


def patch_scores_of(out: Encoded, batch: Batch, source: str) -> list[Array]:
    """Class-token attention of each sample of a batch on its own patches."""
    scores = patch_scores(reduce_layers(out.attentions or [], source), out.patches.start)
    return [s[m].numpy() for s, m in zip(scores, batch.patch_mask, strict=True)]


def coverage(mask: Array, input: ViltInput) -> Array:
    """Share of each patch (K,) that an object mask (H, W) covers."""
    from PIL import Image

    rows, columns = input.grid
    small = Image.fromarray(mask.astype(np.float32)).resize(
        (columns, rows), resample=Image.Resampling.BOX
    )
    return np.asarray(small).ravel()


def without_words(input: ViltInput) -> ViltInput:
    """The picture alone: [CLS] and [SEP] stay."""
    ends = np.zeros(len(input.token_ids), dtype=bool)
    ends[[0, -1]] = True
    return input.keep(words=ends)


def without_patches(input: ViltInput) -> ViltInput:
    """The caption alone."""
    return input.keep(patches=np.zeros(len(input.patches), dtype=bool))


def strongest(input: ViltInput, scores: Array, rate: float) -> ViltInput:
    """The input with the share `rate` of its patches that score highest."""
    keep = np.zeros(len(scores), dtype=bool)
    keep[np.argsort(-scores, kind="stable")[: round(rate * len(scores))]] = True
    return input.keep(patches=keep)


def measure(backbone: str, edition: mini.Edition) -> dict[str, float]:
    """All figures of `docs/mini.md` that need no training of the network."""
    data = Measured(backbone, edition)
    train, test = data.inputs["train"], data.inputs["test"]
    figures = {
        "image and text": data.probe(train, test),
        "image alone": data.probe([*map(without_words, train)], [*map(without_words, test)]),
        "text alone": data.probe([*map(without_patches, train)], [*map(without_patches, test)]),
        "chance of attention on the object": float(np.mean([o.mean() for o in data.objects])),
    }
    whole, whole_test = data.features(train), data.features(test)
    for source in (*SOURCES, "random"):
        scores, own = (
            _noise(inputs) if source == "random" else data.scores(inputs, source)
            for inputs in (test, train)
        )
        masked, masked_train = (
            data.features([strongest(v, s, RATE) for v, s in zip(inputs, given, strict=True)])
            for inputs, given in ((test, scores), (train, own))
        )
        labels, answers = data.labels["train"], data.labels["test"]
        figures[f"masked at {RATE} by {source}"] = probe(whole, labels, masked, answers)
        figures[f"masked at {RATE} by {source}, training too"] = probe(
            masked_train, labels, masked, answers
        )
        figures[f"whole, fitted on those masked by {source}"] = probe(
            masked_train, labels, whole_test, answers
        )
        if source == "random":
            continue
        figures[f"attention on the object, {source}"] = float(
            np.mean([(s * o).sum() / s.sum() for s, o in zip(scores, data.objects, strict=True)])
        )
        figures[f"object in the kept patches, {source}"] = float(
            np.mean([o[_kept(s)].mean() for s, o in zip(scores, data.objects, strict=True)])
        )
        figures[f"kept above the mean, {source}"] = float(
            np.mean([_kept(s).mean() for s in scores])
        )
    return figures


def _noise(inputs: Sequence[ViltInput]) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.random(len(input.patches)) for input in inputs]


def _kept(scores: Array) -> Array:
    row = torch.as_tensor(scores)[None]
    kept: Array = above_mean(row, torch.ones_like(row, dtype=torch.bool), 1.0)[0].numpy()
    return kept


def table(figures: dict[str, float]) -> str:
    """The figures as Markdown."""
    lines = ["| figure | value |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {value:.3f} |" for name, value in figures.items())])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the page."""
    return command_line.run(_main, arguments)


def _main(arguments: Sequence[str] | None) -> None:
    command = command_line.Parser(prog="python -m studies.quality", description=__doc__)
    command.add_argument("--dataset", default="mini", choices=mini.EDITIONS, help="which edition")
    command.add_argument("--backbone", default="tiny", help="name or folder")
    command.add_argument("--page", type=Path, help="Markdown file whose section to replace")
    given = command.parse_args(arguments)
    text = table(measure(given.backbone, mini.EDITIONS[given.dataset])) + "\n"
    if given.page:
        replace_section(given.page, "quality", text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
