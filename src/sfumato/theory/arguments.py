"""Array arguments of the exact engines: checked, broadcast to flat arrays, and shaped back.

A mistake in any entry raises one ``SettingError`` that names the first bad value.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from sfumato.errors import SettingError, require_nonnegative, require_open_unit, require_positive

Reals: TypeAlias = "float | Float[np.ndarray, '...']"
Dims: TypeAlias = "int | Int[np.ndarray, '...']"
Column: TypeAlias = "Float[np.ndarray, 'n']"

LARGEST_DIM = 1_000_000
SMALLEST_LEVEL = 1e-40
"""Up to this dimension and down to this level the engines are checked against independent values."""


def _numbers(name: str, values: Reals | Dims) -> Column:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise SettingError(f"{name} must be numbers, got {values!r}") from None


def checked_dims(values: Dims) -> Column:
    """Return dimensions as floats.

    >>> checked_dims(3)
    array(3.)

    Raises:
        SettingError: one is below 1, above ``LARGEST_DIM`` or not whole.
    """
    dims = _numbers("dim", values)
    bad = ~(np.isfinite(dims) & (dims >= 1.0) & (dims <= LARGEST_DIM) & (dims == np.floor(dims)))
    if bad.any():
        raise SettingError(f"dim must be a whole number from 1 to {LARGEST_DIM}, got {dims[bad][0]:.15g}")
    return dims


def nonnegative(name: str, values: Reals) -> Column:
    """Return lengths as floats.

    >>> nonnegative("sigma", [0.0, 1.5])
    array([0. , 1.5])

    Raises:
        SettingError: one is negative or not finite; the message calls it ``name``.
    """
    numbers = _numbers(name, values)
    bad = ~(np.isfinite(numbers) & (numbers >= 0.0))
    if bad.any():
        require_nonnegative(name, float(numbers[bad][0]))
    return numbers


def positive(name: str, values: Reals) -> Column:
    """Return lengths as floats.

    >>> positive("beta", 0.5)
    array(0.5)

    Raises:
        SettingError: one is not positive or not finite.
    """
    numbers = nonnegative(name, values)
    if (numbers == 0.0).any():
        require_positive(name, 0.0)
    return numbers


def checked_levels(level: Reals, name: str = "level") -> Column:
    """Return levels as floats.

    >>> checked_levels([0.5])
    array([0.5])

    Raises:
        SettingError: one does not lie in (0, 1), or is below ``SMALLEST_LEVEL``.
    """
    levels = _numbers(name, level)
    bad = ~((levels > 0.0) & (levels < 1.0))
    if bad.any():
        require_open_unit(name, float(levels[bad][0]))
    if (levels < SMALLEST_LEVEL).any():
        raise SettingError(f"{name} must be at least {SMALLEST_LEVEL:g}, got {levels.min():g}")
    return levels


def broadcast(*values: Column) -> tuple[Any, ...]:
    """Return the values as flat arrays of one length, followed by their common shape.

    >>> broadcast(np.array([1.0, 2.0]), np.array(3.0))
    (array([1., 2.]), array([3., 3.]), (2,))

    Raises:
        SettingError: the shapes do not fit together.
    """
    try:
        arrays = np.broadcast_arrays(*values)
    except ValueError:
        shapes = ", ".join(str(value.shape) for value in values)
        raise SettingError(f"arguments must broadcast against each other, got shapes {shapes}") from None
    return (*(array.ravel() for array in arrays), arrays[0].shape)


def shaped(values: Column, shape: tuple[int, ...]) -> Reals:
    """Return flat values in their shape, or a plain number for the shape ().

    >>> shaped(np.array([2.0]), ())
    2.0
    """
    return values.reshape(shape) if shape else float(values[0])
