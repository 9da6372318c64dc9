"""Certified accuracy over a set of certificates."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sfumato.certification.certificate import (
    Certificate,
    in_six_decimals,
    lowest_confidence,
    written_radius,
)
from sfumato.errors import DataError
from sfumato.plans import asked_radii
from sfumato.plans.base import written
from sfumato.settings import CONFIDENCE
from sfumato.statistics.estimates import certified_accuracy_bounds

NO_GUARANTEE = "nothing is guaranteed, so the lower bound is 0"
"""Said beside the bounds where the plan of some certificate guarantees nothing."""

_ROUNDING = 1e-9  # of a radius that is computed, as 0.1 + 0.2, against the one that was asked about


@dataclass(frozen=True)
class CurvePoint:
    """Share of examples that are correct and certified at a radius, with bounds for the population.

    Of certificates by ``top_k`` it is the top-k certified accuracy: read "among the k most probable classes"
    for "correct".

    Attributes:
        radius: in the input's unit; that of ``meant_radius``.
        certified, examples: counts.
        low: lower bound of the population's share on which the smoothed classifier is truly correct
            and constant within the radius: it covers the error of the sample and of the certificates. It is 0
            where the plan of some certificate guarantees nothing (``vote``).
        high: upper bound of the population's share that such a run certifies.
        certificate_confidence: of each certificate, the lowest of all; 0 where nothing is guaranteed.
    """

    radius: float
    certified: int
    examples: int
    low: float
    high: float
    certificate_confidence: float

    @property
    def share(self) -> float:
        """The estimate."""
        return self.certified / self.examples

    def __str__(self) -> str:
        doubt = "" if self.certificate_confidence else f"; {NO_GUARANTEE}"
        return f"radius {self.radius:g}: {self.share:.4f} ({self.low:.4f} to {self.high:.4f}{doubt})"


def certified_accuracy(
    certificates: Sequence[Certificate],
    radii: Iterable[float],
    *,
    confidence: float = 0.95,
    certificate_confidence: float = CONFIDENCE,
) -> list[CurvePoint]:
    """Return the certified accuracy at each radius; its bounds have ``confidence`` at each radius separately.

    An example counts if it is correct and certified at no less than the radius (``certified_radii``).
    ``certificate_confidence`` is that of certificates without a plan that do not state their own. If
    certificates differ in it, the lowest is used for all. If the plan of one guarantees nothing, as ``vote``,
    the lower bounds are 0. See ``certified_accuracy_bounds``.

    >>> rows = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0)]
    >>> [point.share for point in certified_accuracy(rows, [0.0, 0.5])]
    [0.5, 0.0]

    Raises:
        DataError: no certificates.
    """
    if not certificates:
        raise DataError("no certificates to summarise; at least 1 is needed")
    level = lowest_confidence(certificates, certificate_confidence)
    certified = sorted(certified_radii([row for row in certificates if row.correct]))
    asked = sorted({radius for plan in {row.plan for row in certificates} for radius in asked_radii(plan)})
    points = []
    for radius in (meant_radius(given, asked) for given in radii):
        hits = len(certified) - bisect_left(certified, radius)
        low, high = certified_accuracy_bounds(
            hits, len(certificates), confidence=confidence, certificate_confidence=level
        )
        points.append(CurvePoint(radius, hits, len(certificates), low, high, level))
    return points


def certified_radii(certificates: Iterable[Certificate]) -> list[float]:
    """Return the radius that each certificate is for: what it states, or the one that was asked about.

    Tables round radii down. Where a row states what a table writes, or wrote, for a radius that its plan was
    asked about, that one was certified; of several that are written alike, the smallest.

    >>> row = Certificate(0, 3, 3, 0.333333, 1.0, plan="decide(0.3333333)")
    >>> certified_radii([row, Certificate(1, 3, 3, 0.333333, 1.0, plan="fixed(100,1000)")])
    [0.3333333, 0.333333]
    """
    rows = list(certificates)
    by_written = {plan: _by_written(asked_radii(plan)) for plan in {row.plan for row in rows}}
    return [by_written[row.plan].get(row.radius, row.radius) for row in rows]


def _by_written(asked: Sequence[float]) -> dict[float, float]:
    """Return the radii asked about by each form that a table has of them; of an empty form, none."""
    found: dict[float, float] = {}
    for radius in sorted(asked, reverse=True):
        found |= {form: radius for form in (written_radius(radius), in_six_decimals(radius)) if form > 0.0}
    return found


def meant_radius(radius: float, asked: Iterable[float]) -> float:
    """Return the radius that is meant: of those asked about, one that is smaller by a rounding; else itself.

    >>> meant_radius(0.1 + 0.2, [0.1, 0.3]), meant_radius(0.25, [0.1, 0.3])
    (0.3, 0.25)
    """
    return min([radius, *(one for one in asked if math.isclose(one, radius, rel_tol=_ROUNDING))])


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


def require_asked(radius: float, certificates: Iterable[Certificate]) -> None:
    """Refuse a radius that a plan was not asked about, where it was asked about others.

    Raises:
        DataError: the plan of some certificate certifies other radii only.
    """
    for plan in sorted({row.plan for row in certificates}):
        asked = asked_radii(plan)
        if not _answers(asked, radius):
            known = ", ".join(map(written, asked))
            raise DataError(
                f"radius {written(radius)} was not certified: the certificates are for radius {known}; "
                "choose among these, or certify again"
            )


def is_asked(radius: float, certificates: Iterable[Certificate]) -> bool:
    """Return whether the plans of the certificates answer for this radius.

    One that finds the radii itself does, and one that is not registered here.
    """
    return all(_answers(asked_radii(plan), radius) for plan in {row.plan for row in certificates})


def _answers(asked: Sequence[float], radius: float) -> bool:
    return not asked or any(math.isclose(radius, one, rel_tol=_ROUNDING) for one in asked)
