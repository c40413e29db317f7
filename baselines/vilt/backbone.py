"""Finding a ViLT checkpoint and reading its parts, with errors that say what to do.

A backbone is a folder in the layout of transformers (`config.json`, weights, tokenizer, image
processor), a Hub id such as `dandelin/vilt-b32-mlm`, optionally at a revision (`id@REVISION`), or
one of the small ones inside this package: `tiny` for the data set `mini`, `tiny-1` for its first
edition, `mini-1`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from baselines.vilt import checks
from mm_imagenet_r import pretrained
from mm_imagenet_r.errors import UserError, one_line

EMBEDDED = {
    "tiny": Path(__file__).parent.parent / "tiny_vilt",
    "tiny-1": Path(__file__).parent.parent / "tiny_vilt_1",
}
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Checkpoint:
    """Where `from_pretrained` finds a backbone.

    Attributes:
        path: A folder or a Hub id.
        revision: Branch, tag or commit of a Hub id; None for its main branch, or a folder.
    """

    path: str
    revision: str | None = None

    @classmethod
    def find(cls, name: str | Path) -> Checkpoint:
        """Return the checkpoint of that name: `tiny`, `tiny-1`, a folder, or `id[@REVISION]`.

        Raises:
            UserError: The folder is absent or holds no checkpoint.
        """
        folder = EMBEDDED.get(str(name)) or Path(os.path.expanduser(name))  # noqa: PTH111 (no error)
        is_folder = pretrained.is_folder(str(folder))
        if is_folder and (folder / "config.json").is_file():
            return cls(str(folder))
        hub_id = _HUB_ID.fullmatch(str(name))
        if is_folder:
            raise UserError(
                f"{folder} has no config.json, so it is not a transformers checkpoint: name the "
                "folder that save_pretrained wrote, or 'tiny'"
            )
        if isinstance(name, Path) or not hub_id:
            raise UserError(
                f"there is no folder {one_line(str(folder))}: name a folder with a ViLT "
                "checkpoint, a Hub id such as dandelin/vilt-b32-mlm, or 'tiny'"
            )
        return cls(*hub_id.groups())

    def read(self, kind: Any, part: str, **options: Any) -> Any:
        """Return `kind.from_pretrained` of this checkpoint.

        Args:
            kind: A class of transformers.
            part: What it reads, for the message of an error.
            options: For `from_pretrained`.

        Raises:
            UserError: It cannot be read.
        """
        at = {} if self.revision is None else {"revision": self.revision}
        try:
            with _silence():
                return pretrained.read(kind, self.path, **at, **options)
        except pretrained.UnreadableError as error:
            raise self._refusal(part, error) from error

    def config(self) -> Any:
        """Read the `ViltConfig`.

        Raises:
            UserError: It cannot be read, is that of another kind of model, or of none that works.
        """
        from transformers import AutoConfig

        if pretrained.is_folder(self.path):
            try:
                pretrained.check(Path(self.path))
            except pretrained.UnreadableError as error:
                raise self._refusal("config", error) from error
        config = self.read(AutoConfig, "config")
        if config.model_type != "vilt":
            raise UserError(
                f"backbone {self.path!r} is a {config.model_type!r} model, not a ViLT: "
                "name a ViLT checkpoint such as dandelin/vilt-b32-mlm, or 'tiny'"
            )
        if not isinstance(config.image_size, int) or not isinstance(config.patch_size, int):
            raise UserError(
                f"backbone {self.path!r} has a non-square image_size or patch_size, which "
                "transformers' ViLT cannot run either: name another checkpoint"
            )
        self._require("config", checks.faults_of_config(config))
        return config

    def image_processor(self) -> Any:
        """Read the Pillow image processor (the other one needs torchvision).

        Raises:
            UserError: It cannot be read.
        """
        from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

        processor = self.read(ViltImageProcessorPil, "image processor")
        self._require("image processor", checks.faults_of_image_processor(processor))
        return processor

    def tokenizer(self, vocab_size: int) -> Any:
        """Read the tokenizer.

        Args:
            vocab_size: Rows of the model's word embedding.

        Raises:
            UserError: It cannot be read, has no vocabulary, or has more words than the model.
        """
        from transformers import AutoTokenizer

        tokenizer = self.read(AutoTokenizer, "tokenizer")
        # transformers 5 makes up a tokenizer of special tokens alone where the files are missing.
        if not len(set(tokenizer.all_special_ids)) < len(tokenizer) <= vocab_size:
            raise UserError(
                f"the tokenizer of backbone {self.path!r} has {len(tokenizer)} tokens and the "
                f"model {vocab_size}: its files (tokenizer.json or vocab.txt) are missing or belong"
                " to another model; copy them from the source of the checkpoint"
            )
        self._require("tokenizer", checks.faults_of_tokenizer(tokenizer, vocab_size))
        return tokenizer

    def weights(self, config: Any) -> Any:
        """Read the `ViltModel` of a config, without heads, in single precision.

        Raises:
            UserError: They cannot be read, are incomplete, or hold values that are no numbers.
        """
        from transformers import ViltModel

        folder = Path(self.path)
        self._require(
            "weights",
            checks.faults_of_size(config, folder if pretrained.is_folder(self.path) else None),
        )
        model, report = self.read(
            ViltModel, "weights", dtype=torch.float32, output_loading_info=True,
            use_safetensors=True,
        )  # fmt: skip
        if missing := sorted(report["missing_keys"]):
            raise UserError(
                f"the weights of backbone {self.path!r} lack {len(missing)} tensors "
                f"({missing[0]}, ...): name a complete ViLT checkpoint, such as "
                "dandelin/vilt-b32-mlm or 'tiny'"
            )
        self._require("weights", checks.faults_of_weights(model))
        return model

    def _require(self, part: str, faults: Iterator[str]) -> None:
        """Raise UserError for the first of the faults of a part, if there is any."""
        if fault := next(faults, None):
            raise UserError(
                f"the {part} of backbone {self.path!r} cannot be used ({fault}): copy the "
                "checkpoint from its source again, or name another"
            )

    def _refusal(self, part: str, error: Exception) -> UserError:
        """Say that a part cannot be read, why, and what to do."""
        if pretrained.is_folder(self.path):
            remedy = "copy the whole folder, with all of its files, from its source again"
        else:
            at = f" --revision {self.revision}" if self.revision else ""
            remedy = (
                "there is no such folder here, and it could not be fetched from the Hub; check "
                "name, revision and network, or fetch it elsewhere (hf download "
                f"{self.path}{at} --local-dir vilt) and name that folder; 'tiny' needs no network"
            )
        return UserError(f"the {part} of backbone {self.path!r} cannot be read: {remedy} ({error})")


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the progress and the tables of transformers.

    What matters of its table of unused weights (of a head, say) is checked by the caller.
    """
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
