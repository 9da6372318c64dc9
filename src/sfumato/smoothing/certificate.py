"""The certificate record, its file format, and certified accuracy over a set of them.

The file is the tab-separated table that the tools of the field read and write (Cohen et al. 2019):
one row per example, ``idx label predict radius correct time``, predict -1 for an abstention.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sfumato.errors import DataError
from sfumato.statistics.binomial import two_sided_interval
from sfumato.statistics.plans import ABSTAIN

HEADER = ("idx", "label", "predict", "radius", "correct", "time")
_RADIUS_DIGITS = 6


@dataclass(frozen=True)
class Certificate:
    """One example's outcome.

    With probability at least the run's confidence over the noise, the smoothed classifier returns
    ``predict`` everywhere within ``radius`` of the example.

    Attributes:
        idx: index of the example in its data set.
        label: true class, or -1 if unknown.
        predict: predicted class, or -1 for an abstention.
        radius: certified L2 radius in the input's unit, 0 for an abstention.
        seconds: time spent on it.
    """

    idx: int
    label: int
    predict: int
    radius: float
    seconds: float

    @property
    def correct(self) -> bool:
        """Whether the prediction is the label."""
        return self.predict != ABSTAIN and self.predict == self.label

    def row(self) -> str:
        """Return the line of the table, without its end. The radius is rounded down: never up a claim."""
        scale = 10**_RADIUS_DIGITS
        radius = math.floor(self.radius * scale) / scale
        time = timedelta(seconds=round(self.seconds, 3))
        shown = f"{radius:.{_RADIUS_DIGITS}f}"
        cells = (self.idx, self.label, self.predict, shown, int(self.correct), time)
        return "\t".join(str(cell) for cell in cells)


def parse_row(line: str, where: str) -> Certificate:
    """Return the certificate of one line; columns beyond the six are ignored.

    Raises:
        DataError: a line that has too few columns or no numbers in them.
    """
    cells = line.rstrip("\n").split("\t")
    if len(cells) < len(HEADER):
        raise DataError(f"{where}: {len(cells)} columns, at least {len(HEADER)} are needed")
    try:
        idx, label, predict = (int(cell) for cell in cells[:3])
        radius, seconds = float(cells[3]), _seconds(cells[5])
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if not (math.isfinite(radius) and radius >= 0):
        raise DataError(f"{where}: radius must be a finite number of at least 0, got {cells[3]}")
    return Certificate(idx, label, predict, radius, seconds)


def _seconds(cell: str) -> float:
    """Return seconds from ``15.4`` or ``0:02:31.238689``: both are found in published files."""
    total = 0.0
    for part in cell.removesuffix(" days").split(":"):
        total = total * 60 + float(part)
    return total


def read_certificates(path: Path) -> list[Certificate]:
    """Return all certificates in a table written by Sfumato or by another tool of the field.

    Raises:
        DataError: a missing file, another header, or a damaged line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not lines or tuple(lines[0].split("\t")[: len(HEADER)]) != HEADER:
        raise DataError(f"{path}: its first line must begin with {' '.join(HEADER)}, separated by tabs")
    return [parse_row(line, f"{path}:{number}") for number, line in enumerate(lines[1:], 2) if line]


@dataclass(frozen=True)
class CertifiedAccuracy:
    """Share of examples that are correct and certified at a radius, with a confidence interval.

    Attributes:
        radius: in the input's unit.
        certified, examples: counts.
        low, high: exact interval (Clopper-Pearson) for the share in the population of examples.
    """

    radius: float
    certified: int
    examples: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The estimate."""
        return self.certified / self.examples


def certified_accuracy(
    certificates: Sequence[Certificate], radii: Iterable[float], confidence: float = 0.95
) -> list[CertifiedAccuracy]:
    """Return the certified accuracy at each radius, with a two-sided interval at ``confidence``.

    >>> rows = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0)]
    >>> [point.share for point in certified_accuracy(rows, [0.0, 0.5])]
    [0.5, 0.0]

    Raises:
        DataError: no certificates.
    """
    if not certificates:
        raise DataError("no certificates to summarise; at least 1 is needed")
    points = []
    for radius in radii:
        hits = sum(1 for c in certificates if c.correct and c.radius >= radius)
        low, high = two_sided_interval(hits, len(certificates), confidence)
        points.append(CertifiedAccuracy(radius, hits, len(certificates), low, high))
    return points


def radius_grid(beta: float, largest: float) -> list[float]:
    """Return about ten round radii from 0 to ``largest``, for a table at noise ``beta``.

    >>> radius_grid(0.5, 1.9)
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    """
    step = next(s for s in (0.05, 0.1, 0.25, 0.5, 1.0, math.inf) if s >= beta / 3) if beta <= 3 else beta / 2
    return [round(i * step, 10) for i in range(int(largest / step) + 1)]
