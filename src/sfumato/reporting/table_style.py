"""How the numbers of a table are written: with intervals, in per cent, with decimals, the best in bold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.errors import SettingError, require_count

_MOST_DECIMALS = 8


@dataclass(frozen=True)
class TableStyle:
    """How the shares of a table are written.

    Attributes:
        intervals: whether the interval of an estimate stands behind it.
        percent: whether shares are written in per cent.
        places: decimals of a share; 4, or 2 in per cent, if not given.
        bold: whether the best of those that are compared is in bold: all that look the same as the best do.

    >>> TableStyle(percent=True, places=1).estimate(0.5444, 0.51, 0.58)
    '54.4 [51.0, 58.0]'

    Raises:
        SettingError: decimals out of range.
    """

    intervals: bool = True
    percent: bool = False
    places: int | None = None
    bold: bool = False

    def __post_init__(self) -> None:
        if self.places is not None and require_count("decimals", self.places, 0) > _MOST_DECIMALS:
            raise SettingError(f"decimals must be at most {_MOST_DECIMALS}, got {self.places}")

    def share(self, value: float) -> str:
        """Return a share, or a difference of shares."""
        usual = 2 if self.percent else 4
        return f"{100 * value if self.percent else value:.{usual if self.places is None else self.places}f}"

    def estimate(self, value: float, low: float, high: float) -> str:
        """Return an estimate with its interval, where the style has intervals."""
        return self.share(value) + (f" [{self.share(low)}, {self.share(high)}]" if self.intervals else "")

    def named(self, what: str) -> str:
        """Return what the shares are, with their unit where that is per cent."""
        return f"{what} in %" if self.percent else what

    def best(self, values: Sequence[float | None], *, largest: bool) -> list[int]:
        """Return the places of the best values, as they are shown; none if the style has no bold.

        >>> TableStyle(bold=True).best([0.50001, None, 0.50002, 0.4], largest=True)
        [0, 2]
        """
        known = [value for value in values if value is not None]
        if not self.bold or not known:
            return []
        shown = self.share(max(known) if largest else min(known))
        return [at for at, value in enumerate(values) if value is not None and self.share(value) == shown]
