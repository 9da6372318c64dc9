"""The summary of a set of certificates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sfumato.certification.accuracy import CurvePoint, certified_accuracy, radius_grid
from sfumato.certification.certificate import Certificate
from sfumato.certification.without_noise import StatedAccuracy
from sfumato.noise import Noise
from sfumato.plans import ABSTAIN, Plan, asked_radii, votes_saved
from sfumato.statistics.binomial import upper_failure_probability


@dataclass(frozen=True)
class Summary:
    """Certified accuracy over a grid of radii, and the usual totals.

    Attributes:
        curve: one point per radius.
        clean_accuracy, clean_of: accuracy of the base network without noise, and the images it is of; None
            where it is not known.
        p_lower: 10, 50 and 90 % quantiles of the lower bound of p_A (``p_lower_quantiles``).
        average_radius: mean radius with wrong and abstained examples counted as 0 (Zhai et al. 2020); None
            for a plan that tests only the radii that it was asked about.
        abstained: number of abstentions.
        seconds: time spent on all certificates.
        mean_votes: noisy copies spent per example.
        saved: how many times fewer they are than the 100,100 of Cohen et al. 2019.
    """

    curve: tuple[CurvePoint, ...]
    clean_accuracy: float | None
    clean_of: str | None
    p_lower: tuple[float, float, float] | None
    average_radius: float | None
    abstained: int
    seconds: float
    mean_votes: float
    saved: float


def summarise(
    certificates: Sequence[Certificate],
    plan: Plan,
    *,
    noise: Noise,
    confidence: float,
    without_noise: StatedAccuracy | None = None,
) -> Summary:
    """Return the summary of one run's certificates, on the radii that its plan was asked about.

    Where the plan names none, on a round grid up to the largest radius its votes can certify.
    """
    votes = [certificate.votes or 0 for certificate in certificates]
    return Summary(
        curve=tuple(certified_accuracy(certificates, _radii(plan, noise, confidence))),
        clean_accuracy=None if without_noise is None else without_noise.share,
        clean_of=None if without_noise is None else without_noise.of,
        p_lower=p_lower_quantiles(certificates),
        average_radius=average_radius(certificates),
        abstained=sum(1 for c in certificates if c.predict == ABSTAIN),
        seconds=sum(c.seconds for c in certificates),
        mean_votes=sum(votes) / len(votes),
        saved=votes_saved(votes),
    )


def average_radius(certificates: Sequence[Certificate]) -> float | None:
    """Return the mean radius, wrong and abstained examples counted as 0 (Zhai et al. 2020).

    None where some plan tests only the radii that it was asked about: the true radius lies above the one
    stated by an amount that says more about the choice of radii than about the classifier.
    """
    if any(asked_radii(plan) for plan in {one.plan for one in certificates}):
        return None
    return sum(one.radius for one in certificates if one.correct) / len(certificates)


def p_lower_quantiles(certificates: Sequence[Certificate]) -> tuple[float, float, float] | None:
    """Return the 10, 50 and 90 % quantiles of p_A's lower bound over the correctly classified examples.

    p_A is the probability of the predicted class under the noise. None where the table does not say its
    bounds, or nothing is correct.
    """
    bounds = [one.p_lower for one in certificates if one.correct]
    if not bounds or any(math.isnan(bound) for bound in bounds):
        return None
    low, middle, high = np.quantile(bounds, (0.1, 0.5, 0.9))
    return float(low), float(middle), float(high)


def _radii(plan: Plan, noise: Noise, confidence: float) -> list[float]:
    if plan.asked_radii or plan.states != "radius":
        return list(plan.asked_radii or (0.0,))
    most = plan.bounding_votes
    largest = noise.radius(upper_failure_probability(most, most, confidence))
    return radius_grid(noise.standard_deviation, largest)
