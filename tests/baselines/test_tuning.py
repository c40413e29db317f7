from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import ViltConfig, ViltModel

from baselines.vilt import Batch, Preprocessor, Vilt, collate
from baselines.vilt.patches import PatchProjection
from baselines.vilt.tuning import ScaleShift, merge, tune
from mm_imagenet_r.errors import UserError


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_values(base: nn.Module, scale: list[float], shift: list[float]) -> ScaleShift:
    layer = ScaleShift(base, seeded())
    with torch.no_grad():
        layer.scale.copy_(torch.tensor(scale))
        layer.shift.copy_(torch.tensor(shift))
    return layer


@pytest.fixture
def model(vilt_folder: Path) -> Vilt:
    return Vilt.from_pretrained(vilt_folder)


@pytest.fixture(scope="module")
def batch(vilt_folder: Path) -> Batch:
    preprocessor = Preprocessor.from_pretrained(vilt_folder)
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (96, 64)]
    pixels = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    words = [preprocessor.token_ids(text) for text in ("a cat", "the dog on the grass")]
    return collate([preprocessor.input_of(p, w) for p, w in zip(pixels, words, strict=True)])


def test_linear_by_hand() -> None:
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        linear.bias.copy_(torch.tensor([1.0, -1.0]))
    layer = with_values(linear, [2.0, 0.5], [0.1, -0.2])
    torch.testing.assert_close(layer(torch.ones(2)), torch.tensor([8.1, 2.8]))
    merged = layer.merged()
    assert merged is linear
    torch.testing.assert_close(linear.weight.data, torch.tensor([[2.0, 4.0], [1.5, 2.0]]))
    torch.testing.assert_close(linear.bias.data, torch.tensor([2.1, -0.7]))


def test_layer_norm_by_hand() -> None:
    norm = nn.LayerNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    layer = with_values(norm, [1.1, 0.9, 1.0], [0.01, -0.02, 0.03])
    x = torch.tensor([[1.0, 2.0, 4.0]])
    expected = torch.tensor([[-1.1659, 0.3989, 3.0389]])
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(layer.merged()(x), expected, rtol=0, atol=1e-4)


def test_a_patch_projection_is_scaled_and_merged() -> None:
    x, convolution = torch.randn(2, 3, 3, 3, generator=seeded()), nn.Conv2d(3, 4, 3)
    plain = convolution(x).flatten(1)
    torch.testing.assert_close(PatchProjection(convolution)(x), plain)
    layer = with_values(PatchProjection(convolution), [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 0.0])
    expected = plain * torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.tensor([0.0, 1.0, 0.0, 0.0])
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.merged()(x), expected)


def test_number_of_parameters_on_vilt_b32(model: Vilt) -> None:
    with torch.device("meta"):
        large = ViltModel(ViltConfig())
    fake = Vilt(large, Preprocessor_stub())
    for layer in [m for m in fake.modules() if isinstance(m, nn.Linear | nn.LayerNorm)]:
        assert layer.weight.is_meta
    tune(fake, "ssf", seeded())
    count = sum(p.numel() for p in fake.parameters() if p.requires_grad)
    assert count == 12 * 2 * (768 * 2 + 2304 + 768 + 3072 + 768) + 2 * 768 * 2 == 205_824
    tune(model, "ssf", seeded(), ssf_text=True)
    extra = model.model.embeddings.text_embeddings.LayerNorm
    assert isinstance(extra, ScaleShift)
    total = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert total == 3 * 2 * (32 * 2 + 96 + 32 + 64 + 32) + 2 * 32 * 2 + 64


class Preprocessor_stub:  # noqa: N801
    do_normalize = do_rescale = False


def test_first_values_come_from_the_own_generator(model: Vilt, vilt_folder: Path) -> None:
    before = torch.get_rng_state()
    tune(model, "ssf", seeded(3))
    assert torch.equal(before, torch.get_rng_state())
    state = trainable_state(model)
    scales = torch.cat([value for name, value in state.items() if name.endswith("scale")])
    shifts = torch.cat([value for name, value in state.items() if name.endswith("shift")])
    assert len(scales) == len(shifts) == 3 * (32 * 2 + 96 + 32 + 64 + 32) + 64
    for values, mean in ((scales, 1.0), (shifts, 0.0)):
        assert abs(float(values.mean()) - mean) < 0.003
        assert abs(float(values.std()) - 0.02) < 0.002
    again = Vilt.from_pretrained(vilt_folder)
    tune(again, "ssf", seeded(3))
    for name, value in trainable_state(again).items():
        assert torch.equal(value, state[name])


def scale_and_shift(model: Vilt) -> None:
    """Far from the identity."""
    tune(model, "ssf", seeded(), ssf_text=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=seeded(len(name))) * 0.2)


def test_merged_equals_unmerged(model: Vilt, batch: Batch) -> None:
    plain = model(batch).pooled.detach()
    names = list(model.state_dict())
    scale_and_shift(model)
    with torch.no_grad():
        scaled = model(batch)
        merge(model)
        merged = model(batch)
    assert (scaled.pooled - plain).abs().max() > 0.05
    torch.testing.assert_close(scaled.hidden, merged.hidden, rtol=0, atol=2e-5)
    assert list(model.state_dict()) == names
    assert not any(p.requires_grad for p in model.parameters())


def test_what_is_saved_with_scales_and_shifts_loads_equal(
    model: Vilt, batch: Batch, vilt_folder: Path, tmp_path: Path
) -> None:
    scale_and_shift(model)
    names = list(model.state_dict())
    model.save_pretrained(tmp_path)
    Preprocessor.from_pretrained(vilt_folder).save_pretrained(tmp_path)
    assert list(model.state_dict()) == names  # the model itself stays unmerged
    loaded, report = ViltModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert len(loaded.state_dict()) == len(load_file(tmp_path / "model.safetensors"))
    with torch.no_grad():
        again, own = Vilt.from_pretrained(tmp_path).pool(batch), model.pool(batch)
    torch.testing.assert_close(again, own, rtol=0, atol=2e-5)


def test_ssf_trains_scales_and_shifts_alone(model: Vilt, batch: Batch) -> None:
    tune(model, "ssf", seeded())
    frozen = copy.deepcopy(model)
    model.pool(batch).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.endswith(("scale", "shift")), name
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    optimizer.step()
    assert (model.pool(batch) - frozen.pool(batch)).abs().max() > 1e-3
    merge(frozen)
    tune(frozen, "ssf", seeded())  # a second time is possible once merged


def test_other_modes(model: Vilt, batch: Batch) -> None:
    tune(model, "full")
    model.pool(batch).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    tune(model, "head")
    assert not model.pool(batch).requires_grad
    with pytest.raises(UserError, match="did you mean 'ssf'"):
        tune(model, "sfs")
    with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
        tune(model, "ssf")
    tune(model, "ssf", seeded())
    with pytest.raises(ValueError, match="merge them first"):
        tune(model, "ssf", seeded())
