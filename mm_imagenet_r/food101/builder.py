"""UPMC Food-101 as a builder of `datasets`: `load_dataset("upmc_food101", data_dir=...)`."""

from __future__ import annotations

from typing import Any, Final

from mm_imagenet_r.builder import MMImageNetR
from mm_imagenet_r.errors import UserError

NAME: Final = "upmc_food101"


class UPMCFood101(MMImageNetR):
    """The builder of MM-ImageNet-R with one configuration, that of `mm_imagenet_r.food101`."""

    DEFAULT_CONFIG_NAME = NAME

    def __init__(
        self, cache_dir: str | None = None, *, config_name: str | None = None, **kwargs: Any
    ) -> None:
        """Take the options of `MMImageNetR`.

        Raises:
            UserError: A configuration is asked for, or the files are absent or damaged.
        """
        if config_name not in (None, NAME):
            raise UserError(f"{NAME} has no configurations: leave {config_name!r} away")
        super().__init__(cache_dir=cache_dir, config_name=NAME, **kwargs)
