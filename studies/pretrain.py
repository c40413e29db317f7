"""Makes the embedded backbone: a small ViLT pretrained on the drawn base classes.

    python -m studies.pretrain --output baselines/tiny_vilt

The base classes share parts with those of the embedded data set but no class; nothing of the data
set itself is seen. The task is to name the base class and its parts from picture and caption or
from one of the two, to guess masked words from the rest of the caption and the picture, as in
ViLT's own pretraining, and to name the parts that each patch shows. Real pretraining
has no supervision like the last; without it pictures are not learned in the given time (see
docs/mini.md). No patch is ever left out, so the model is not taught to read samples that lack some;
`--drop-patches` and `--patch-weight` measure what either does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from baselines.exemplars.selection import Array
from baselines.vilt import Batch, Encoded, Preprocessor, Vilt, ViltInput, collate
from benchmark.method import learning_rate_factor
from mm_imagenet_r import command_line, mini
from mm_imagenet_r.mini.grammar import SLOTS, VALUES
from studies.pretraining_data import UNASKED, Recipe, drawings, task
from studies.quality import without_words

_SHARDS = 2  # each batch is split into as many
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def processor(recipe: Recipe) -> Preprocessor:
    """Tokenizer over the words captions are made of, and image processor, as ViLT's."""
    from transformers import BertTokenizer
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    words = [*_SPECIAL, *mini.vocabulary()]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    images: Any = ViltImageProcessorPil(  # type: ignore[call-arg]
        size={"shortest_edge": recipe.image_size}, size_divisor=recipe.patch_size
    )
    return Preprocessor(
        images, tokenizer, patch_size=recipe.patch_size, max_text_length=recipe.max_text_length
    )


def fresh_model(recipe: Recipe, preprocessor: Preprocessor) -> Vilt:
    """A ViLT with random weights that depend on the recipe's seed alone."""
    from transformers import ViltConfig, ViltModel

    config = ViltConfig(
        vocab_size=len(preprocessor.tokenizer),
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.hidden_size,
        image_size=recipe.image_size,
        patch_size=recipe.patch_size,
        max_position_embeddings=recipe.max_text_length,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = ViltModel(config)
        # Zero in transformers; without noise all places look alike for long.
        nn.init.normal_(model.embeddings.position_embeddings, std=0.02)
        nn.init.normal_(model.embeddings.cls_token, std=0.02)
    return Vilt(model, preprocessor.image_processor)


class Heads(nn.Module):
    """What is asked of the backbone in pretraining: class and parts, words, parts of patches."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.counts = [len(mini.base_classes()), *(len(VALUES[slot]) for slot in SLOTS)]
        self.names = nn.Linear(width, sum(self.counts))
        self.words = nn.Linear(width, vocabulary)
        self.seen = nn.Linear(width, sum(self.counts[1:]))

    def loss(
        self,
        out: Encoded,
        batch: Batch,
        targets: Tensor,
        asked: Tensor,
        seen: Tensor,
        recipe: Recipe,
    ) -> Tensor:
        """Weighted sum of what is asked.

        Args:
            out: Of the batch.
            batch: B samples with W words and N patches in all.
            targets: (B, 1 + parts) class and parts.
            asked: (W,) what the words were before they were masked, `UNASKED` for the others.
            seen: (N, values) True where a patch shows a part.
            recipe: The weights.
        """  # fmt: skip
        logits = self.names(out.pooled).split(self.counts, 1)
        named = [
            F.cross_entropy(one, target, label_smoothing=recipe.label_smoothing)
            for one, target in zip(logits, targets.T, strict=True)
        ]
        total = named[0] + recipe.part_weight * torch.stack(named[1:]).mean()
        masked = asked != UNASKED
        if masked.any():
            guesses = self.words(out.hidden[:, out.text][batch.text_mask][masked])
            total = total + recipe.word_weight * F.cross_entropy(guesses, asked[masked])
        if recipe.patch_weight and len(seen):
            guesses = self.seen(out.hidden[:, out.patches][batch.patch_mask])
            where = F.binary_cross_entropy_with_logits(guesses, seen.float(), reduction="none")
            total = total + recipe.patch_weight * where.sum(1).mean()
        return total


def optimizers(recipe: Recipe, model: Vilt, heads: Heads) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the encoder, AdamW for everything else."""
    encoder: list[Any] = [p for p in model.model.encoder.parameters() if p.ndim == 2]
    matrices = set(encoder) if recipe.muon else set()
    everything: list[Any] = [*model.parameters(), *heads.parameters()]
    others = [p for p in everything if p not in matrices]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim > 1]},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(
        groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    if not recipe.muon:
        return [adam]
    muon = torch.optim.Muon(encoder, lr=recipe.muon, weight_decay=recipe.weight_decay)
    return [adam, muon]


def pretrain(recipe: Recipe, output: Path, device: str, workers: int) -> float:
    """Train, write the folder, and return accuracy on fresh pictures of the base classes."""
    rng = np.random.default_rng(recipe.seed)
    preprocessor = processor(recipe)
    data = drawings(preprocessor, "train", recipe.images_per_class, workers)
    held_out = drawings(preprocessor, "test", recipe.held_out, workers)
    model = fresh_model(recipe, preprocessor).to(device).train()
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        heads = Heads(recipe.hidden_size, len(preprocessor.tokenizer)).to(device)
    mask_id = int(preprocessor.tokenizer.mask_token_id)
    parameters: list[nn.Parameter] = [*model.parameters(), *heads.parameters()]

    def gradients(chosen: Array, seed: int) -> tuple[Tensor, list[Tensor]]:
        own = np.random.default_rng([recipe.seed, seed])
        inputs, kept, asked = zip(
            *(task(data.inputs[i], recipe, mask_id, own) for i in chosen), strict=True
        )
        seen = [data.seen[i][k] for i, k in zip(chosen, kept, strict=True)]
        batch = collate(inputs).to(device)
        loss = heads.loss(
            model(batch),
            batch,
            data.targets[chosen].to(device),
            torch.from_numpy(np.concatenate(asked)).to(device),
            torch.from_numpy(np.concatenate(seen)).to(device),
            recipe,
        )
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        return loss.detach(), list(found)

    steps = len(data.inputs) // recipe.batch_size
    chosen_optimizers = optimizers(recipe, model, heads)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, steps * recipe.epochs)
        )
        for optimizer in chosen_optimizers
    ]
    score, step = 0.0, 0
    threads = ThreadPoolExecutor(_SHARDS)  # two small operators at once beat one on two cores
    for epoch in track(range(recipe.epochs), description="pretraining"):
        order, losses, began = rng.permutation(len(data.inputs)), [], time.monotonic()
        for batch in order[: steps * recipe.batch_size].reshape(steps, -1):
            step += 1
            shards = np.array_split(batch, _SHARDS)
            seeds = range(_SHARDS * step, _SHARDS * (step + 1))
            results = list(threads.map(gradients, shards, seeds))
            for number, parameter in enumerate(parameters):
                parameter.grad = torch.stack([grads[number] for _, grads in results]).mean(0)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            for optimizer, schedule in zip(chosen_optimizers, schedules, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            losses += [loss for loss, _ in results]
        if epoch % 2 == 1 or epoch == recipe.epochs - 1:
            score = accuracy(model, heads, held_out.inputs, held_out.targets)
            alone = accuracy(
                model, heads, [without_words(v) for v in held_out.inputs], held_out.targets
            )
            print(
                f"epoch {epoch + 1}: loss {torch.stack(losses).mean():.3f}, accuracy on fresh "
                f"pictures {score:.1%}, without captions {alone:.1%}, "
                f"{time.monotonic() - began:.0f} s an epoch", flush=True,
            )  # fmt: skip
    model.eval().to("cpu").save_pretrained(output)
    preprocessor.save_pretrained(output)
    return score


@torch.no_grad()
def accuracy(model: Vilt, heads: Heads, inputs: Sequence[ViltInput], targets: Tensor) -> float:
    """Share of inputs whose class is found."""
    device = heads.names.weight.device
    found = [
        heads.names(model.pool(collate(inputs[i : i + 256]).to(device)))[:, : heads.counts[0]]
        .argmax(1)
        .cpu()
        for i in range(0, len(inputs), 256)
    ]
    return float((torch.cat(found) == targets[:, 0]).float().mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: where to write, and any number of the recipe."""
    return command_line.run(_main, arguments, has_processes=True)


def _main(arguments: Sequence[str] | None) -> None:
    command = command_line.Parser(
        prog="python -m studies.pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--output", type=Path, required=True, help="folder to write")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--workers", type=int, default=2, help="processes that draw")
    for spec in fields(Recipe):
        command.add_argument(f"--{spec.name.replace('_', '-')}", type=type(spec.default),
                             default=spec.default, help=f"(default: {spec.default})")  # fmt: skip
    given: dict[str, Any] = vars(command.parse_args(arguments))
    output, device, workers = given.pop("output"), given.pop("device"), given.pop("workers")
    score = pretrain(Recipe(**given), output, device, workers)
    Console().print(f"{output}: {score:.1%} on fresh pictures of the base classes")


if __name__ == "__main__":
    sys.exit(main())
