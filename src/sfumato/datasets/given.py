"""Whatever holds images and labels in Python becomes a data set: arrays, other libraries' sets, loaders."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Number
from typing import Any

import numpy as np

from sfumato.datasets.base import Dataset, checked_split, require_one_shape
from sfumato.datasets.items import LabelledItems, has_items
from sfumato.datasets.labels import class_labels
from sfumato.datasets.on_demand import OnDemand, is_small
from sfumato.datasets.units import in_one_unit
from sfumato.datasets.user import of_arrays, set_aside
from sfumato.errors import DataError, DataNote

_SAMPLE = 200  # items of each part by which the unit of large data is decided
_TESTS = ("test", "validation", "val", "valid")
_PAIRS = (("x", "y"), ("x_test", "y_test"))

Given = Any
"""A ``Dataset``, a name or path, arrays or data frames (x, y) or (x, y, x_test, y_test), a map-style PyTorch
``Dataset``, a ``DataLoader`` that does not shuffle, a Hugging Face ``datasets`` split, a pair (train, test)
of these, or a mapping of train and test."""


def dataset_of(given: Given, *, name: str | None = None) -> Dataset:
    """Return the data set that ``given`` is.

    Where there is no test part, a fixed random fifth is set aside. What takes more than a gigabyte is read
    when it is needed, item by item. ``name`` is its name in records. What was assumed while reading it is in
    its ``notes``, and each note is also a ``DataNote`` warning.

    >>> dataset_of((np.zeros((10, 3)), [0, 1] * 5))
    Dataset('arrays', 8 train, 2 test, shape (3,), 2 classes, unit: the data's own unit)

    Raises:
        DataError: anything else, a loader that shuffles, items that change from reading to reading or have no
            labels; whatever is refused in a file.
    """
    found = read_given(given, name)
    if not isinstance(given, Dataset | str | os.PathLike):  # of these the notes have been told
        tell_notes(found)
    return found


def tell_notes(data: Dataset) -> None:
    """Warn of each note of a data set that was just read."""
    for line in data.notes:
        warnings.warn(line, DataNote, stacklevel=3)


def read_given(given: Given, name: str | None = None) -> Dataset:
    """Return the data set that ``given`` is, as ``dataset_of``; what was assumed is only in its ``notes``.

    Raises:
        DataError: as ``dataset_of``.
    """
    if isinstance(given, Dataset):
        return given
    if isinstance(given, str | os.PathLike):
        from sfumato.datasets.registry import load_dataset

        return load_dataset(given)
    parts = _parts(given)
    if parts and all(map(has_items, parts)):
        called = name or f"{type(parts[0]).__name__} in memory"
        return _of_items([LabelledItems(part, called) for part in parts[:2]], called)
    if len(parts) not in (2, 4) or any(map(has_items, parts)):
        raise DataError(
            f"data must be (x, y) or (x, y, x_test, y_test), a data set or (train, test), got {_told(given)}"
        )
    keys = [key for pair in _PAIRS for key in pair]
    arrays = {
        key: _array(part, key) if key.startswith("x") else _labels(part, key)
        for key, part in zip(keys, parts, strict=False)
    }
    return of_arrays(arrays, _PAIRS[: len(parts) // 2], name or "arrays", "memory")


def without_loader(data: Any) -> Any:
    """Return the data set of a loader; everything else is returned as it is.

    Raises:
        DataError: a loader that shuffles, picks or changes items, so that its data set is not what it gives.
    """
    if not (hasattr(data, "dataset") and hasattr(data, "batch_sampler") and hasattr(data, "collate_fn")):
        return data
    require_order(data)
    collate = getattr(data.collate_fn, "__name__", type(data.collate_fn).__name__)
    if type(data.sampler).__name__ != "SequentialSampler" or collate not in (
        "default_collate",
        "default_convert",
    ):
        raise DataError(
            "the loader picks items by its own sampler or changes them by its own collate_fn; give its data "
            "set itself, which makes these changes"
        )
    return data.dataset


def without_frame(data: Any) -> Any:
    """Return what a data frame or a column of one holds as an array; everything else is returned as it is.

    Frames are those of pandas and of whatever else has ``to_numpy``.

    Raises:
        DataError: a frame of several columns that are not all numbers.
    """
    if not hasattr(data, "to_numpy"):
        return data
    found = np.asarray(data.to_numpy())
    if found.dtype.kind != "O":
        return found
    with suppress(ValueError):  # arrays of several shapes
        if (values := np.asarray(found.tolist())).dtype.kind in "biuf":  # such as truth values beside numbers
            return values
    others = (place for place, value in np.ndenumerate(found) if not isinstance(value, Number))
    if found.ndim == 2 and found.shape[1] > 1 and (place := next(others, None)):
        raise DataError(
            f"column {list(data.columns)[place[1]]!r} of the data frame holds {found[place]!r:.40} in row "
            f"{place[0]}; give columns of numbers only"
        )
    return found


def require_order(loader: Any) -> None:
    """Refuse a ``DataLoader`` that shuffles.

    Raises:
        DataError: it does.
    """
    orders = (loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None))
    # one for several machines is called neither of these, and shuffles if it is not told otherwise
    if any("Random" in type(one).__name__ or getattr(one, "shuffle", False) is True for one in orders):
        raise DataError(
            "the loader shuffles (shuffle=True, or a random sampler): an image's place determines its noise, "
            "so images must come in the same order each time; give shuffle=False, or its data set"
        )


def _parts(given: Given) -> list[Any]:
    """Return the training part and the test part, or arrays."""
    if isinstance(given, Mapping):
        test = next((name for name in _TESTS if name in given), None)
        chosen = [part for part in ("train", test) if part in given]
        if "train" not in given:
            raise DataError(f"data must have a part called train, got {', '.join(map(str, given)) or 'none'}")
        return [without_loader(given[part]) for part in chosen]
    if isinstance(given, tuple | list):
        return [without_frame(without_loader(part)) for part in given]
    return [without_frame(without_loader(given))]


def _of_items(parts: Sequence[LabelledItems], name: str) -> Dataset:
    """Return the data set of training and test items, or of training items alone."""
    pairs, class_names = _PAIRS[: len(parts)], parts[0].class_names
    labels = {}
    for part, (_, key) in zip(parts, pairs, strict=True):
        if part.labels is None:
            raise DataError(f"{name}: some items have no label; items must be (image, label)")
        labels[key] = part.labels
    small = is_small(sum(OnDemand.whole(part).nbytes for part in parts))
    read = [_raw(part, len(part.digests) if small else _SAMPLE) for part in parts]
    arrays = {key: images for images, (key, _) in zip(read, pairs, strict=True)}
    if small:
        return of_arrays(arrays | labels, pairs, name, "memory", class_names)
    units, found = in_one_unit(arrays, name), class_labels(labels, name, class_names)
    splits = [
        checked_split(OnDemand.whole(part), y, len(found.class_names), name)
        for part, y in zip(parts, found.arrays, strict=True)
    ]
    train, test = splits if len(splits) > 1 else set_aside(splits[0], name)
    require_one_shape(train, test, name)
    return Dataset(name, train, test, found.class_names, units.unit, "memory", (*units.notes, *found.notes))


def _raw(part: LabelledItems, count: int) -> np.ndarray:
    rows = np.linspace(0, len(part.digests) - 1, min(count, len(part.digests))).round().astype(int)
    return np.stack([part.raw(row) for row in rows.tolist()])


def _array(part: Any, name: str) -> np.ndarray:
    """Return images or features as an array of numbers."""
    found = _as_numpy(part, name)
    if found.dtype.kind not in "biuf":
        if found.dtype.kind == "O" and found.ndim == 1:
            _require_equal_shapes(found.tolist(), name)
        raise DataError(f"{name} must be an array of numbers, got {type(part).__name__} of {found.dtype}")
    return found


def _as_numpy(part: Any, name: str) -> np.ndarray:
    """Return a tensor, an array or a list of these as an array."""
    if hasattr(part, "detach"):
        return np.asarray(part.detach().cpu().numpy())
    try:
        return np.asarray(part)
    except ValueError as error:
        _require_equal_shapes(part if isinstance(part, list | tuple) else (), name)
        raise DataError(f"{name}: numpy makes no array of this {type(part).__name__} ({error})") from error


def _require_equal_shapes(rows: Sequence[Any], name: str) -> None:
    shapes = [_shape(row) for row in rows]
    for place, shape in enumerate(shapes):
        if shape != shapes[0]:
            what, hint = ("images", "; resize and crop them") if name.startswith("x") else ("labels", "")
            raise DataError(
                f"{name}: all {what} must have one shape, but example 0 has {shapes[0]} and example {place} "
                f"has {shape}{hint}"
            )


def _shape(row: Any) -> tuple[int, ...]:
    if hasattr(row, "shape"):
        return tuple(row.shape)
    try:
        return np.asarray(row, dtype=object).shape
    except ValueError:  # itself of several shapes
        return ()


def _labels(part: Any, name: str) -> np.ndarray:
    """Return labels, numbers or names, as an array."""
    found = _as_numpy(part, name)
    if found.dtype.kind in "biuf":
        return found
    values = np.asarray(part, dtype=object).ravel()  # where numbers beside names are no names yet
    other = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if other is None and values.size:
        return found.astype(str)
    if any(isinstance(value, str) for value in values):
        raise DataError(
            f"{name}: example {other} has the label {values[other]!r:.40} and others have names; labels must "
            "be all names or all whole numbers"
        )
    raise DataError(
        f"{name} must be an array of whole numbers or names, got {type(part).__name__} of {found.dtype}"
    )


def _told(given: Given) -> str:
    if isinstance(given, tuple | list):
        return f"{len(given)} parts ({', '.join(type(part).__name__ for part in given[:4])})"
    return type(given).__name__
