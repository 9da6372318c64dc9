"""Array arguments of the exact engines: checked, broadcast to flat arrays, and shaped back."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from sfumato.errors import SettingError, require_nonnegative, require_open_unit, require_positive

Reals: TypeAlias = "float | Float[np.ndarray, '...']"
Dims: TypeAlias = "int | Int[np.ndarray, '...']"
Column: TypeAlias = "Float[np.ndarray, 'n']"

LARGEST_DIM = 1_000_000
SMALLEST_LEVEL = 1e-40
"""Up to this dimension and down to this level the engines are checked against independent values."""


def checked(name: str, values: Any) -> Column:
    """Return dimensions (named ``dim``), levels (``... level``) or lengths (any other name) as floats.

    >>> checked("sigma", [0, 1.5])
    array([0. , 1.5])

    Raises:
        SettingError: the first bad entry: a dimension that is not a whole number from 1 to ``LARGEST_DIM``,
            a level outside (0, 1) or below ``SMALLEST_LEVEL``, a length that is negative or not finite.
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise SettingError(f"{name} must be numbers, got {values!r}") from None
    if name == "dim":
        good = (numbers >= 1.0) & (numbers <= LARGEST_DIM) & (numbers == np.floor(numbers))
        if not good.all():
            found = f"{numbers[~good][0]:.15g}"
            raise SettingError(f"dim must be a whole number from 1 to {LARGEST_DIM}, got {found}")
    elif name.endswith("level"):
        for bad in numbers[~((numbers > 0.0) & (numbers < 1.0))]:
            require_open_unit(name, float(bad))
        if (numbers < SMALLEST_LEVEL).any():
            raise SettingError(f"{name} must be at least {SMALLEST_LEVEL:g}, got {numbers.min():g}")
    else:
        for bad in numbers[~(np.isfinite(numbers) & (numbers >= 0.0))]:
            require_nonnegative(name, float(bad))
    return numbers


def positive(name: str, values: Any) -> Column:
    """Return lengths as floats.

    >>> positive("beta", 0.5)
    array(0.5)

    Raises:
        SettingError: one is not positive or not finite.
    """
    numbers = checked(name, values)
    if (numbers == 0.0).any():
        require_positive(name, 0.0)
    return numbers


def vote_levels(beta: Any, radius: Any, name: str = "radius") -> tuple[Column, Column]:
    """Return Phi(radius / beta) and Phi(-radius / beta), the shares of the vote for class 1 that certify.

    At ``radius`` class 1 is certified where it has at least the first share, class 0 where class 1 has at
    most the second (Cohen et al. 2019, Theorem 1, with the exact probability). The first is rounded to double
    precision: what follows from it has fewer digits beyond radius = 5 beta.

    >>> np.round(vote_levels(0.5, 0.5), 6), np.round(vote_levels(0.5, 0.0), 6)
    (array([0.841345, 0.158655]), array([0.5, 0.5]))

    Raises:
        SettingError: a noise or radius that is negative or not finite, a radius above 8 beta (at beta = 0,
            above 0).
    """
    betas, radii = np.broadcast_arrays(checked("beta", beta), checked(name, radius))
    for noise, bad in zip(betas[radii > 8 * betas], radii[radii > 8 * betas], strict=True):
        raise SettingError(f"{name} must be at most 8 beta = {8 * noise:.6g} to be certified, got {bad}")
    scores = np.divide(radii, betas, out=np.zeros(radii.shape), where=radii > 0.0)
    return special.ndtr(scores), special.ndtr(-scores)


def flat(**values: Any) -> tuple[Any, ...]:
    """Return the checked arguments as flat arrays of one length, followed by their common shape.

    >>> flat(dim=[1, 2], radius=3.0)
    (array([1., 2.]), array([3., 3.]), (2,))

    Raises:
        SettingError: as ``checked``, or shapes that do not fit together.
    """
    columns = [checked(name, value) for name, value in values.items()]
    try:
        arrays = np.broadcast_arrays(*columns)
    except ValueError:
        shapes = ", ".join(str(column.shape) for column in columns)
        raise SettingError(f"arguments must broadcast against each other, got shapes {shapes}") from None
    return (*(array.ravel() for array in arrays), arrays[0].shape)


def shaped(values: Column, shape: tuple[int, ...]) -> Reals:
    """Return flat values in their shape, or a plain number for the shape ().

    >>> shaped(np.array([2.0]), ())
    2.0
    """
    return values.reshape(shape) if shape else float(values[0])
