"""What a set of certificates says as a whole: outcomes, votes, and the steps of its certified accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sfumato.certification.accuracy import CurvePoint, certified_accuracy
from sfumato.errors import DataError
from sfumato.plans import ABSTAIN
from sfumato.plans.base import FULL_VOTES
from sfumato.reporting.sources import CertifiedSet

MOST_RADII = 300
"""At so many radii at most a line is drawn; of more, every so-manieth in order of size."""

FULL = FULL_VOTES
"""Votes per image of Cohen et al. 2019, whatever the image."""


@dataclass(frozen=True)
class Outcomes:
    """What became of the examples of a set, as counts.

    Attributes:
        correct, wrong, abstained: they add up to all.
        mean_radius: over all examples, 0 for wrong and abstained ones (Zhai et al. 2020).
        votes: noisy copies per example, mean; None where the table does not say.
    """

    correct: int
    wrong: int
    abstained: int
    mean_radius: float
    votes: float | None

    @property
    def examples(self) -> int:
        """All of them."""
        return self.correct + self.wrong + self.abstained


def outcomes(found: CertifiedSet) -> Outcomes:
    """Return what became of the examples."""
    rows = found.certificates
    correct = [row.radius for row in rows if row.correct]
    abstained = sum(row.predict == ABSTAIN for row in rows)
    spent = votes_spent(found)
    return Outcomes(
        len(correct),
        len(rows) - len(correct) - abstained,
        abstained,
        sum(correct) / len(rows),
        None if spent is None else float(spent.mean()),
    )


def votes_spent(found: CertifiedSet) -> Int[np.ndarray, " examples"] | None:
    """Return the votes of every example; None where the table does not say."""
    votes = [row.votes for row in found.certificates if row.votes is not None]
    return np.array(votes) if len(votes) == len(found.certificates) else None


def curve_of(found: CertifiedSet, largest: float, *, confidence: float) -> list[CurvePoint]:
    """Return certified accuracy at the radii where it steps, from 0 to ``largest``.

    It is constant between one radius and the next, and belongs to the interval's upper end.
    """
    steps = spread(sorted({row.radius for row in found.certificates if row.correct and row.radius > 0}))
    last = steps[-1] if steps else 0.0
    beyond = [last + 1e-6, largest] if largest > last + 1e-6 else []
    return certified_accuracy(found.certificates, [0.0, *steps, *beyond], confidence=confidence)


def spread(values: Sequence[float]) -> list[float]:
    """Return at most ``MOST_RADII`` of the values, evenly by their place and with both ends."""
    places = np.linspace(0, len(values) - 1, min(len(values), MOST_RADII)).round().astype(int)
    return [values[place] for place in places]


def radius_shares(found: CertifiedSet, edges: Float[np.ndarray, " bins+1"]) -> Float[np.ndarray, " bins"]:
    """Return the share of all examples that are correct with a radius in each bin."""
    radii = [row.radius for row in found.certificates if row.correct]
    return np.histogram(radii, edges)[0] / len(found.certificates)


def bin_count(sets: Sequence[CertifiedSet]) -> int:
    """Return how many bins of radii the smallest set fills: the root of its size, from 10 to 40."""
    return int(np.clip(np.sqrt(min(len(found.certificates) for found in sets)), 10, 40))


def largest_radius(sets: Sequence[CertifiedSet]) -> float:
    """Return the largest radius of all sets, 1 where all abstain."""
    return max((row.radius for found in sets for row in found.certificates), default=0.0) or 1.0


def common_norm(sets: Sequence[CertifiedSet]) -> str:
    """Return the norm of the radii of all sets.

    Raises:
        DataError: radii in different norms, which cannot be compared.
    """
    first = sets[0]
    for found in sets:
        if found.norm != first.norm:
            raise DataError(
                f"{first.name} has {first.norm} radii and {found.name} {found.norm} radii, which cannot be "
                "compared; give tables of one norm"
            )
    return first.norm


def radius_axis(sets: Sequence[CertifiedSet]) -> str:
    """Return the label of an axis of radii: their norm, and their unit where all sets that state one agree.

    Raises:
        DataError: radii in different norms.
    """
    units = {found.unit for found in sets if found.unit}
    return f"{common_norm(sets)} radius ({units.pop() if len(units) == 1 else 'unit of the input'})"
