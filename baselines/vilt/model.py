"""ViLT (Kim et al., ICML 2021) on any subset of patches and words, without randomness.

The weights and modules are those of transformers' `ViltModel`; the path through them is our own,
because the original draws patches at random in every forward pass (also in evaluation) and can
drop a patch only by masking it, at full cost. Here a dropped patch or word costs nothing, and the
kept ones keep their original positions. Dropout probabilities of a checkpoint are ignored: the
forward pass draws no random number in any mode.

    preprocessor = Preprocessor.from_pretrained("tiny")
    model = Vilt.from_pretrained("tiny")
    whole = preprocessor.input(Path("dog.jpg").read_bytes(), "a dog on the grass")
    half = whole.keep(patches=np.arange(len(whole.patches)) % 2 == 0)
    vectors = model(collate([whole, half])).pooled  # (2, D)

What prompt tuning, prefix tuning and adapters put into a frozen transformer is an argument of the
same forward pass, for whole and masked samples alike (`Inserted`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.vilt.backbone import Checkpoint
from baselines.vilt.batch import Batch
from baselines.vilt.blocks import Layout, Prefix, block, for_each
from baselines.vilt.patches import PatchProjection, bilinear_weights
from baselines.vilt.tuning import merge


@dataclass(frozen=True, slots=True)
class Encoded:
    """Output of ViLT for a batch: B samples, L = T + 1 + K + P tokens, D wide.

    Attributes:
        pooled: (B, D) a sample's vector, tanh(dense(hidden[:, 0])).
        hidden: (B, L, D) tokens after the final layer norm; padded rows mean nothing.
        attentions: For each layer (B, heads, L, L), rows attend to columns, or None if not asked
            for. Padded columns are 0, padded rows mean nothing. Prefixes have no columns:
            rows of a layer with prefixes sum to less than one.
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
    def first_patch(self) -> int:
        """Where the first patch lies along L, behind text and image class token."""
        return self.text_length + 1

    @property
    def patches(self) -> slice:
        """Where the patches lie along L, in the order of each input."""
        return slice(self.first_patch, self.hidden.shape[1] - self.num_prompts)

    @property
    def prompts(self) -> slice:
        """Where the prompts lie along L, in their own order."""
        return slice(self.hidden.shape[1] - self.num_prompts, self.hidden.shape[1])


class Inserted(TypedDict, total=False):
    """What can be put into the frozen transformer.

    Attributes:
        prompts: (P, D), or (B, P, D) for prompts of each sample's own. They enter the first layer
            as further tokens, with no position, modality or layer norm; all tokens attend to them
            and they to all.
        prefixes: Layer, counted from 0 -> keys and values, each (P, D) or (B, P, D). They stand in
            front of that layer's projected keys and values and are not projected; queries are
            unchanged.
        adapters: Layer, counted from 0 -> module from h (..., D), the tokens after attention and
            its residual, to (..., D); its output is added to that of the block. It may see tokens
            packed or padded, so it must treat each token alone.
    """

    prompts: Tensor | None
    prefixes: Mapping[int, Prefix] | None
    adapters: Mapping[int, Callable[[Tensor], Tensor]] | None


class Vilt(nn.Module):
    """ViLT from `Batch` to `Encoded`.

    Attributes:
        model: transformers' `ViltModel`; its submodules are called one by one, so replacing one
            (as SSF does) takes effect.
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
            name: Folder, Hub id (`id@REVISION` pins it), or `tiny`. Heads (of masked language
                modelling, say) are left out.
            max_text_length: Longest text in tokens. If it exceeds what the backbone was trained
                with, its position table is stretched by linear interpolation.

        Raises:
            UserError: The backbone is absent, incomplete or not a ViLT.
        """
        checkpoint = Checkpoint.find(name)
        config = checkpoint.config()
        image_processor = checkpoint.image_processor()
        # transformers fills weights it does not find by drawing from the global generator.
        with torch.random.fork_rng(devices=[]):
            model = checkpoint.weights(config)
        if max_text_length is not None and max_text_length > model.config.max_position_embeddings:
            _stretch_text_positions(model, max_text_length)
        return cls(model.eval(), image_processor)

    @property
    def hidden_size(self) -> int:
        """D, the width of the tokens and of the pooled vector."""
        return int(self.config.hidden_size)

    def save_pretrained(self, folder: str | Path, class_names: Sequence[str] = ()) -> None:
        """Write config and weights for transformers; `Preprocessor.save_pretrained` the rest.

        Scales and shifts (SSF) are merged into the written weights; this model keeps them.

        Args:
            folder: Where to write.
            class_names: The `id2label` of the config, if there are any.
        """
        model = copy.deepcopy(self.model).cpu()
        merge(model)
        if class_names:
            model.config.id2label = dict(enumerate(class_names))
            model.config.label2id = {name: i for i, name in enumerate(class_names)}
        model.save_pretrained(folder)

    def forward(
        self, batch: Batch, attentions: bool = False, **inserted: Unpack[Inserted]
    ) -> Encoded:
        """Encode a batch.

        Args:
            batch: On the model's device.
            attentions: Return the attention maps (slower, and takes much memory).
            **inserted: Prompts, prefixes and adapters, see `Inserted`.

        Raises:
            ValueError: A shape does not fit, or there is no such layer.
        """
        maps: list[Tensor] | None = [] if attentions else None
        x, layout = self._encode(batch, maps, **inserted)
        hidden = layout.pad(x)
        pooled = self.model.pooler(hidden)
        return Encoded(pooled, hidden, maps, batch.token_ids.shape[1], layout.prompts)

    def pool(self, batch: Batch, **inserted: Unpack[Inserted]) -> Tensor:
        """Return `forward(...).pooled` (B, D) at less cost.

        The last block is computed for [CLS] alone, since nothing else of it is read.
        """
        return cast(Tensor, self.model.pooler(self._encode(batch, cls_only=True, **inserted)[0]))

    def class_token(self, batch: Batch, **inserted: Unpack[Inserted]) -> Tensor:
        """Return `forward(...).hidden[:, 0]` (B, D), [CLS] of the text, at the cost of `pool`."""
        return self._encode(batch, cls_only=True, **inserted)[0][:, 0]

    def _encode(
        self,
        batch: Batch,
        maps: list[Tensor] | None = None,
        *,
        cls_only: bool = False,
        prompts: Tensor | None = None,
        prefixes: Mapping[int, Prefix] | None = None,
        adapters: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    ) -> tuple[Tensor, Layout]:
        """Tokens after the final layer norm, or [CLS] alone (B, 1, D), and their layout."""
        layers, prefixes, adapters = self.model.encoder.layer, prefixes or {}, adapters or {}
        if unknown := (prefixes.keys() | adapters.keys()) - set(range(len(layers))):
            raise ValueError(f"there is no layer {min(unknown)}: they are 0 to {len(layers) - 1}")
        layout = Layout(batch, 0 if prompts is None else prompts.shape[-2])
        x = self._embed(batch, layout, prompts)
        for i, layer in enumerate(layers):
            x = block(
                layer, x, layout, maps, prefix=prefixes.get(i), adapter=adapters.get(i),
                cls_only=cls_only and i == len(layers) - 1,
            )  # fmt: skip
        return self.model.layernorm(x), layout

    def _embed(self, batch: Batch, layout: Layout, prompts: Tensor | None) -> Tensor:
        """Return the tokens in the form of the layout, (M, D) packed or (B, L, D) padded."""
        embeddings = self.model.embeddings
        text_modality, image_modality = embeddings.token_type_embeddings.weight[:2]
        words = self._embed_text(batch) + text_modality
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

    def _embed_text(self, batch: Batch) -> Tensor:
        embeddings = self.model.embeddings.text_embeddings
        length, longest = batch.token_ids.shape[1], embeddings.position_embeddings.num_embeddings
        if length > longest:
            raise ValueError(
                f"a text of {length} tokens exceeds the backbone's {longest}: give "
                "Vilt.from_pretrained and Preprocessor.from_pretrained the same max_text_length"
            )
        x = embeddings.word_embeddings(batch.token_ids) + embeddings.token_type_embeddings.weight[0]
        x = x + embeddings.position_embeddings(batch.positions)
        return cast(Tensor, embeddings.LayerNorm(x))

    def _embed_patches(self, batch: Batch) -> Tensor:
        embeddings = self.model.embeddings
        table = embeddings.position_embeddings[0, 1:]
        side = self.config.image_size // self.config.patch_size
        pixels = batch.patches.permute(0, 3, 1, 2).to(
            table.dtype, memory_format=torch.contiguous_format
        )
        pixels.mul_(self.pixel_scale).add_(self.pixel_shift)
        weights = bilinear_weights(batch.patch_indices, batch.grids, side).to(table.dtype)
        return cast(Tensor, embeddings.patch_embeddings.projection(pixels) + weights @ table)


def _stretch_text_positions(model: Any, length: int) -> None:
    embeddings = model.embeddings.text_embeddings
    table = embeddings.position_embeddings.weight.detach()
    longer = F.interpolate(table.T[None], size=length, mode="linear", align_corners=True)[0].T
    embeddings.position_embeddings = nn.Embedding(length, table.shape[1], _weight=longer.clone())
    embeddings.position_ids = torch.arange(length)[None]
    embeddings.token_type_ids = torch.zeros(1, length, dtype=torch.long)
    model.config.max_position_embeddings = length
