"""Bounds for the population from certificates on a test sample, and p-values of several tests.

Every interval is exact for the finite sample (binomial, no normal approximation) and accounts for the
certificates' own error. Sources: Clopper & Pearson 1934; Holm 1979.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sfumato.errors import SettingError, require_open_unit
from sfumato.statistics.binomial import two_sided_interval


def certified_accuracy_bounds(
    certified: int, images: int, *, confidence: float, certificate_confidence: float
) -> tuple[float, float]:
    """Return (robust_lower, rate_upper): bounds of the certified accuracy in the population of the images.

    ``certified`` of the ``images`` were predicted correctly and certified at the radius. The images are drawn
    independently from a population, and the noise of their votes is independent. rho is the population's
    robust accuracy: the probability that the smoothed classifier is correct and truly constant within the
    radius. pi is the rate at which the procedure reports an image as correct and certified at the radius.
    With probability at least ``confidence`` over images and noise together,

        rho >= robust_lower   and   pi <= rate_upper.

    *Proof.* Each image contributes one independent trial that is reported with probability pi. An image
    that is not robust is reported with probability at most a = 1 - ``certificate_confidence``, so
    pi <= rho + (1 - rho) a, that is rho >= (pi - a) / (1 - a), an increasing function of pi. The number
    reported is Binomial(images, pi): its Clopper-Pearson bounds, each at error (1 - ``confidence``) / 2,
    hold together with probability at least ``confidence``, and the lower one carries over to rho.

    There is no upper bound of rho, since an image that is not certified may still be robust. A
    ``certificate_confidence`` of 0 says that nothing is guaranteed: then robust_lower is 0.

    >>> low, high = certified_accuracy_bounds(310, 500, confidence=0.95, certificate_confidence=0.999)
    >>> round(low, 4), round(high, 4)
    (0.5754, 0.6627)

    Raises:
        SettingError: counts that do not fit, confidences outside (0, 1).
    """
    low, high = two_sided_interval(certified, images, confidence)
    if certificate_confidence == 0.0:
        return 0.0, high
    require_open_unit("certificate_confidence", certificate_confidence)
    error = 1.0 - certificate_confidence
    return max(0.0, float(np.nextafter((low - error) / certificate_confidence, 0.0))), high


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p-values, in the order given.

    Rejecting every hypothesis whose adjusted value is at most a keeps the probability of any false
    rejection at most a, whatever the dependence between the tests (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)

    Raises:
        SettingError: a value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.size and not (np.all(values >= 0.0) and np.all(values <= 1.0)):
        raise SettingError(f"p-values must lie in [0, 1], got {', '.join(f'{v:g}' for v in values)}")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return tuple(float(v) for v in adjusted)
