"""The unit of images and features, decided from all arrays together.

A noise level means nothing without the unit of what it is added to, and a test set in another unit than its
training set gives certificates that look fine and are wrong. So bytes are divided by 255, all other numbers
are not changed, and arrays that cannot have the same unit are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from sfumato.errors import DataError

PIXELS = "pixels in [0, 1]"
OWN_UNIT = "the data's own unit"

_ROUNDING = 1e-6  # a pixel may miss [0, 1] by a rounding
_OVERSHOOT = (-0.25, 1.5)  # and pixels in [0, 1] that were resized may overshoot, but not beyond this
_NEGATIVE_SHARE = 0.1  # of an array that is centred where another one has no negative number
_REFUSED_FACTOR, _NOTED_FACTOR = 20.0, 3.0  # by which the sizes of values may differ between arrays
_SAMPLE, _SAMPLED_NUMBERS = 1000, 2_000_000  # examples, and numbers in all, that sizes are taken from
_FEW = 8  # numbers are too few to tell how large they usually are
_ENOUGH = 20  # examples from which a smaller difference in size is worth a note
_DARK = 64  # bytes that stay below this are perhaps not from 0 to 255


@dataclass(frozen=True)
class InOneUnit:
    """Arrays in one unit.

    Attributes:
        arrays: float32, contiguous, in the order given.
        unit: what a noise level of 1 means.
        notes: what the user should know about the unit.
    """

    arrays: tuple[Float32[np.ndarray, "..."], ...]
    unit: str
    notes: tuple[str, ...]


def in_one_unit(arrays: Mapping[str, np.ndarray], where: str = "") -> InOneUnit:
    """Return all arrays as float32 in one unit; messages use the keys as names and ``where`` as the file.

    Bytes (uint8) become pixels in [0, 1]. Other numbers are not changed. Images (arrays of more than 2
    dimensions) count as pixels in [0, 1] if all of their values lie in that range.

    >>> in_one_unit({"x": np.array([[0, 255]], dtype=np.uint8)})
    InOneUnit(arrays=(array([[0., 1.]], dtype=float32),), unit='pixels in [0, 1]', notes=())

    Raises:
        DataError: values that are not real finite numbers, or arrays that cannot have the same unit.
    """
    prefix = f"{where}: " if where else ""
    for name, array in arrays.items():
        _require_real_numbers(array, f"{prefix}{name}")
    are_bytes = {name: array.dtype == np.uint8 for name, array in arrays.items()}
    if any(are_bytes.values()) and not all(are_bytes.values()):
        kinds = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise DataError(
            f"{prefix}bytes beside other numbers ({kinds}) have no clear unit; store all arrays in one unit"
        )
    if all(are_bytes.values()):
        largest = max(int(array.max()) for array in arrays.values())
        unit, notes = PIXELS, _notes_on_bytes(largest, prefix)
        values = {name: pixels_from_bytes(array) for name, array in arrays.items()}
    else:
        values = {name: _as_float32(array, f"{prefix}{name}") for name, array in arrays.items()}
        unit, notes = _unit_of_floats(values, prefix)
    notes += _require_alike_sizes(values, prefix)
    return InOneUnit(tuple(values.values()), unit, tuple(notes))


def pixels_from_bytes(images: np.ndarray) -> Float32[np.ndarray, "..."]:
    """Return uint8 pixels as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def beyond_pixels(low: float, high: float) -> bool:
    """Return whether values from ``low`` to ``high`` are no pixels in [0, 1], not even resized ones.

    >>> beyond_pixels(-0.02, 1.1), beyond_pixels(-1.0, 1.0)
    (False, True)
    """
    return low <= _OVERSHOOT[0] or high >= _OVERSHOOT[1]


def require_finite(x: np.ndarray, where: str) -> None:
    """Refuse NaN and infinite values.

    Raises:
        DataError: naming the first example that holds one.
    """
    if not np.isfinite(x).all():
        first = int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0])
        raise DataError(f"{where}: example {first} holds NaN or infinite values; pixels must be finite")


def _require_real_numbers(array: np.ndarray, where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} must hold real numbers, got {array.dtype}")
    if array.ndim < 2:
        raise DataError(f"{where} must have one row per example, got shape {array.shape}")
    if array.size == 0:
        empty = "no examples" if len(array) == 0 else f"examples without values, of shape {array.shape[1:]}"
        raise DataError(f"{where} holds {empty}; at least 1 is needed")


def _as_float32(array: np.ndarray, where: str) -> np.ndarray:
    require_finite(array, where)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        largest = float(np.abs(array.astype(np.float64, copy=False)).max())
        raise DataError(f"{where} holds {largest:g}, more than float32 can hold; scale it")
    return values


def _notes_on_bytes(largest: int, prefix: str) -> list[str]:
    if largest == 1:
        raise DataError(
            f"{prefix}bytes that are all 0 or 1 have no clear unit; store 0 and 255, or 0 and 1 as float32"
        )
    if 0 < largest < _DARK:
        return [
            f"{prefix}the bytes reach only {largest} of 255 and are divided by 255; "
            f"if {largest} is meant to be white, scale them"
        ]
    return []


def _unit_of_floats(values: Mapping[str, np.ndarray], prefix: str) -> tuple[str, list[str]]:
    """Return the unit of arrays that are taken as they are, and notes; refuse images in two units."""
    if any(array.ndim < 3 for array in values.values()):
        return OWN_UNIT, []
    spans = {name: (float(array.min()), float(array.max())) for name, array in values.items()}
    inside = [name for name, (low, high) in spans.items() if low >= -_ROUNDING and high <= 1 + _ROUNDING]
    if len(inside) == len(spans):
        return PIXELS, []
    beyond = [name for name, span in spans.items() if beyond_pixels(*span)]
    if inside and beyond:
        raise _two_units(spans, inside[0], beyond[0], prefix)
    positive = [name for name, (low, _) in spans.items() if low >= 0]
    centred = [name for name, array in values.items() if (array < 0).mean() > _NEGATIVE_SHARE]
    if positive and centred:
        raise _two_units(spans, positive[0], centred[0], prefix)
    highest = max(high for _, high in spans.values())
    if min(low for low, _ in spans.values()) >= 0 and highest >= _OVERSHOOT[1]:
        return OWN_UNIT, [
            f"{prefix}pixels from 0 to {highest:g} are taken as they are, and alpha, beta and radii are in "
            f"that unit; divide by {highest:g} to have them in [0, 1]"
        ]
    return OWN_UNIT, []


def _two_units(spans: Mapping[str, tuple[float, float]], one: str, other: str, prefix: str) -> DataError:
    shown = " but ".join(f"{name} from {spans[name][0]:g} to {spans[name][1]:g}" for name in (one, other))
    return DataError(f"{prefix}values of {shown} cannot be in one unit; store all arrays in the same unit")


def _require_alike_sizes(values: Mapping[str, np.ndarray], prefix: str) -> list[str]:
    """Refuse arrays whose values differ by a large factor, as after scaling one of them only."""
    (first, reference), *others = values.items()
    notes = []
    for name, array in others:
        factor = _factor(reference, array)
        shown = f"{prefix}values of {name} are typically {factor:.3g} times those of {first}"
        if not 1 / _REFUSED_FACTOR < factor < _REFUSED_FACTOR:
            raise DataError(f"{shown}; store all arrays in the same unit")
        enough = min(len(array), len(reference)) >= _ENOUGH
        if enough and not 1 / _NOTED_FACTOR < factor < _NOTED_FACTOR:
            notes.append(f"{shown}; make sure that they are in the same unit")
    return notes


def _factor(reference: np.ndarray, array: np.ndarray) -> float:
    """Return how many times larger the values of ``array`` are (median over features); 1 if unknown."""
    if min(array.size, reference.size) < _FEW:
        return 1.0
    before, after = _sizes(reference), _sizes(array)
    if before.shape != after.shape:
        return 1.0  # not the same features: refused where shapes are compared
    both = (before > 0) & (after > 0)
    return float(np.median(after[both] / before[both])) if both.any() else 1.0


def _sizes(array: np.ndarray) -> np.ndarray:
    """Return how large values are: per feature, or one number for images, whose pixels share a unit."""
    examples = max(_ENOUGH, min(_SAMPLE, _SAMPLED_NUMBERS * len(array) // array.size))
    sample = np.abs(array[:: max(1, len(array) // examples)])
    if array.ndim > 2:
        return np.atleast_1d(np.quantile(sample, 0.99))  # most pixels may be background
    return np.asarray(np.quantile(sample, 0.9, axis=0))  # and a few examples far out
