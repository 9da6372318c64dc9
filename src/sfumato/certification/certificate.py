"""The certificate record, its file format, and certified accuracy over a set of them.

The file is the tab-separated table that the tools of the field read and write (Cohen et al. 2019):
one row per example, ``idx label predict radius correct time``, predict -1 for an abstention. Ours has
further columns behind these six: what was spent and found, and on what the guarantee rests.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

from sfumato.certification.table_cells import LARGEST_RADIUS, duration, real, whole, written_duration
from sfumato.errors import DataError
from sfumato.plans import ABSTAIN, Decision
from sfumato.statistics import estimates

HEADER = ("idx", "label", "predict", "radius", "correct", "time")
OURS = ("votes", "stopped_by", "p_lower", "p_upper", "confidence", "plan")
_RADIUS_STEP = Decimal("0.000001")
_WITHOUT_MORE_DECIMALS = 1e11  # a float has 17 digits


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
        """Return the line of the table, without its end.

        Raises:
            DataError: ``seconds`` that are negative or not finite.
        """
        shown, time = f"{written_radius(self.radius):.6f}", written_duration(self.seconds)
        cells: tuple[object, ...] = (self.idx, self.label, self.predict, shown, int(self.correct), time)
        if self.votes is not None:
            cells += (self.votes, self.stopped_by, self.p_lower, self.p_upper, self.confidence, self.plan)
        return "\t".join(str(cell) for cell in cells)


def written_radius(radius: float) -> float:
    """Return the radius as tables show it: to six decimals, rounded down so that no claim grows.

    >>> written_radius(0.1234567891), written_radius(0.57)
    (0.123456, 0.57)
    """
    if radius >= _WITHOUT_MORE_DECIMALS:
        return radius
    return float(Decimal(repr(radius)).quantize(_RADIUS_STEP, rounding=ROUND_FLOOR))


def parse_row(line: str, where: str, *, ours: bool = False, most: int | None = None) -> Certificate:
    """Return the certificate of one line; what is behind our or the common columns is ignored.

    ``most`` is how many columns the table has, if that is known.

    Raises:
        DataError: a line that has too few or too many columns, or no numbers of their range in them.
    """
    cells = _cells(line)
    needed = len(HEADER) + (len(OURS) if ours else 0)
    if len(cells) < needed:
        raise DataError(f"{where}: {len(cells)} columns, at least {needed} are needed")
    if most is not None and any(cells[most:]):
        raise DataError(f"{where}: {len(cells)} columns, at most {most} have a name in the header")
    try:
        found = Certificate(
            whole("idx", cells[0]),
            whole("label", cells[1], least=-1),
            whole("predict", cells[2], least=ABSTAIN),
            real("radius", cells[3], LARGEST_RADIUS),
            duration(cells[5]),
        )
        if not ours:
            return found
        p_lower, p_upper, confidence = (
            real(name, cell, 1.0, may_lack=True) for name, cell in zip(OURS[2:5], cells[8:11], strict=True)
        )
        if confidence in (0.0, 1.0):
            raise DataError(f"confidence must lie strictly between 0 and 1, got {confidence:g}")
        votes = whole("votes", cells[6])
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return replace(
        found,
        votes=votes,
        stopped_by=cells[7],
        p_lower=p_lower,
        p_upper=p_upper,
        confidence=confidence,
        plan=cells[11],
    )


def _cells(line: str) -> list[str]:
    """Return the cells of a line without the blanks around them."""
    return [cell.strip(" \r\n") for cell in line.split("\t")]


def read_certificates(path: Path, on_note: Callable[[str], None] = warnings.warn) -> list[Certificate]:
    """Return the certificates in a table written by Sfumato or by another tool of the field.

    Tables that went through other programs are read all the same: with a byte-order mark, blanks around
    cells, empty lines, ends of lines of other systems, or the header of every run that was appended. Of
    several rows about one image the first one counts, and ``on_note`` is told.

    Raises:
        DataError: a missing file, another header, or a damaged line.
    """
    lines = _lines(path)
    ours, most = False, 0
    found: dict[int, Certificate] = {}
    repeated: list[int] = []
    for number, line in enumerate(lines, 1):
        names = tuple(_cells(line))
        if not any(names):
            continue
        if names[: len(HEADER)] == HEADER:
            ours, most = names[: len(HEADER + OURS)] == HEADER + OURS, len(names)
            continue
        if not most:
            break
        row = parse_row(line, f"{path}:{number}", ours=ours, most=most)
        if row.idx in found:
            repeated.append(number)
        else:
            found[row.idx] = row
    if not most:
        raise DataError(f"{path}: its first line must begin with {' '.join(HEADER)}, separated by tabs")
    if repeated:
        more = f" and {len(repeated) - 1} others" if len(repeated) > 1 else ""
        on_note(
            f"{path}:{repeated[0]}{more}: about an image that an earlier row is about; the first row of each "
            "image counts"
        )
    return list(found.values())


def _lines(path: Path) -> list[str]:
    """Return the lines of a text in UTF-8, whatever system wrote their ends."""
    try:
        content = None if path.is_char_device() else path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if content is None:
        raise DataError(f"{path}: is a device, which may have no end; give a file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{number}: not text in UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


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
    >>> radius_grid(64.0, 260.0)
    [0.0, 25.0, 50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 200.0, 225.0, 250.0]
    """
    decade = 10.0 ** math.floor(math.log10(beta / 3))
    step = next(s for s in (decade, 2.5 * decade, 5 * decade, 10 * decade, math.inf) if s >= beta / 3)
    return [float(f"{i * step:.10g}") for i in range(int(largest / step) + 1)]
