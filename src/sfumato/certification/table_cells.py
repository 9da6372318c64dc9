"""The cells of certification tables: whole numbers, real numbers and durations, written and read strictly.

Tables come from many tools and through spreadsheets, so nothing is taken for granted: a number is written
in ASCII digits and lies in a range in which all later arithmetic is safe.
"""

from __future__ import annotations

import math
import re

from sfumato.errors import DataError

LARGEST_RADIUS = 1e15
"""Radii above it, in any unit, are taken for damage."""

_LARGEST_WHOLE = 10**15
_LARGEST_SECONDS = 1e10  # 317 years
_SHOWN = 40

_WHOLE = re.compile(r"[-+]?[0-9]{1,16}\Z")
_REAL = re.compile(r"([-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|nan)\Z")
# timedelta writes days, pandas too; hours may be more than 24
_CLOCK = re.compile(r"(?:([0-9]+) days?,? )?([0-9]+):([0-9]+):([0-9]+(?:\.[0-9]*)?)\Z")


def excerpt(cell: str) -> str:
    """Return a cell in quotes, as much of it as fits into a message.

    >>> excerpt("9" * 5000)
    "'9999999999999999999999999999999999999999'..."
    """
    return repr(cell[:_SHOWN]) + ("..." if len(cell) > _SHOWN else "")


def whole(name: str, cell: str, least: int = 0) -> int:
    """Return the whole number in a cell, from ``least`` to 10^15.

    Raises:
        DataError: another one, or none.
    """
    if _WHOLE.match(cell) and least <= (found := int(cell)) <= _LARGEST_WHOLE:
        return found
    raise DataError(f"{name} must be a whole number from {least} to 10^15, got {excerpt(cell)}")


def real(name: str, cell: str, largest: float, *, may_lack: bool = False) -> float:
    """Return the number in a cell, from 0 to ``largest``; also nan where it ``may_lack``.

    Raises:
        DataError: another one, or none.
    """
    if _REAL.match(cell):
        found = float(cell)
        if 0.0 <= found <= largest or (may_lack and math.isnan(found)):
            return found
    raise DataError(f"{name} must be a finite number from 0 to {largest:g}, got {excerpt(cell)}")


def duration(cell: str) -> float:
    """Return the seconds of ``15.4``, ``0:02:31.238689``, ``28:00:00`` or ``1 day, 4:00:00``.

    >>> duration("0:00:04.123"), duration("28:00:00") == duration("1 day, 4:00:00")
    (4.123, True)

    Raises:
        DataError: anything else, or more than 10^10 seconds.
    """
    if (parts := _CLOCK.match(cell)) is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        found = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if found <= _LARGEST_SECONDS:
            return found
    elif _REAL.match(cell) and 0.0 <= float(cell) <= _LARGEST_SECONDS:
        return float(cell)
    raise DataError(
        f"time must be from 0 to {_LARGEST_SECONDS:g} seconds, as 15.4 or 0:00:15.4, got {excerpt(cell)}"
    )


def written_duration(seconds: float) -> str:
    """Return hours, minutes and seconds, to a millisecond; hours go on beyond 24.

    >>> written_duration(75.25), written_duration(59.9999), written_duration(100_800.25)
    ('0:01:15.250000', '0:01:00', '28:00:00.250000')

    Raises:
        DataError: seconds that are negative, not finite or more than 10^10.
    """
    if not 0.0 <= seconds <= _LARGEST_SECONDS:
        raise DataError(f"seconds must be a number from 0 to {_LARGEST_SECONDS:g}, got {seconds}")
    # whole milliseconds, so that no part is rounded to 60
    whole_seconds, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, shown = divmod(whole_seconds, 60)
    fraction = f".{milliseconds:03}000" if milliseconds else ""
    return f"{minutes // 60}:{minutes % 60:02}:{shown:02}{fraction}"
