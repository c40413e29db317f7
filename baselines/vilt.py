"""ViLT (Kim et al., ICML 2021) on any subset of patches and words, without randomness.

The weights and modules are those of transformers' `ViltModel`; the path through them is our own,
because the original draws patches at random in every forward pass (also in evaluation) and can
drop a patch only by masking it, at full cost. Here a dropped patch or word costs nothing, and the
kept ones keep their original positions. Dropout probabilities of a checkpoint are ignored: the
forward pass draws no random number in any mode.

    preprocessor = Preprocessor.from_pretrained("tiny")
    model = Vilt.from_pretrained("tiny")
    view = preprocessor.view(Path("dog.jpg").read_bytes(), "a dog on the grass")
    half = view.keep(patches=np.arange(len(view.patches)) % 2 == 0)
    vectors = model(collate([view, half])).pooled  # (2, D)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.backbone import backbone_path, read_config, read_image_processor, reading
from baselines.views import Batch, Preprocessor, View, collate
from mm_imagenet_r.errors import UserError

_PACK_BELOW = 0.9  # share of real tokens; where packing and padding took equal time

__all__ = ["Batch", "Encoded", "Preprocessor", "View", "Vilt", "collate"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What ViLT makes of a batch: B samples, L = T + 1 + K tokens, D wide.

    Attributes:
        pooled: (B, D) a sample's vector, tanh(dense(hidden[:, 0])).
        hidden: (B, L, D) tokens after the final layer norm; padded rows mean nothing.
        attentions: For each layer (B, heads, L, L), rows attend to columns, or None if not asked
            for. Padded columns are 0, padded rows mean nothing.
        text_length: T, the padded length of the texts.
    """

    pooled: Tensor
    hidden: Tensor
    attentions: list[Tensor] | None
    text_length: int

    @property
    def text(self) -> slice:
        """Where the text tokens lie along L; its first is [CLS], which `pooled` is read from."""
        return slice(0, self.text_length)

    @property
    def image_cls(self) -> int:
        """Where the image class token lies along L."""
        return self.text_length

    @property
    def first_patch(self) -> int:
        """Where the first patch lies along L."""
        return self.text_length + 1

    @property
    def patches(self) -> slice:
        """Where the patches lie along L, in the order of each view."""
        return slice(self.first_patch, None)


class PatchProjection(nn.Module):
    """The patch convolution as the linear map it is on patches that are cut already.

    Weight (D, 3, P, P) and bias (D,) keep the names and shapes of the convolution, so checkpoints
    are read and written unchanged.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias

    def forward(self, patches: Tensor) -> Tensor:
        """Map normalised patches (N, 3, P, P) to (N, D)."""
        return F.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


class Vilt(nn.Module):
    """ViLT from `Batch` to `Encoded`.

    Attributes:
        model: transformers' `ViltModel`; its submodules are called one by one, so replacing one of
            them (as scaling and shifting of features does) takes effect.
        config: Its `ViltConfig`.
    """

    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, model: Any, image_processor: Any) -> None:
        """Wrap a `ViltModel`, with the image processor whose mean and std it was trained on."""
        super().__init__()
        self.model = model
        self.config = model.config
        embeddings = model.embeddings.patch_embeddings
        if isinstance(embeddings.projection, nn.Conv2d):
            embeddings.projection = PatchProjection(embeddings.projection)
        mean, std, factor = torch.zeros(3), torch.ones(3), 1.0
        if image_processor.do_normalize:
            mean = torch.tensor(image_processor.image_mean)
            std = torch.tensor(image_processor.image_std)
        if image_processor.do_rescale:
            factor = image_processor.rescale_factor
        self.register_buffer("pixel_scale", (factor / std).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_shift", (-mean / std).view(3, 1, 1), persistent=False)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, max_text_length: int | None = None) -> Vilt:
        """Read a backbone, in evaluation mode and single precision.

        Args:
            name: Folder, Hub id, or `tiny`. Heads (of masked language modelling, say) are left out.
            max_text_length: Longest text in tokens. If it exceeds what the backbone was trained
                with, its position table is stretched by linear interpolation.

        Raises:
            UserError: The backbone is absent, incomplete or no ViLT.
        """
        from transformers import ViltModel

        path = backbone_path(name)
        read_config(path)
        image_processor = read_image_processor(path)
        # transformers fills weights it does not find by drawing from the global generator.
        model_class: Any = ViltModel
        with torch.random.fork_rng(devices=[]), reading(path, "weights"):
            model, report = model_class.from_pretrained(
                path, dtype=torch.float32, output_loading_info=True
            )
        if missing := sorted(report["missing_keys"]):
            raise UserError(
                f"the weights of backbone {path!r} lack {len(missing)} tensors ({missing[0]}, ...):"
                " name a complete ViLT checkpoint, such as dandelin/vilt-b32-mlm or 'tiny'"
            )
        if max_text_length is not None and max_text_length > model.config.max_position_embeddings:
            _stretch_text_positions(model, max_text_length)
        return cls(model.eval(), image_processor)

    @property
    def hidden_size(self) -> int:
        """D, the width of the tokens and of the pooled vector."""
        return int(self.config.hidden_size)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config and weights for transformers; `Preprocessor.save_pretrained` the rest."""
        self.model.save_pretrained(folder)

    def forward(self, batch: Batch, attentions: bool = False) -> Encoded:
        """Encode a batch.

        Args:
            batch: On the model's device.
            attentions: Return the attention maps (slower, and much memory).
        """
        layout = _Layout(batch)
        x = self._embed(batch, layout)
        maps: list[Tensor] | None = [] if attentions else None
        for layer in self.model.encoder.layer:
            x = _block(layer, x, layout, maps)
        hidden = layout.pad(self.model.layernorm(x))
        pooled = self.model.pooler(hidden)
        return Encoded(pooled, hidden, maps, batch.words.shape[1])

    def pool(self, batch: Batch) -> Tensor:
        """Return `forward(batch).pooled` (B, D) at less cost.

        The last block is computed for [CLS] alone, since nothing else of it is read.
        """
        layout = _Layout(batch)
        x = self._embed(batch, layout)
        *layers, last = self.model.encoder.layer
        for layer in layers:
            x = _block(layer, x, layout)
        x = _block(last, x, layout, cls_only=True)
        return cast(Tensor, self.model.pooler(self.model.layernorm(x)))

    def _embed(self, batch: Batch, layout: _Layout) -> Tensor:
        """Return the tokens in the form of the layout, (M, D) packed or (B, L, D) padded."""
        embeddings = self.model.embeddings
        text_modality, image_modality = embeddings.token_type_embeddings.weight[:2]
        words = self._embed_words(batch) + text_modality
        cls = embeddings.cls_token[0] + embeddings.position_embeddings[0, :1] + image_modality
        patches = self._embed_patches(batch) + image_modality
        size, width = len(batch), words.shape[-1]
        if batch.order is None:
            images = [cls.expand(size, 1, width), patches.view(size, -1, width)]
            return torch.cat([words, *images], dim=1)
        x = torch.cat([words.flatten(0, 1), cls.expand(size, width), patches])[batch.order]
        return x if layout.packed else layout.spread(x)

    def _embed_words(self, batch: Batch) -> Tensor:
        embeddings = self.model.embeddings.text_embeddings
        longest = embeddings.position_embeddings.num_embeddings
        if batch.words.shape[1] > longest:
            raise ValueError(
                f"a text of {batch.words.shape[1]} tokens exceeds the backbone's {longest}: give "
                "Vilt.from_pretrained and Preprocessor.from_pretrained the same max_text_length"
            )
        words = embeddings.word_embeddings(batch.words) + embeddings.token_type_embeddings.weight[0]
        return cast(
            Tensor, embeddings.LayerNorm(words + embeddings.position_embeddings(batch.positions))
        )

    def _embed_patches(self, batch: Batch) -> Tensor:
        embeddings = self.model.embeddings
        table = embeddings.position_embeddings[0, 1:]
        side = self.config.image_size // self.config.patch_size
        pixels = batch.patches.permute(0, 3, 1, 2).to(
            table.dtype, memory_format=torch.contiguous_format
        )
        pixels.mul_(self.pixel_scale).add_(self.pixel_shift)
        weights = _bilinear_weights(batch.places, batch.grids, side).to(table.dtype)
        return cast(Tensor, embeddings.patch_embeddings.projection(pixels) + weights @ table)


class _Layout:
    """Where the tokens of a batch lie: M of them packed, or in B padded sequences of length L.

    Packed tokens cost nothing for padding but have to be spread out for attention in every block,
    which pays where padding is more than a trifle.
    """

    def __init__(self, batch: Batch) -> None:
        self.slots = batch.slots
        self.size = len(batch)
        self.length = batch.words.shape[1] + 1 + batch.patch_mask.shape[1]
        total = self.size * self.length
        self.packed = batch.slots is not None and len(batch.slots) < _PACK_BELOW * total
        self.mask = None if batch.slots is None else batch.mask[:, None, None, :]

    def spread(self, x: Tensor) -> Tensor:
        """(M, D) -> (B, L, D), zeros where padded."""
        assert self.slots is not None
        padded = x.new_zeros(self.size * self.length, x.shape[-1])
        return padded.index_copy(0, self.slots, x).view(self.size, self.length, -1)

    def pad(self, x: Tensor) -> Tensor:
        """Tokens in the form of this layout -> (B, L, D)."""
        return self.spread(x) if self.packed else x

    def pack(self, x: Tensor) -> Tensor:
        """(B, L, D) -> tokens in the form of this layout."""
        return x.flatten(0, 1)[self.slots] if self.packed else x


def _block(
    layer: Any,
    x: Tensor,
    layout: _Layout,
    maps: list[Tensor] | None = None,
    *,
    cls_only: bool = False,
) -> Tensor:
    """One pre-norm transformer block, appending its attention to `maps` if there is a list.

    With `cls_only` the result is (B, 1, D), the first token of each sample.
    """
    attention = layer.attention.attention
    normed = layer.layernorm_before(x)
    key, value = layout.pad(attention.key(normed)), layout.pad(attention.value(normed))
    if cls_only:
        x, normed = layout.pad(x)[:, :1], layout.pad(normed)[:, :1]
        query = attention.query(normed)
    else:
        query = layout.pad(attention.query(normed))
    query, key, value = (
        t.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        for t in (query, key, value)
    )
    if maps is None:
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=layout.mask)
    else:
        scores = query @ key.transpose(-1, -2) / math.sqrt(attention.attention_head_size)
        if layout.mask is not None:
            scores = scores.masked_fill(~layout.mask, -math.inf)
        maps.append(scores.softmax(dim=-1))
        context = maps[-1] @ value
    context = context.transpose(1, 2).flatten(2)
    x = x + layer.attention.output.dense(context if cls_only else layout.pack(context))
    return cast(Tensor, x + layer.output.dense(layer.intermediate(layer.layernorm_after(x))))


def _bilinear_weights(places: Tensor, grids: Tensor, side: int) -> Tensor:
    """Return how much each row of a position table counts for each patch.

    Equals resizing the table to every image's own grid (bilinear, corners aligned), for the wanted
    patches alone, all images at once, and as a matrix product that gradients pass through.

    Args:
        places: (N,) flat positions.
        grids: (N, 2) rows and columns of each patch's image.
        side: Rows, and columns, of the position table.

    Returns:
        (N, side * side) float weights.
    """
    columns = grids[:, 1]
    at = torch.stack([places // columns, places % columns], dim=1)
    # The first and the last patch lie on the first and the last entry; a lone one on the first.
    at = at * (side - 1) / (grids - 1).clamp(min=1)
    near = (1 - (at[:, :, None] - torch.arange(side, device=at.device)).abs()).clamp(min=0)
    return (near[:, 0, :, None] * near[:, 1, None, :]).flatten(1)


def _stretch_text_positions(model: Any, length: int) -> None:
    embeddings = model.embeddings.text_embeddings
    table = embeddings.position_embeddings.weight.detach()
    longer = F.interpolate(table.T[None], size=length, mode="linear", align_corners=True)[0].T
    embeddings.position_embeddings = nn.Embedding(length, table.shape[1], _weight=longer.clone())
    embeddings.position_ids = torch.arange(length)[None]
    embeddings.token_type_ids = torch.zeros(1, length, dtype=torch.long)
    model.config.max_position_embeddings = length
