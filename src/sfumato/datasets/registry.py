"""From a name or path to a data set. A new set is one line here, or a ``register_dataset`` from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sfumato.datasets.base import Dataset, checked_split, require_one_shape
from sfumato.datasets.cifar import load_cifar10, load_cifar10_folder
from sfumato.datasets.digits import load_digits_dataset
from sfumato.datasets.fashion_mnist import FASHION_MNIST
from sfumato.datasets.given import read_given, tell_notes
from sfumato.datasets.idx import load_idx_folder
from sfumato.datasets.mnist import MNIST
from sfumato.datasets.reading import is_folder, require_regular_file, require_text
from sfumato.datasets.user import load_folder, load_npz
from sfumato.errors import DataError, ModelError, SettingError, require_count
from sfumato.user_code import import_named, told_in_one_line

Loader = Callable[[Path | None, bool], Dataset]
"""Takes the folder to look in first, or None, and whether what is missing may be fetched."""

DATASETS: dict[str, Loader] = {
    "digits": load_digits_dataset,
    "mnist": MNIST.load,
    "fashion-mnist": FASHION_MNIST.load,
    "cifar10": load_cifar10,
}

_LONGEST_SHOWN = 100


def dataset_names() -> tuple[str, ...]:
    """Return the names of the data sets that are known."""
    return tuple(DATASETS)


def register_dataset(name: str, load: Loader) -> None:
    """Make a data set known by its name, to the command line and to study files too.

    ``load(data_dir, fetch)`` returns it; its name becomes ``name``. ``data_dir`` is the folder that the user
    wants looked in first, or None, and ``fetch`` says whether missing files may be downloaded.

    Raises:
        SettingError: another data set has the name, or it could be taken for a path.
    """
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise SettingError(f"a data set's name must be of letters, digits, - and _, got {_shortened(name)}")
    if DATASETS.setdefault(name, loader := _Checked(name, load)) != loader:
        raise SettingError(f"a data set {name!r} is registered already; choose another name")


@dataclass(frozen=True)
class _Checked:
    """Somebody else's loader, whose data are looked at as those of any file are."""

    name: str
    load: Loader

    def __call__(self, data_dir: Path | None, fetch: bool) -> Dataset:
        with told_in_one_line(f"{self.name}: the data set cannot be loaded", lost=DataError):
            found = self.load(data_dir, fetch)
        if not isinstance(found, Dataset):
            raise DataError(f"{self.name}: its loader must return a Dataset, got {type(found).__name__}")
        classes = len(found.class_names)
        train, test = (
            checked_split(split.x, split.y, classes, f"{self.name} ({part})")
            for part, split in (("train", found.train), ("test", found.test))
        )
        require_one_shape(train, test, self.name)
        return replace(found, name=self.name, train=train, test=test)


def load_dataset(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    size: int | None = None,
    fetch: bool = True,
    run_code: bool = True,
) -> Dataset:
    """Return the data set called ``name``, or the user's own at that path.

    A path ends in ``.npz``, is a folder of images by class, or a folder of official files (IDX or CIFAR-10).
    ``package.module:factory`` is a function of your own that returns whatever ``dataset_of`` takes;
    ``run_code=False`` refuses it, for a name that comes out of a file. Built-in sets are looked for in
    ``data_dir``, SFUMATO_DATA and the user cache, and downloaded into the latter if missing, unless ``fetch``
    is False. Images of a folder that take more than a gigabyte are read when they are needed. ``size``
    resizes the shorter side of such images and crops their middle to a square, as torchvision's ``Resize``
    and ``CenterCrop`` do, in front of any noise. The data set's ``notes`` say what was left out or assumed
    when it was read, and each note is also a ``DataNote`` warning.

    >>> load_dataset("digits")
    Dataset('digits', 1000 train, 797 test, shape (1, 8, 8), 10 classes, unit: pixels in [0, 1])

    Raises:
        DataError: unknown name, damaged or inconsistent files; a missing set that is not to be fetched.
        SettingError: a size for what is no folder of images, or below 1.
        DownloadError: a missing set that cannot be fetched.
    """
    text = _text(name, "the data set")
    if is_factory(text):
        if not run_code:
            raise DataError(
                f"data set {_shortened(text)} is code, which a file does not choose to run; name it"
            )
        dataset = _made(text, size)
    else:
        dataset = _load(text, data_dir, fetch, size)
    tell_notes(dataset)
    return dataset


def is_factory(name: str) -> bool:
    """Return whether the name is ``package.module:factory``, and no path."""
    return ":" in name and not os.path.lexists(name) and not re.search(r"[/\\]|\.npz$", name)


def _made(name: str, size: int | None) -> Dataset:
    """Return what the user's function makes."""
    if size is not None:
        raise SettingError(f"size is for a folder of images, {_shortened(name)} is none; leave it out")
    try:
        make = import_named(name)
    except ModelError as error:
        raise DataError(f"data set {error}") from error
    with told_in_one_line(f"{name}: the data set cannot be loaded", lost=DataError):
        found = read_given(make(), name)
    return replace(found, name=name)


def _load(name: str, data_dir: str | os.PathLike[str] | None, fetch: bool, size: int | None) -> Dataset:
    root = None if data_dir is None else Path(_text(data_dir, "data_dir"))
    path = Path(name)
    if name not in DATASETS and is_folder(path):
        official = load_cifar10_folder(path) or load_idx_folder(path)
        if official is None:
            return load_folder(path, None if size is None else require_count("size", size))
    else:
        official = None
    if size is not None:
        raise SettingError(f"size is for a folder of images, {_shortened(name)} is none; leave it out")
    if official is not None:
        return official
    if name in DATASETS:
        return DATASETS[name](root, fetch)
    if path.suffix.lower() == ".npz":
        require_regular_file(path)
        return load_npz(path)
    if re.search(r"[/\\]", name) and not os.path.lexists(name):
        raise DataError(f"{name}: no such file or folder; give an existing one")
    raise DataError(
        f"data set {_shortened(name)} is not known; accepted are {', '.join(DATASETS)}, a path ending in "
        ".npz, a folder of images by class, or package.module:factory"
    )


def _text(name: str | os.PathLike[str], what: str) -> str:
    given = os.fspath(name) if isinstance(name, str | os.PathLike) else name
    if not isinstance(given, str):
        raise DataError(f"{what} must be a name or a path as text, got {type(given).__name__}")
    return require_text(given, what)


def _shortened(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")
