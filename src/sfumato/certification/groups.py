"""How many images are voted on at once; it changes the speed only."""

from __future__ import annotations

from sfumato.plans import Plan
from sfumato.smoothing.configuration import Configuration

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


def group_slices(images: int, together: int) -> list[slice]:
    """Return the parts of ``images`` images that are begun one after another, some of them together."""
    size = -(-together // _GROUPS)
    return [slice(begin, begin + size) for begin in range(0, images, size)]
