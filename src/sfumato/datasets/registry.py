"""From a name or path to a data set. A new set is one line in ``_LOADERS``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sfumato.datasets.base import Dataset
from sfumato.datasets.cifar import load_cifar10
from sfumato.datasets.digits import load_digits_dataset
from sfumato.datasets.idx import load_idx_dataset
from sfumato.datasets.user import load_folder, load_npz
from sfumato.errors import DataError

_LOADERS: dict[str, Callable[[Path | None, bool], Dataset]] = {
    "digits": lambda *_: load_digits_dataset(),
    "mnist": partial(load_idx_dataset, "mnist"),
    "fashion-mnist": partial(load_idx_dataset, "fashion-mnist"),
    "cifar10": load_cifar10,
}


def dataset_names() -> tuple[str, ...]:
    """Return the names of the built-in data sets."""
    return tuple(_LOADERS)


def load_dataset(name: str, data_dir: Path | None = None, *, fetch: bool = True) -> Dataset:
    """Return the data set called ``name``, or the user's own at that path.

    A path ends in ``.npz`` or is a folder of images by class. Built-in sets are looked for in
    ``data_dir``, SFUMATO_DATA and the user cache, and downloaded into the latter if missing, unless
    ``fetch`` is False.

    >>> load_dataset("digits")
    Dataset('digits', 1000 train, 797 test, shape (1, 8, 8), 10 classes, unit: pixels in [0, 1])

    Raises:
        DataError: unknown name, damaged or inconsistent files; a missing set that is not to be fetched.
        DownloadError: a missing set that cannot be fetched.
    """
    if name in _LOADERS:
        return _LOADERS[name](data_dir, fetch)
    path = Path(name)
    if path.suffix == ".npz":
        if not path.is_file():
            raise DataError(f"{path}: no such file; give an existing .npz with arrays x and y")
        return load_npz(path)
    if path.is_dir():
        return load_folder(path)
    raise DataError(
        f"data set {name!r} is not known; accepted are {', '.join(_LOADERS)}, a path ending in .npz, "
        "or a folder of images by class"
    )
