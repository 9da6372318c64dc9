"""From labels in common forms to class indices from 0, or an error that says what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from sfumato.errors import DataError

_LARGEST_EXACT = 2.0**53  # whole numbers up to here are exact as float64
_FEW_EXAMPLES = 20  # so few may have a class each; of more they would be identifiers


@dataclass(frozen=True)
class ClassLabels:
    """Labels of all splits with the names of their classes.

    Attributes:
        arrays: int64 (examples,), class indices from 0, in the order given.
        class_names: one per class.
        notes: what the user should know about them.
    """

    arrays: tuple[Int64[np.ndarray, " examples"], ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def class_labels(
    labels: Mapping[str, np.ndarray], where: str, class_names: tuple[str, ...] | None = None
) -> ClassLabels:
    """Return the labels of all splits; the first of ``labels`` is the training set's.

    Accepted are whole numbers (also stored as floats) of shape (n,) or (n, 1), and one-hot rows. Without
    ``class_names`` the classes are those of the training set, which must be numbered from 0 without gaps:
    a gap would silently become a class that no example has.

    Raises:
        DataError: anything else, naming the first label that is wrong and what to do.
    """
    arrays, notes, widths = [], [], set()
    for name, array in labels.items():
        one_hot = _is_one_hot(array)
        if one_hot:
            notes.append(f"{where}: {name} of shape {array.shape} is read as one-hot labels")
        widths.add(array.shape[1] if one_hot else None)
        arrays.append(array.argmax(axis=1) if one_hot else _whole_numbers(array, f"{where}: {name}"))
    if len(widths) > 1:
        raise DataError(
            f"{where}: {' and '.join(labels)} must hold labels of one kind, with the same classes"
        )
    width = widths.pop()
    if class_names is not None:
        count = len(class_names)
    elif width is not None:
        count = width
    else:
        count = _count_without_gaps(arrays[0], f"{where}: {next(iter(labels))}")
    if count < 2:
        raise DataError(
            f"{where}: {next(iter(labels))} holds examples of one class (0); at least 2 are needed"
        )
    for name, array in zip(labels, arrays, strict=True):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= count:
            raise DataError(
                f"{where}: label {low if low < 0 else high} of {name} is outside 0..{count - 1} (the classes)"
            )
    names = class_names or tuple(str(index) for index in range(count))
    return ClassLabels(tuple(a.astype(np.int64) for a in arrays), names, tuple(notes))


def _is_one_hot(array: np.ndarray) -> bool:
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[1] < 2 or len(array) == 0:
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _whole_numbers(array: np.ndarray, where: str) -> np.ndarray:
    """Return the labels as int64 (examples,)."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{where} must hold one whole number per example, got shape {array.shape}")
    if len(array) == 0:
        raise DataError(f"{where} holds no examples, at least 1 is needed")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} must hold whole numbers from 0, got {array.dtype}")
    if array.dtype.kind == "f":
        wrong = ~(np.isfinite(array) & (array == np.round(array)) & (np.abs(array) <= _LARGEST_EXACT))
        if wrong.any():
            raise DataError(f"{where} must hold whole numbers, got {array[wrong][0]:g}")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where}: label {array.max()} is too large; number the classes from 0")
    return array.astype(np.int64)


def _count_without_gaps(labels: np.ndarray, where: str) -> int:
    """Return the number of classes if they are numbered 0, 1, 2, ... and are not identifiers."""
    found = np.unique(labels)
    count, low, high = len(found), int(found[0]), int(found[-1])
    if count == len(labels) and count > _FEW_EXAMPLES:
        raise DataError(
            f"{where}: each of the {count} examples has a label of its own; are they identifiers?"
        )
    if low < 0:
        raise DataError(f"{where}: label {low} is negative; number the classes from 0")
    if high == count - 1:
        return count
    if low > 0 and high - low == count - 1:
        raise DataError(
            f"{where}: labels run from {low} to {high}; subtract {low}, classes are numbered from 0"
        )
    raise DataError(
        f"{where}: {count} different labels between {low} and {high} leave gaps; number them from 0, for "
        "example by numpy.unique(y, return_inverse=True)[1], or name all classes in an array class_names"
    )
