"""From labels in common forms to class indices from 0, or an error that says what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from sfumato.datasets.reading import require_text
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

    Accepted are whole numbers (also stored as floats) and names of shape (n,) or (n, 1), and one-hot rows.
    Without ``class_names`` the classes are those of the training set. Names are numbered in alphabetical
    order; numbers must run from 0 without gaps: a gap would silently become a class that no example has.

    Raises:
        DataError: anything else, naming the first label that is wrong and what to do.
    """
    if any(map(are_names, labels.values())):
        return _of_names(labels, where, class_names)
    arrays, notes, widths = [], [], set()
    for name, array in labels.items():
        one_hot = _is_one_hot(array)
        if one_hot:
            notes.append(f"{where}: {name} of shape {array.shape} is read as one-hot labels")
        widths.add(array.shape[1] if one_hot else None)
        arrays.append(array.argmax(axis=1) if one_hot else _whole_numbers(array, f"{where}: {name}"))
    if len(widths) > 1:
        raise _of_two_kinds(labels, where)
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


def are_names(labels: np.ndarray) -> bool:
    """Return whether labels are texts.

    >>> are_names(np.array(["cat", "dog"])), are_names(np.array([0, 1]))
    (True, False)
    """
    if labels.dtype.kind == "O":
        return labels.size > 0 and all(isinstance(label, str) for label in labels.flat)
    return labels.dtype.kind in "UT"  # fixed width, or numpy's StringDType


def _of_names(
    labels: Mapping[str, np.ndarray], where: str, class_names: tuple[str, ...] | None
) -> ClassLabels:
    if not all(map(are_names, labels.values())):
        raise _of_two_kinds(labels, where)
    words = {name: _words(array, f"{where}: {name}") for name, array in labels.items()}
    first = next(iter(words))
    names, notes = class_names, list[str]()
    if names is None:
        names = tuple(sorted(set(words[first])))
        notes.append(
            f"{where}: the labels in {first} are names; classes are numbered in alphabetical order, 0 is "
            f"{names[0]}"
        )
        _require_no_identifiers(len(names), len(words[first]), f"{where}: {first}")
    if len(names) < 2:
        known = names[0] if names else "none"
        raise DataError(f"{where}: {first} holds examples of one class ({known}); at least 2 are needed")
    numbers = {name: number for number, name in enumerate(names)}
    for name, found in words.items():
        if unknown := sorted(set(found) - set(names)):
            known = ", ".join([*names[:10], *(["..."] if names[10:] else [])])
            raise DataError(f"{where}: label {unknown[0]!r} of {name} is not among the classes {known}")
    arrays = tuple(np.array([numbers[word] for word in found], np.int64) for found in words.values())
    return ClassLabels(arrays, names, tuple(notes))


def _words(array: np.ndarray, where: str) -> list[str]:
    """Return the labels as texts that a record can hold."""
    found: list[str] = _one_for_each(array, "name", where).tolist()
    distinct = {require_text(name, f"{where}: the label") for name in set(found)}
    if "" in distinct:
        raise DataError(f"{where}: example {found.index('')} has an empty label; name its class")
    return found


def _of_two_kinds(labels: Mapping[str, np.ndarray], where: str) -> DataError:
    return DataError(f"{where}: {' and '.join(labels)} must hold labels of one kind, with the same classes")


def _one_for_each(array: np.ndarray, what: str, where: str) -> np.ndarray:
    """Return the labels of shape (examples,), also where they are a column."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{where} must hold one {what} per example, got shape {array.shape}")
    if len(array) == 0:
        raise DataError(f"{where} holds no examples, at least 1 is needed")
    return array


def _is_one_hot(array: np.ndarray) -> bool:
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[1] < 2 or len(array) == 0:
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _whole_numbers(array: np.ndarray, where: str) -> np.ndarray:
    """Return the labels as int64 (examples,)."""
    array = _one_for_each(array, "whole number", where)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} must hold whole numbers from 0, or names, got {array.dtype}")
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
    _require_no_identifiers(count, len(labels), where)
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


def _require_no_identifiers(classes: int, examples: int, where: str) -> None:
    if classes == examples > _FEW_EXAMPLES:
        raise DataError(
            f"{where}: each of the {classes} examples has a label of its own; are they identifiers?"
        )
