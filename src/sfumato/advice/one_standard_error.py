"""The one-standard-error rule: the largest noise whose risk does not clearly exceed a reference risk.

The reference is the risk without noise (kappa rule) or the lowest risk (Parzen rule). A bootstrap over whole
images (Efron 1979) says how far the answer depends on the images.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from sfumato.errors import require_count

_DRAWS_AT_ONCE = 100


def largest_within(
    levels: Float[np.ndarray, " levels"],
    risks: Float[np.ndarray, "draws levels"],
    reference: Float[np.ndarray, "draws 1"],
    images: int,
) -> Float[np.ndarray, " draws"]:
    """Return, for each draw, the largest level whose risk is at most the reference plus one standard error.

    The standard error is the binomial one of the reference on ``images`` images; 0 if no level qualifies.

    >>> risks = np.array([[0.10, 0.13, 0.14]])
    >>> largest_within(np.array([0.0, 0.2, 0.4]), risks, risks[:, :1], 100)
    array([0.2])
    """
    limit = reference + np.sqrt(reference * (1.0 - reference) / images)
    # risks are multiples of 1 / images: a hair of room keeps equality equal
    return np.asarray(np.where(risks <= limit + 1e-12, levels, 0.0).max(axis=1))


def resampled_risks(
    wrong: Bool[np.ndarray, "images levels"], draws: int, seed: int
) -> Float[np.ndarray, "draws levels"]:
    """Return the risks on ``draws`` bootstrap samples of the images; all levels see the same images."""
    require_count("draws", draws)
    images = len(wrong)
    # not keyed noise: the bootstrap's choice of images
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        times = generator.multinomial(images, np.full(images, 1.0 / images), size=count)
        found.append(times @ wrong / images)
    return np.concatenate(found)
