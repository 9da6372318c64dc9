"""In what radii are measured: those of two sets can be compared only where it is the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sfumato.errors import DataError, SettingError
from sfumato.noise import Noise, noise_of

_DEFAULT_NORM = "L2"


@dataclass(frozen=True)
class Measure:
    """In what radii are measured.

    Attributes:
        distance: how moves are measured: ``Noise.distance``, the norm first.
        unit: of the inputs; empty where nothing says it, which goes with every unit.

    >>> print(Measure.of({"noise": "uniform", "beta": 0.5, "unit": "pixels in [0, 1]"}))
    L1 radii in pixels in [0, 1]
    """

    distance: tuple[object, ...] = (_DEFAULT_NORM,)
    unit: str = ""

    @staticmethod
    def of(settings: Mapping[str, Any] | None) -> Measure:
        """Return that of a run with these settings; L2 where they do not say, as of other tools."""
        said = settings or {}
        distance: tuple[object, ...] = (str(said.get("norm", _DEFAULT_NORM)),)
        if "noise" in said:
            with contextlib.suppress(SettingError):  # a plug-in that is not loaded: its norm is what is known
                distance = noise_of(said).distance
        return Measure(distance, str(said.get("unit", "")))

    @staticmethod
    def under(noise: Noise, unit: str = "") -> Measure:
        """Return that of the radii that this noise certifies."""
        return Measure(noise.distance, unit)

    @property
    def norm(self) -> str:
        """The norm, as figures name it."""
        return str(self.distance[0])

    def __str__(self) -> str:
        return f"{self.norm} radii" + (f" in {self.unit}" if self.unit else "")

    def goes_with(self, other: Measure) -> bool:
        """Return whether radii of the two can be compared."""
        return self.distance == other.distance and (not self.unit or other.unit in ("", self.unit))


def common_measure(named: Iterable[tuple[str, Measure]]) -> Measure:
    """Return the measure of all of these, each with the name of its set; at least one.

    The unit is that of those that say one.

    Raises:
        DataError: two of them have radii in different norms, scales or units.
    """
    (first, found), *others = named
    for name, other in others:
        if not found.goes_with(other):
            raise DataError(_cannot_be_compared(first, found, name, other))
        if other.unit and not found.unit:
            first, found = name, replace(found, unit=other.unit)
    return found


def _cannot_be_compared(first: str, one: Measure, second: str, other: Measure) -> str:
    if one.norm != other.norm:
        differ, wanted = f"{first} has {one.norm} radii and {second} {other.norm} radii", "norm"
    elif one.distance != other.distance:
        differ, wanted = f"{first} and {second} have {one.norm} radii of different scales", "list of scales"
    else:
        differ, wanted = f"{first} has radii in '{one.unit}' and {second} in '{other.unit}'", "unit"
    return f"{differ}, which cannot be compared; give certificates of one {wanted}"
