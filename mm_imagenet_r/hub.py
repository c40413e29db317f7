"""The registration with `datasets`: what makes `load_dataset("mm_imagenet_r", ...)` come here.

`datasets` has no public hook for this. Two of its internals are touched here and nowhere else; if a
release moves them there is a warning, and `mm_imagenet_r.load` works, as it uses public API only.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from mm_imagenet_r.catalog import CATALOG, MM_IMAGENET_R
from mm_imagenet_r.errors import UserError

_BUILDER: Final = "mm_imagenet_r.builder"


def register() -> None:
    """Make the registered names known to `datasets`: now if it is loaded, else as soon as it is.

    Waiting keeps `import mm_imagenet_r` and every command's `--help` quick: importing `datasets`
    takes more than a second.
    """
    if getattr(sys.modules.get("datasets"), "load_dataset", None) is not None:
        _register()
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


class _Waiting(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads `datasets` as others would, then registers; a mere look-up changes nothing."""

    _loader: importlib.abc.Loader

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "datasets":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                self._loader, spec.loader = spec.loader, self
                return spec
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register()


def _register() -> None:
    """Enter the table that `load_dataset` consults before folders and the Hub."""
    try:
        from datasets.data_files import DataFilesDict
        from datasets.load import DatasetModule, PackagedDatasetModuleFactory
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

        original = PackagedDatasetModuleFactory.get_module
        if MM_IMAGENET_R in _PACKAGED_DATASETS_MODULES:
            return
        names = [entry.name for entry in CATALOG.values() if entry.registered]

        def get_module(self: Any) -> Any:
            if self.name not in names:
                return original(self)
            if self.data_files is not None:
                raise UserError(
                    f"load_dataset({self.name!r}) takes no data_files: name a configuration, as in "
                    'load_dataset("mm_imagenet_r", "mini"), or the folder of the data, data_dir=...'
                )
            # The original would search the current folder for files on every call. Empty data
            # files rather than none: none is taken for a forgotten argument.
            kwargs = {"data_files": DataFilesDict(), "dataset_name": self.name}
            return DatasetModule(_BUILDER, "", kwargs)

        _PACKAGED_DATASETS_MODULES.update(dict.fromkeys(names, (_BUILDER, "")))
        PackagedDatasetModuleFactory.get_module = get_module
    except (ImportError, AttributeError) as error:
        warnings.warn(
            f"this release of datasets does not let mm_imagenet_r register its name ({error}): use "
            "mm_imagenet_r.load(...) instead of load_dataset('mm_imagenet_r', ...)",
            stacklevel=2,
        )
