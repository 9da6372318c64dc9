"""The certificate record, its file format, and certified accuracy over a set of them.

The file is the tab-separated table that the tools of the field read and write (Cohen et al. 2019):
one row per example, ``idx label predict radius correct time``, predict -1 for an abstention. Ours has
further columns behind these six: what was spent and found, and on what the guarantee rests.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

from sfumato.errors import DataError
from sfumato.plans import ABSTAIN, Decision
from sfumato.statistics import estimates

HEADER = ("idx", "label", "predict", "radius", "correct", "time")
OURS = ("votes", "stopped_by", "p_lower", "p_upper", "confidence", "plan")
_RADIUS_STEP = Decimal("0.000001")


@dataclass(frozen=True)
class Certificate:
    """One example's outcome.

    With probability at least the run's confidence over the noise, the smoothed classifier returns
    ``predict`` everywhere within ``radius`` of the example.

    Attributes:
        idx: index of the example in its data set.
        label: true class, or -1 if unknown.
        predict: predicted class, or -1 for an abstention.
        radius: certified radius in the noise's norm (L2 for Gaussian noise), in the input's unit; 0 for an
            abstention.
        seconds: time spent on it; of examples voted on together, by their share of the votes.
        votes: noisy copies spent on it; None in tables that do not say, as for all that follows.
        stopped_by: what ended the voting.
        p_lower: lower confidence bound of the predicted class's probability under the noise.
        p_upper: upper confidence bound of any other class's.
        confidence: probability with which the statement above holds (nan: nothing is guaranteed).
        plan: the stopping plan, settings included.
    """

    idx: int
    label: int
    predict: int
    radius: float
    seconds: float
    votes: int | None = None
    stopped_by: str = ""
    p_lower: float = math.nan
    p_upper: float = math.nan
    confidence: float = math.nan
    plan: str = ""

    @staticmethod
    def of(idx: int, label: int, decision: Decision, seconds: float) -> Certificate:
        """Return the certificate of a plan's decision, its radius as it is written."""
        return Certificate(
            idx,
            label,
            decision.prediction,
            written_radius(decision.radius),
            seconds,
            decision.votes,
            decision.stopped_by,
            decision.p_lower,
            decision.p_upper,
            decision.confidence,
            decision.plan,
        )

    @property
    def correct(self) -> bool:
        """Whether the prediction is the label."""
        return self.predict != ABSTAIN and self.predict == self.label

    def row(self) -> str:
        """Return the line of the table, without its end."""
        time = timedelta(seconds=round(self.seconds, 3))
        shown = f"{written_radius(self.radius):.6f}"
        cells: tuple[object, ...] = (self.idx, self.label, self.predict, shown, int(self.correct), time)
        if self.votes is not None:
            cells += (self.votes, self.stopped_by, self.p_lower, self.p_upper, self.confidence, self.plan)
        return "\t".join(str(cell) for cell in cells)


def written_radius(radius: float) -> float:
    """Return the radius as tables show it: to six decimals, rounded down so that no claim grows.

    >>> written_radius(0.1234567891), written_radius(0.57)
    (0.123456, 0.57)
    """
    return float(Decimal(repr(radius)).quantize(_RADIUS_STEP, rounding=ROUND_FLOOR))


def parse_row(line: str, where: str, *, ours: bool = False) -> Certificate:
    """Return the certificate of one line; what is behind our or the common columns is ignored.

    Raises:
        DataError: a line that has too few columns or no numbers in them.
    """
    cells = line.rstrip("\n").split("\t")
    needed = len(HEADER) + (len(OURS) if ours else 0)
    if len(cells) < needed:
        raise DataError(f"{where}: {len(cells)} columns, at least {needed} are needed")
    votes, bounds = None, [math.nan] * 3
    stopped_by, plan = (cells[7], cells[11]) if ours else ("", "")
    try:
        idx, label, predict = (int(cell) for cell in cells[:3])
        radius, seconds = float(cells[3]), _seconds(cells[5])
        if ours:
            votes, bounds = int(cells[6]), [float(cell) for cell in cells[8:11]]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if not (math.isfinite(radius) and radius >= 0):
        raise DataError(f"{where}: radius must be a finite number of at least 0, got {cells[3]}")
    p_lower, p_upper, confidence = bounds
    return Certificate(
        idx, label, predict, radius, seconds, votes, stopped_by, p_lower, p_upper, confidence, plan
    )


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
    ours = tuple(lines[0].split("\t")[: len(HEADER + OURS)]) == HEADER + OURS
    return [
        parse_row(line, f"{path}:{number}", ours=ours) for number, line in enumerate(lines[1:], 2) if line
    ]


@dataclass(frozen=True)
class CurvePoint:
    """Share of examples that are correct and certified at a radius, with bounds for the population.

    Attributes:
        radius: in the input's unit.
        certified, examples: counts.
        low: lower bound of the population's share on which the smoothed classifier is truly correct
            and constant within the radius: it pays for the sample and for the certificates' own error.
        high: upper bound of the population's share that such a run certifies.
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
    certificates: Sequence[Certificate],
    radii: Iterable[float],
    *,
    confidence: float = 0.95,
    certificate_confidence: float = 0.999,
) -> list[CurvePoint]:
    """Return the certified accuracy at each radius, its bounds at ``confidence`` for each by itself.

    ``certificate_confidence`` is that of certificates that do not state theirs; those that state
    different ones are summarised at the lowest. See ``statistics.estimates.certified_accuracy``.

    >>> rows = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0)]
    >>> [point.share for point in certified_accuracy(rows, [0.0, 0.5])]
    [0.5, 0.0]

    Raises:
        DataError: no certificates.
    """
    if not certificates:
        raise DataError("no certificates to summarise; at least 1 is needed")
    stated = {c.confidence for c in certificates if not math.isnan(c.confidence)}
    level = min(stated, default=certificate_confidence)
    certified = sorted(c.radius for c in certificates if c.correct)
    points = []
    for radius in radii:
        hits = len(certified) - bisect_left(certified, written_radius(radius))
        found = estimates.certified_accuracy(
            hits, len(certificates), confidence=confidence, certificate_confidence=level
        )
        points.append(CurvePoint(radius, hits, len(certificates), found.robust_lower, found.rate_upper))
    return points


def radius_grid(beta: float, largest: float) -> list[float]:
    """Return about ten round radii from 0 to ``largest``, for a table at noise ``beta``.

    >>> radius_grid(0.5, 1.9)
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    """
    step = next(s for s in (0.05, 0.1, 0.25, 0.5, 1.0, math.inf) if s >= beta / 3) if beta <= 3 else beta / 2
    return [round(i * step, 10) for i in range(int(largest / step) + 1)]
