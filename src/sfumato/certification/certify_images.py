"""Certifying some images, as the rows of a table, in groups that fill batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int

from sfumato.certification.certificate import Certificate
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.plans import Plan
from sfumato.smoothing.configuration import Configuration

_MOST_TOGETHER = 64
_FULL_BATCHES = 4


def images_together(plan: Plan, configuration: Configuration) -> int:
    """Return how many images to vote on at once: enough that their first votes fill some batches.

    It changes the speed only. A killed run loses the images in flight, so they are not more than needed:
    one by one where a single image fills the batches.

    >>> from sfumato.plans import Decide, Fixed
    >>> images_together(Fixed(), Configuration(256)), images_together(Decide(0.5), Configuration(256))
    (1, 32)
    """
    filling = _FULL_BATCHES * configuration.batch_size * configuration.workers
    return min(_MOST_TOGETHER, max(1, -(-filling // max(1, plan.least_votes))))


def certify_images(
    smoothed: SmoothedClassifier,
    plan: Plan,
    x: torch.Tensor | np.ndarray,
    examples: Sequence[int],
    labels: Int[np.ndarray, " images"],
    *,
    confidence: float,
    label_known: bool = False,
) -> Iterator[list[Certificate]]:
    """Yield the rows of one group of images after another.

    With probability at least ``confidence`` over the noise, for each row that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius.
    """
    together = images_together(plan, smoothed.configuration)
    for begin in range(0, len(examples), together):
        group = slice(begin, begin + together)
        found = smoothed.certify(
            x[group],
            plan,
            confidence=confidence,
            examples=examples[group],
            labels=labels[group],
            known_labels=labels[group] if label_known else None,
        )
        yield [certificate.as_written() for certificate in found]
