"""From a name or path to a data set. A new set is one line in ``_LOADERS``, or ``register_dataset``."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sfumato.datasets.base import Dataset
from sfumato.datasets.cifar import load_cifar10, load_cifar10_folder
from sfumato.datasets.digits import load_digits_dataset
from sfumato.datasets.idx import load_idx_dataset, load_idx_folder
from sfumato.datasets.reading import is_folder, require_regular_file, require_text
from sfumato.datasets.user import load_folder, load_npz
from sfumato.errors import DataError, DataNote, SettingError
from sfumato.user_code import told_in_one_line

Loader = Callable[[Path | None, bool], Dataset]
"""Makes a data set, given where to look for its files first and whether missing ones may be downloaded."""

_LOADERS: dict[str, Loader] = {
    "digits": lambda *_: load_digits_dataset(),
    "mnist": partial(load_idx_dataset, "mnist"),
    "fashion-mnist": partial(load_idx_dataset, "fashion-mnist"),
    "cifar10": load_cifar10,
}

_LONGEST_SHOWN = 100


def dataset_names() -> tuple[str, ...]:
    """Return the names of the built-in data sets."""
    return tuple(_LOADERS)


def register_dataset(name: str) -> Callable[[Loader], Loader]:
    """Return a decorator that makes a loader known by this name, to the command line too.

    Raises:
        SettingError: the name is taken, or could be a path.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise SettingError(f"a data set's name is made of the letters a-z, digits, - and _, got {name!r}")

    def register(loader: Loader) -> Loader:
        if _LOADERS.setdefault(name, loader) is not loader:
            raise SettingError(f"a data set called {name!r} is registered already; choose another name")
        return loader

    return register


def load_dataset(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None, *, fetch: bool = True
) -> Dataset:
    """Return the data set called ``name``, or the user's own at that path.

    A path ends in ``.npz``, is a folder of images by class, or a folder of official files (IDX or CIFAR-10).
    Built-in sets are looked for in ``data_dir``, SFUMATO_DATA and the user cache, and downloaded into the
    latter if missing, unless ``fetch`` is False. What the user should know about how it was read is in the
    data set's ``notes``, and a ``DataNote`` warns of each.

    >>> load_dataset("digits")
    Dataset('digits', 1000 train, 797 test, shape (1, 8, 8), 10 classes, unit: pixels in [0, 1])

    Raises:
        DataError: unknown name, damaged or inconsistent files; a missing set that is not to be fetched.
        DownloadError: a missing set that cannot be fetched.
    """
    dataset = _load(_text(name, "the data set"), data_dir, fetch)
    for line in dataset.notes:
        warnings.warn(line, DataNote, stacklevel=2)
    return dataset


def _load(name: str, data_dir: str | os.PathLike[str] | None, fetch: bool) -> Dataset:
    root = None if data_dir is None else Path(_text(data_dir, "data_dir"))
    if name in _LOADERS:
        with told_in_one_line(f"the data set {name!r} cannot be loaded"):
            return _LOADERS[name](root, fetch)
    path = Path(name)
    if is_folder(path):
        return load_cifar10_folder(path) or load_idx_folder(path) or load_folder(path)
    if path.suffix.lower() == ".npz":
        require_regular_file(path)
        return load_npz(path)
    raise DataError(
        f"data set {_shortened(name)} is not known; accepted are {', '.join(_LOADERS)}, a path ending in "
        ".npz, or a folder of images by class"
    )


def _text(name: str | os.PathLike[str], what: str) -> str:
    given = os.fspath(name) if isinstance(name, str | os.PathLike) else name
    if not isinstance(given, str):
        raise DataError(f"{what} must be a name or a path as text, got {type(given).__name__}")
    return require_text(given, what)


def _shortened(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")
