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

What prompt tuning, prefix tuning and adapters put into a frozen transformer goes in by arguments of
the same forward pass, on whole and on masked samples alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.backbone import backbone_path, read_config, read_image_processor, reading
from baselines.blocks import Layout, Prefix, block, for_each
from baselines.patches import PatchProjection, bilinear_weights
from baselines.views import Batch, Preprocessor, View, collate
from mm_imagenet_r.errors import UserError

__all__ = ["Batch", "Encoded", "Preprocessor", "View", "Vilt", "collate"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What ViLT makes of a batch: B samples, L = T + 1 + K + P tokens, D wide.

    Attributes:
        pooled: (B, D) a sample's vector, tanh(dense(hidden[:, 0])).
        hidden: (B, L, D) tokens after the final layer norm; padded rows mean nothing.
        attentions: For each layer (B, heads, L, L), rows attend to columns, or None if not asked
            for. Padded columns are 0, padded rows mean nothing. Prefixes are no columns of it:
            rows of a layer that has some sum to less than one.
        text_length: T, the padded length of the texts.
        num_prompts: P, the prompts of each sample.
    """

    pooled: Tensor
    hidden: Tensor
    attentions: list[Tensor] | None
    text_length: int
    num_prompts: int = 0

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
        return slice(self.first_patch, self.hidden.shape[1] - self.num_prompts)

    @property
    def prompts(self) -> slice:
        """Where the prompts lie along L, in their own order."""
        return slice(self.hidden.shape[1] - self.num_prompts, self.hidden.shape[1])


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

    def forward(
        self,
        batch: Batch,
        attentions: bool = False,
        *,
        prompts: Tensor | None = None,
        prefixes: Mapping[int, Prefix] | None = None,
        adapters: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    ) -> Encoded:
        """Encode a batch.

        Args:
            batch: On the model's device.
            attentions: Return the attention maps (slower, and much memory).
            prompts: (P, D), or (B, P, D) for prompts of each sample's own. They enter the first
                layer as further tokens, with no position, modality or layer norm; all tokens attend
                to them and they to all.
            prefixes: Layer, counted from 0 -> keys and values, each (P, D) or (B, P, D). They stand
                in front of that layer's projected keys and values and are not projected; queries
                are as they were.
            adapters: Layer, counted from 0 -> module from h (..., D), the tokens after attention
                and its residual, to (..., D); its output is added to that of the block. It may see
                tokens packed or padded, so it has to treat each token alone.

        Raises:
            ValueError: A shape does not fit, or there is no such layer.
        """
        layout = Layout(batch, _count(prompts))
        maps: list[Tensor] | None = [] if attentions else None
        x = self._embed(batch, layout, prompts)
        for layer, prefix, adapter in self._layers(prefixes, adapters):
            x = block(layer, x, layout, maps, prefix=prefix, adapter=adapter)
        hidden = layout.pad(self.model.layernorm(x))
        pooled = self.model.pooler(hidden)
        return Encoded(pooled, hidden, maps, batch.words.shape[1], layout.prompts)

    def pool(
        self,
        batch: Batch,
        *,
        prompts: Tensor | None = None,
        prefixes: Mapping[int, Prefix] | None = None,
        adapters: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    ) -> Tensor:
        """Return `forward(...).pooled` (B, D) at less cost; the arguments are those of `forward`.

        The last block is computed for [CLS] alone, since nothing else of it is read.
        """
        return cast(Tensor, self.model.pooler(self._class(batch, prompts, prefixes, adapters)))

    def class_token(
        self,
        batch: Batch,
        *,
        prompts: Tensor | None = None,
        prefixes: Mapping[int, Prefix] | None = None,
        adapters: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    ) -> Tensor:
        """Return `forward(...).hidden[:, 0]` (B, D), [CLS] of the text, at the cost of `pool`."""
        return self._class(batch, prompts, prefixes, adapters)[:, 0]

    def _class(
        self,
        batch: Batch,
        prompts: Tensor | None,
        prefixes: Mapping[int, Prefix] | None,
        adapters: Mapping[int, Callable[[Tensor], Tensor]] | None,
    ) -> Tensor:
        """Return (B, 1, D), [CLS] after the final layer norm."""
        layout = Layout(batch, _count(prompts))
        x = self._embed(batch, layout, prompts)
        last = len(self.model.encoder.layer) - 1
        for i, (layer, prefix, adapter) in enumerate(self._layers(prefixes, adapters)):
            x = block(layer, x, layout, prefix=prefix, adapter=adapter, cls_only=i == last)
        return cast(Tensor, self.model.layernorm(x))

    def _layers(
        self,
        prefixes: Mapping[int, Prefix] | None,
        adapters: Mapping[int, Callable[[Tensor], Tensor]] | None,
    ) -> Iterator[tuple[Any, Prefix | None, Callable[[Tensor], Tensor] | None]]:
        """Each block with what is put into it."""
        layers = self.model.encoder.layer
        prefixes, adapters = prefixes or {}, adapters or {}
        if unknown := (prefixes.keys() | adapters.keys()) - set(range(len(layers))):
            raise ValueError(f"there is no layer {min(unknown)}: they are 0 to {len(layers) - 1}")
        for number, layer in enumerate(layers):
            yield layer, prefixes.get(number), adapters.get(number)

    def _embed(self, batch: Batch, layout: Layout, prompts: Tensor | None) -> Tensor:
        """Return the tokens in the form of the layout, (M, D) packed or (B, L, D) padded."""
        embeddings = self.model.embeddings
        text_modality, image_modality = embeddings.token_type_embeddings.weight[:2]
        words = self._embed_words(batch) + text_modality
        cls = embeddings.cls_token[0] + embeddings.position_embeddings[0, :1] + image_modality
        patches = self._embed_patches(batch) + image_modality
        size, width = len(batch), words.shape[-1]
        if batch.order is None:
            images = [cls.expand(size, 1, width), patches.view(size, -1, width)]
            x = torch.cat([words, *images], dim=1)
        else:
            x = torch.cat([words.flatten(0, 1), cls.expand(size, width), patches])[batch.order]
        if prompts is not None:
            own = for_each(prompts, size, x)
            x = torch.cat([x, own if batch.order is None else own.flatten(0, 1)], dim=-2)
        return x if batch.order is None or layout.packed else layout.spread(x)

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
        weights = bilinear_weights(batch.places, batch.grids, side).to(table.dtype)
        return cast(Tensor, embeddings.patch_embeddings.projection(pixels) + weights @ table)


def _stretch_text_positions(model: Any, length: int) -> None:
    embeddings = model.embeddings.text_embeddings
    table = embeddings.position_embeddings.weight.detach()
    longer = F.interpolate(table.T[None], size=length, mode="linear", align_corners=True)[0].T
    embeddings.position_embeddings = nn.Embedding(length, table.shape[1], _weight=longer.clone())
    embeddings.position_ids = torch.arange(length)[None]
    embeddings.token_type_ids = torch.zeros(1, length, dtype=torch.long)
    model.config.max_position_embeddings = length


def _count(prompts: Tensor | None) -> int:
    return 0 if prompts is None else prompts.shape[-2]
