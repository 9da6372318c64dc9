"""Certify images in groups, some of which are voted on together; how many changes the speed only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int

from sfumato.certification.certificate import Certificate, certificates_of
from sfumato.datasets.on_demand import Examples
from sfumato.plans import Plan
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.smoothed import Smoothed

_MOST_TOGETHER = 64
_FULL_BATCHES = 4
_GROUPS = 4  # that are voted on together


def images_together(plan: Plan, configuration: Configuration) -> int:
    """Return how many images to vote on at once: enough that their first votes fill some batches.

    It changes the speed only. A killed run loses the images in flight, so they are not more than needed:
    one by one where a single image fills the batches. Where one ends before others the next is begun.

    >>> from sfumato.plans import Decide, Fixed
    >>> images_together(Fixed(), Configuration(256)), images_together(Decide(0.5), Configuration(256))
    (1, 32)
    """
    filling = _FULL_BATCHES * configuration.batch_size * configuration.workers
    return min(_MOST_TOGETHER, max(1, -(-filling // max(1, plan.least_votes))))


def certified_in_groups(
    smoothed: Smoothed,
    plan: Plan,
    x: torch.Tensor | Examples,
    examples: Sequence[int],
    labels: Int[np.ndarray, " images"],
    *,
    confidence: float,
    known: Int[np.ndarray, " images"] | None,
) -> Iterator[list[Certificate]]:
    """Yield the certificates of one group of images after another, which are voted on together.

    ``examples``, the numbers of the images' noise, and ``labels`` stand in the certificates. ``known`` are
    the labels that are tested, as of ``Smoothed.runs``.
    """
    together = images_together(plan, smoothed.configuration)
    size = -(-together // _GROUPS)
    parts = [slice(begin, begin + size) for begin in range(0, len(examples), size)]
    groups = ((x[part], examples[part], None if known is None else known[part]) for part in parts)
    runs = smoothed.runs(groups, plan, confidence=confidence, together=together)
    for part, (run, seconds) in zip(parts, runs, strict=True):
        yield certificates_of(run, examples[part], labels[part].tolist(), seconds)
