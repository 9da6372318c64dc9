"""What a set of certificates says as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.models.checkpoint import ModelRecord
from sfumato.smoothing.certificate import Certificate, CertifiedAccuracy, certified_accuracy, radius_grid
from sfumato.statistics.binomial import gaussian_radius, upper_failure_probability
from sfumato.statistics.plans import ABSTAIN


@dataclass(frozen=True)
class Summary:
    """Certified accuracy over a grid of radii, and the usual totals.

    Attributes:
        curve: one point per radius.
        average_radius: mean radius with wrong and abstained examples counted as 0 (Zhai et al. 2020).
        abstained: number of abstentions.
        seconds: time spent on all certificates.
    """

    curve: tuple[CertifiedAccuracy, ...]
    average_radius: float
    abstained: int
    seconds: float


def summarise(certificates: Sequence[Certificate], *, beta: float, votes: int, confidence: float) -> Summary:
    """Return the summary on a round grid up to the largest radius that ``votes`` votes can certify."""
    largest = gaussian_radius(upper_failure_probability(votes, votes, confidence), beta)
    return Summary(
        curve=tuple(certified_accuracy(certificates, radius_grid(beta, largest))),
        average_radius=sum(c.radius for c in certificates if c.correct) / len(certificates),
        abstained=sum(1 for c in certificates if c.predict == ABSTAIN),
        seconds=sum(c.seconds for c in certificates),
    )


def lack_of_noise_training(
    certificates: Sequence[Certificate], record: ModelRecord | None, beta: float
) -> str | None:
    """Return a warning if accuracy falls under the smoothing noise because training had too little of it.

    That is so where less than half of the accuracy without noise is left and alpha is below beta / 2.
    """
    if record is None or record.alpha >= beta / 2:
        return None
    kept = sum(1 for c in certificates if c.correct) / len(certificates)
    if kept >= record.clean_accuracy / 2:
        return None
    return (
        f"under beta = {beta:g} only {kept:.2f} of the images are classified correctly, against "
        f"{record.clean_accuracy:.2f} without noise: the classifier was trained with alpha = "
        f"{record.alpha:g}; train it with more noise, about {0.7 * beta:.2g} to begin with"
    )
