"""Prompts, prefixes and adapters in ViLT: against a plain loop over transformers' own modules."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.vilt import Batch, Preprocessor, Vilt, ViltInput, blocks, collate

TEXTS = ["a cat", "the dogs on a red cat", "", "the blue dog on the red red red cat a a"]
SIZES = [(64, 64), (96, 64), (64, 96), (32, 96)]


@pytest.fixture(scope="module")
def model(vilt_folder: Path) -> Vilt:
    return Vilt.from_pretrained(vilt_folder)


@pytest.fixture(scope="module")
def inputs(vilt_folder: Path) -> list[ViltInput]:
    """Of different lengths, some with patches left out."""
    preprocessor = Preprocessor.from_pretrained(vilt_folder)
    rng = np.random.default_rng(0)
    whole = [
        preprocessor.input_of(
            rng.integers(0, 256, (*size, 3), dtype=np.uint8), preprocessor.token_ids(text)
        )
        for size, text in zip(SIZES, TEXTS, strict=True)
    ]
    half = whole[1].keep(patches=np.arange(len(whole[1].patches)) % 2 == 0)
    return [*whole, half]


@pytest.fixture(params=[0.0, 2.0], ids=["padded", "packed"], autouse=True)
def _layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_PACK_BELOW", request.param)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def bottleneck(seed: int) -> nn.Module:
    down, up = nn.Linear(32, 4), nn.Linear(4, 32)
    with torch.no_grad():
        for number, parameter in enumerate([*down.parameters(), *up.parameters()]):
            parameter.copy_(drawn(*parameter.shape, seed=seed + number))
    return nn.Sequential(down, nn.ReLU(), up)


def everything(size: int) -> dict[str, Any]:
    """Prompts of each sample's own, two prefixes of two lengths, one shared, and two adapters."""
    return {
        "prompts": drawn(size, 3, 32, seed=1),
        "prefixes": {
            0: (drawn(2, 32, seed=2), drawn(2, 32, seed=3)),
            2: (drawn(size, 5, 32, seed=4), drawn(size, 5, 32, seed=5)),
        },
        "adapters": {1: bottleneck(6), 2: bottleneck(16)},
    }


def of_one(inserted: dict[str, Any], i: int) -> dict[str, Any]:
    """What `everything` holds for one sample."""
    prefixes = {
        layer: tuple(rows if rows.dim() == 2 else rows[i : i + 1] for rows in pair)
        for layer, pair in inserted["prefixes"].items()
    }
    return {**inserted, "prompts": inserted["prompts"][i : i + 1], "prefixes": prefixes}


def plain_loop(
    model: Vilt, input: ViltInput, inserted: dict[str, Any]
) -> tuple[Tensor, list[Tensor]]:
    """Tokens (L, D) after the final norm and maps of one sample, over the modules one by one."""
    first = model.model.encoder.layer[0]
    found: list[Tensor] = []
    handle = first.layernorm_before.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    model(collate([input]))
    handle.remove()
    x = torch.cat([found[0][0], inserted["prompts"][0]])
    maps = []
    for number, layer in enumerate(model.model.encoder.layer):
        inner = layer.attention.attention
        h = layer.layernorm_before(x)
        query, key, value = inner.query(h), inner.key(h), inner.value(h)
        if number in inserted["prefixes"]:
            keys, values = inserted["prefixes"][number]
            key = torch.cat([keys.reshape(-1, 32), key])
            value = torch.cat([values.reshape(-1, 32), value])
        heads = []
        for head in range(4):
            own = slice(8 * head, 8 * head + 8)
            weights = (query[:, own] @ key[:, own].T / math.sqrt(8)).softmax(-1)
            heads.append((weights, weights @ value[:, own]))
        maps.append(torch.stack([weights for weights, _ in heads])[..., len(key) - len(x) :])
        x = x + layer.attention.output.dense(torch.cat([context for _, context in heads], -1))
        extra = inserted["adapters"][number](x) if number in inserted["adapters"] else 0
        x = x + layer.output.dense(layer.intermediate(layer.layernorm_after(x))) + extra
    return model.model.layernorm(x), maps


def close(a: Tensor, b: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@torch.no_grad()
def test_batches_equal_a_plain_loop_over_single_samples(
    model: Vilt, inputs: list[ViltInput]
) -> None:
    inserted = everything(len(inputs))
    batch = collate(inputs)
    out = model(batch, **inserted)
    mapped = model(batch, attentions=True, **inserted)
    close(mapped.hidden[mask_of(batch)], out.hidden[mask_of(batch)])
    for i, input in enumerate(inputs):
        hidden, maps = plain_loop(model, input, of_one(inserted, i))
        words, patches = len(input.token_ids), len(input.patches)
        close(out.hidden[i, out.text][:words], hidden[:words])
        close(out.hidden[i, out.first_patch - 1], hidden[words])
        close(out.hidden[i, out.patches][:patches], hidden[words + 1 : words + 1 + patches])
        close(out.hidden[i, out.prompts], hidden[-3:])
        close(out.pooled[i], model.model.pooler(hidden[None])[0])
        real = mask_of(batch)[i]
        for own, other in zip(mapped.attentions or [], maps, strict=True):
            close(own[i][:, real][:, :, real], other)
            assert (own[i][:, :, ~real] == 0).all()
    assert out.hidden.shape[1] == out.prompts.stop == out.patches.stop + 3


def mask_of(batch: Batch) -> Tensor:
    return torch.cat([batch.mask, batch.mask.new_ones(len(batch), 3)], dim=1)


@torch.no_grad()
@pytest.mark.parametrize("same_size", [False, True])
def test_the_class_token_is_that_of_the_whole_pass(
    model: Vilt, inputs: list[ViltInput], same_size: bool
) -> None:
    inputs = [inputs[0]] * 3 if same_size else inputs  # no padding at all, or some
    batch, inserted = collate(inputs), everything(len(inputs))
    out = model(batch, **inserted)
    close(model.class_token(batch, **inserted), out.hidden[:, 0])
    close(model.pool(batch, **inserted), out.pooled)
    close(model.class_token(batch), model(batch).hidden[:, 0])


@torch.no_grad()
def test_batch_equals_singles(model: Vilt, inputs: list[ViltInput]) -> None:
    inserted = everything(len(inputs))
    together = model.class_token(collate(inputs), **inserted)
    for i, input in enumerate(inputs):
        close(together[i], model.class_token(collate([input]), **of_one(inserted, i))[0])


@torch.no_grad()
def test_nothing_inserted_changes_no_bit(model: Vilt, inputs: list[ViltInput]) -> None:
    batch = collate(inputs)
    bare, empty = model(batch), model(batch, prompts=drawn(0, 32), prefixes={}, adapters={})
    assert torch.equal(bare.hidden, empty.hidden)
    silent = bottleneck(0)
    for parameter in silent[2].parameters():
        parameter.zero_()
    zero_up = model(batch, adapters=dict.fromkeys(range(3), silent))
    assert torch.equal(bare.hidden, zero_up.hidden)
    assert bare.hidden[:, bare.prompts].shape[1] == 0


@torch.no_grad()
def test_prompts_of_all_are_those_of_each(model: Vilt, inputs: list[ViltInput]) -> None:
    batch, rows = collate(inputs), drawn(3, 32)
    shared = model(batch, prompts=rows).hidden
    assert torch.equal(shared, model(batch, prompts=rows.expand(len(inputs), 3, 32)).hidden)


def test_gradients_reach_all_that_is_inserted(model: Vilt, inputs: list[ViltInput]) -> None:
    inserted = everything(len(inputs))
    leaves = [
        inserted["prompts"],
        *(rows for pair in inserted["prefixes"].values() for rows in pair),
    ]
    for leaf in leaves:
        leaf.requires_grad_()
    model.class_token(collate(inputs), **inserted).sum().backward()
    leaves += [p for adapter in inserted["adapters"].values() for p in adapter.parameters()]
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_what_does_not_fit_is_refused(model: Vilt, inputs: list[ViltInput]) -> None:
    batch = collate(inputs)
    with pytest.raises(ValueError, match=r"are \(P, 32\) or \(5, P, 32\), not \(4, 2, 32\)"):
        model(batch, prompts=drawn(4, 2, 32))
    with pytest.raises(ValueError, match="there is no layer 3: they are 0 to 2"):
        model.pool(batch, adapters={3: nn.Identity()})
    with pytest.raises(ValueError, match="2 keys of a prefix for 1 values"):
        model(batch, prefixes={0: (drawn(2, 32), drawn(1, 32))})


class OneHead(nn.Module):
    """A layer of width 2 whose query is the token itself, with keys and values by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Module()
        inner = nn.Module()
        inner.num_attention_heads, inner.attention_head_size = 1, 2
        inner.query = nn.Identity()
        inner.key = lambda x: torch.eye(2).expand(len(x), 2, 2)
        inner.value = lambda x: torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(len(x), 2, 2)
        self.attention.attention = inner
        self.attention.output = nn.Module()
        self.attention.output.dense = nn.Identity()
        self.layernorm_before = self.layernorm_after = nn.Identity()
        self.intermediate = nn.Identity()
        self.output = nn.Module()
        self.output.dense = torch.zeros_like


@pytest.mark.parametrize("mapped", [False, True])
def test_a_prefix_by_hand(inputs: list[ViltInput], mapped: bool) -> None:
    """q = [1, 0] over keys of the unit axes; with a prefix of key 0 and value 10 in front."""
    bare = inputs[0].keep(np.arange(16) < 0, np.zeros(len(inputs[0].token_ids), dtype=bool))
    layout = blocks.Layout(collate([bare]))  # [CLS] and the image's class token
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    prefix = torch.zeros(1, 2), torch.full((1, 2), 10.0)
    for given, wanted in ((None, [1.660477, 2.660477]), (prefix, [3.730806, 4.482551])):
        maps: list[Tensor] | None = [] if mapped else None
        out = blocks.block(OneHead(), x, layout, maps, prefix=given)
        close(out[0, 0] - x[0, 0], torch.tensor(wanted), 1e-5)
        if maps and given:
            close(maps[0][0, 0, 0], torch.tensor([0.503490, 0.248255]), 1e-5)
