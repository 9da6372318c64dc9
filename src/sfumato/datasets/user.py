"""The user's own data: an ``.npz`` of arrays, or a folder of images with one sub-folder per class.

An ``.npz`` holds ``x`` and ``y``, and ``x_test`` and ``y_test`` if there is a test set; the names that Keras
and MedMNIST use are understood too. A folder holds ``train/CLASS/*`` and ``test/CLASS/*``, one of them, just
``CLASS/*``, or images without classes. Where no test set is given, a fixed random fifth of the examples is
set aside as one, the same at every load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sfumato.datasets.archive import read_npz
from sfumato.datasets.base import Dataset, Split, require_one_shape
from sfumato.datasets.class_folders import accepted, find_parts, list_classes, loose_images
from sfumato.datasets.image_files import ImageFiles, look_at, require_one_size
from sfumato.datasets.images import quiet_pillow
from sfumato.datasets.labels import class_labels
from sfumato.datasets.layout import channels_first
from sfumato.datasets.on_demand import OnDemand, held_or_streamed
from sfumato.datasets.reading import escaped, require_text
from sfumato.datasets.units import PIXELS, in_one_unit
from sfumato.errors import DataError

_TEST_SHARE = 5


@dataclass(frozen=True)
class _Names:
    """What one convention calls its arrays, each (images, labels)."""

    train: tuple[str, str]
    test: tuple[str, str]
    validation: tuple[str, str]


_CONVENTIONS = (
    _Names(("x", "y"), ("x_test", "y_test"), ("x_val", "y_val")),
    _Names(("x_train", "y_train"), ("x_test", "y_test"), ("x_val", "y_val")),  # Keras
    _Names(  # MedMNIST
        ("train_images", "train_labels"), ("test_images", "test_labels"), ("val_images", "val_labels")
    ),
)
_CLASS_NAMES = "class_names"


def load_npz(path: Path) -> Dataset:
    """Return the data in an ``.npz`` file.

    Images are (n, features), (n, height, width), (n, channels, height, width) or channels last; bytes are
    divided by 255, other numbers are taken as they are, and all arrays must be in one unit. Labels are whole
    numbers from 0 without gaps, of shape (n,) or (n, 1), or one-hot; an array ``class_names`` of words names
    classes that may lack examples.

    Raises:
        DataError: not an npz, missing or object arrays, and everything that ``in_one_unit``, ``class_labels``
            and ``channels_first`` refuse.
    """
    spelled: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    notes: list[str] = []

    def choose(names: list[str]) -> list[str]:
        for name in names:
            if name.lower() in spelled:
                raise DataError(f"{path}: holds both {spelled[name.lower()]!r} and {name!r}; keep one")
            spelled[name.lower()] = name
        pairs.extend(_choose_pairs(spelled, path, notes))
        wanted = [name for pair in pairs for name in pair]
        return [spelled[name] for name in (*wanted, _CLASS_NAMES) if name in spelled]

    arrays = {name.lower(): array for name, array in read_npz(path, choose).items()}
    names = _class_names(arrays.get(_CLASS_NAMES), path)
    found = of_arrays(arrays, pairs, str(path), escaped(path.resolve()), names)
    return replace(found, notes=(*notes, *found.notes))


def of_arrays(
    arrays: Mapping[str, np.ndarray],
    pairs: Sequence[tuple[str, str]],
    name: str,
    source: str,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Return the data set of arrays; ``pairs`` are the names of images and labels, of training first.

    Raises:
        DataError: as ``load_npz``.
    """
    units = in_one_unit({images: arrays[images] for images, _ in pairs}, name)
    labels_of = class_labels({labels: arrays[labels] for _, labels in pairs}, name, class_names)
    notes = [*units.notes, *labels_of.notes]
    splits = []
    for (images, labels), x, y in zip(pairs, units.arrays, labels_of.arrays, strict=True):
        if len(x) != len(y):
            found = f"{images} has {len(x)} examples but {labels} has {len(y)}"
            raise DataError(f"{name}: {found}; give one label for each")
        turned, said = channels_first(x, f"{name}: {images}")
        notes += said
        splits.append(Split(turned, y))
    train, test = splits if len(splits) > 1 else set_aside(splits[0], name)
    require_one_shape(train, test, name)
    return Dataset(name, train, test, labels_of.class_names, units.unit, source, tuple(notes))


def _choose_pairs(names: dict[str, str], path: Path, notes: list[str]) -> list[tuple[str, str]]:
    """Return the names of the training arrays, and of the test arrays if there are any."""
    found = [convention for convention in _CONVENTIONS if set(convention.train) & set(names)]
    if len(found) > 1:
        raise DataError(
            f"{path}: holds both {found[0].train[0]!r} and {found[1].train[0]!r}; keep one of them"
        )
    convention = found[0] if found else _CONVENTIONS[0]
    pairs = [convention.train]
    if set(convention.test) & set(names):
        pairs.append(convention.test)
    elif set(convention.validation) & set(names):
        pairs.append(convention.validation)
        notes.append(
            f"{path}: there is no {convention.test[0]}, so {convention.validation[0]} is the test set"
        )
    for name in (name for pair in pairs for name in pair):
        if name not in names:
            held = ", ".join(map(ascii, sorted(names.values())[:20]))
            raise DataError(f"{path}: lacks the array {name!r}; it holds {held or 'none'}")
    used = {*(name for pair in pairs for name in pair), _CLASS_NAMES}
    if rest := sorted(original for name, original in names.items() if name not in used):
        notes.append(f"{path}: {', '.join(map(ascii, rest[:20]))} not used")
    return pairs


def _class_names(array: np.ndarray | None, path: Path) -> tuple[str, ...] | None:
    if array is None:
        return None
    if array.ndim != 1 or array.dtype.kind != "U" or len(set(array.tolist())) != len(array):
        raise DataError(
            f"{path}: {_CLASS_NAMES} must hold a different word for each class, got {array.dtype} of shape "
            f"{array.shape}"
        )
    return tuple(require_text(name, f"{path}: the class") for name in array.tolist())


def set_aside(data: Split, where: str) -> tuple[Split, Split]:
    """Return (train, test) with a fixed random fifth of the examples as test, the same at every load.

    Raises:
        DataError: fewer than two examples.
    """
    # not keyed noise: which images are the test set, always the same
    order = np.random.default_rng(0).permutation(len(data))
    held = max(1, len(data) // _TEST_SHARE)
    if len(data) < 2:
        raise DataError(f"{where}: 1 example is too few to set a test set aside; at least 2 are needed")
    return data.part(order[held:]), data.part(order[:held])


def load_folder(path: Path, size: int | None = None) -> Dataset:
    """Return the images under a folder with one sub-folder per class, in the order of their names.

    ``size`` resizes and crops all of them to squares of this side. Images that do not fit into a gigabyte of
    memory are read when they are needed. A folder of images without classes is a test set without labels.

    Raises:
        DataError: no classes, no images, images of different shape, files that are no images.
    """
    notes: list[str] = []
    train_root, test_root = find_parts(path, notes)
    roots = [root for root in (train_root, test_root) if root is not None]
    listed, classes = _listed(path, roots, notes)
    if train_root is None and classes:
        notes.append(
            f"{path}: there are no training images; classes are numbered in the order of their names, "
            f"0 is {classes[0]}"
        )
    looked = [look_at(root, [file for file, _ in files]) for root, files in zip(roots, listed, strict=True)]
    require_one_size(looked, size)
    channels = max(part.channels for part in looked)
    splits = []
    for part, files in zip(looked, listed, strict=True):
        notes += part.notes(channels)
        x = OnDemand.whole(ImageFiles(part, channels, size))
        splits.append(Split(x, np.array([label for _, label in files])))
    if len(splits) == 1 and train_root is not None and classes:
        splits = list(set_aside(splits[0], str(path)))
    *train, test = _held_or_streamed(splits)
    nothing = Split(np.empty((0, *test.x.shape[1:]), np.float32), np.empty(0, np.int64))
    return Dataset(
        str(path),
        train[0] if train else nothing,
        test,
        classes,
        PIXELS,
        escaped(path.resolve()),
        tuple(notes),
        augmentation="crop-flip",
    )


_Files = list[tuple[str, int]]  # names below their folder, with class indices, -1 for none


def _listed(path: Path, roots: list[Path], notes: list[str]) -> tuple[list[_Files], tuple[str, ...]]:
    """Return the images of each part, and the names of the classes; none where the images have no labels.

    Raises:
        DataError: no images, fewer than two classes, or classes that the first part lacks.
    """
    if len(roots) == 1 and (names := loose_images(roots[0], notes)):
        notes.append(
            f"{path}: holds images without class folders, so all of them are test images without labels"
        )
        return [[(name, -1) for name in names]], ()
    listed = [list_classes(root, notes) for root in roots]
    classes = tuple(listed[0])
    if len(classes) < 2:
        held = f"{len(classes)} class folders with images"
        raise DataError(f"{roots[0]}: holds {held}, at least 2 are needed")
    for root, found in zip(roots, listed, strict=True):
        if not found:
            raise DataError(f"{root}: holds no images in class folders; accepted are {accepted()}")
        if extra := sorted(set(found) - set(classes)):
            raise DataError(f"{root}: class {extra[0]!r} is not among those in {roots[0]}")
    numbers = {name: number for number, name in enumerate(classes)}
    return [
        [(file, numbers[name]) for name, files in found.items() for file in files] for found in listed
    ], classes


def _held_or_streamed(splits: list[Split]) -> list[Split]:
    with quiet_pillow():
        held = held_or_streamed(*(split.x for split in splits if isinstance(split.x, OnDemand)))
    return [Split(x, split.y) for x, split in zip(held, splits, strict=True)]
