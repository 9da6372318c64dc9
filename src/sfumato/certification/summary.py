"""The summary of a set of certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.certification.accuracy import CurvePoint, certified_accuracy, radius_grid
from sfumato.certification.certificate import Certificate
from sfumato.noise import Noise
from sfumato.plans import ABSTAIN, Plan, votes_saved
from sfumato.statistics.binomial import upper_failure_probability


@dataclass(frozen=True)
class Summary:
    """Certified accuracy over a grid of radii, and the usual totals.

    Attributes:
        curve: one point per radius.
        average_radius: mean radius with wrong and abstained examples counted as 0 (Zhai et al. 2020).
        abstained: number of abstentions.
        seconds: time spent on all certificates.
        mean_votes: noisy copies spent per example.
        saved: how many times fewer they are than the 100,100 of Cohen et al. 2019.
    """

    curve: tuple[CurvePoint, ...]
    average_radius: float
    abstained: int
    seconds: float
    mean_votes: float
    saved: float


def summarise(certificates: Sequence[Certificate], plan: Plan, *, noise: Noise, confidence: float) -> Summary:
    """Return the summary of one run's certificates, on the radii that its plan was asked about.

    Where the plan names none, on a round grid up to the largest radius its votes can certify.
    """
    votes = [certificate.votes or 0 for certificate in certificates]
    return Summary(
        curve=tuple(certified_accuracy(certificates, _radii(plan, noise, confidence))),
        average_radius=sum(c.radius for c in certificates if c.correct) / len(certificates),
        abstained=sum(1 for c in certificates if c.predict == ABSTAIN),
        seconds=sum(c.seconds for c in certificates),
        mean_votes=sum(votes) / len(votes),
        saved=votes_saved(votes),
    )


def _radii(plan: Plan, noise: Noise, confidence: float) -> list[float]:
    if plan.asked_radii or plan.states != "radius":
        return list(plan.asked_radii or (0.0,))
    most = plan.bounding_votes
    largest = noise.radius(upper_failure_probability(most, most, confidence))
    return radius_grid(noise.standard_deviation, largest)
