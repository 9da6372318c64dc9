"""What has been measured about the best noises for a radius, and what it says of a network at hand.

``RECORDED`` is the one place of these numbers. Cohen, Rosenfeld & Kolter 2019 published certificates of
networks with several alphas at beta = 0.5: the best alpha at that beta, its set (``sfumato study best
TABLES --beta 0.5 --radius R``) and the exact paired test against the next best. Our own races
(``benchmarks/results/radius_studies.md``) compare every pair of noises. Noises and radii are in pixels in
[0, 1]; nothing is claimed of other units, or of radii and noises that are not near a recorded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sfumato.datasets.units import PIXELS

_NEAR = (
    1.1  # factor within which two radii, or two noises, are near: the best beta is a matter of such factors
)

Pair = tuple[float, float]
"""Training noise alpha, smoothing noise beta."""


@dataclass(frozen=True)
class Recorded:
    """What one study found at one radius.

    Attributes:
        data, network: that were measured.
        source: where the numbers are from.
        images: how many test images.
        radius: that was certified.
        alphas: training noises measured.
        betas: smoothing noises measured, each with every alpha.
        best: the pair that certifies the most images.
        certified: their share.
        members: alphas of the pairs that are not significantly worse, at confidence 0.95.
        against: the pair it was tested against: the best alpha = beta, or the next best alpha.
        against_certified: its share.
        p_value: two-sided, of "no difference" between the two.
    """

    data: str
    network: str
    source: str
    images: int
    radius: float
    alphas: tuple[float, ...]
    betas: tuple[float, ...]
    best: Pair
    certified: float
    members: tuple[float, ...]
    against: Pair
    against_certified: float
    p_value: float


def _published(data: str, network: str, alphas: tuple[float, ...], *rows: Sequence[float]) -> list[Recorded]:
    """Return published rows: radius, best alpha, its share, the other alpha, its share, p.

    An alpha whose p is above 0.05 is not significantly worse; all other alphas are, at every radius.
    """
    source = "published tables of Cohen et al. 2019"
    return [
        Recorded(
            *(data, network, source, 500, radius, alphas, (0.5,), (best, 0.5), share),
            (best, other) if p > 0.05 else (best,),
            *((other, 0.5), other_share, p),
        )
        for radius, best, share, other, other_share, p in rows
    ]


def _raced(
    data: str,
    network: str,
    radius: float,
    best: Pair,
    certified: float,
    members: tuple[float, ...],
    against: tuple[Pair, float],
    p_value: float,
) -> Recorded:
    source, alphas = "benchmarks/results/radius_studies.md", (0.12, 0.25, 0.5, 0.75, 1.0, 1.5)
    betas = tuple(beta for beta in alphas if beta > radius / 3.7)
    return Recorded(
        *(data, network, source, 1000, radius, alphas, betas, best, certified, members, *against, p_value)
    )


RECORDED: tuple[Recorded, ...] = (
    *_published(
        *("cifar10", "ResNet-110", (0.12, 0.25, 0.5, 1.0)),
        (0.0, 0.5, 0.652, 1.0, 0.436, 2.9e-19),
        (0.25, 0.5, 0.546, 1.0, 0.390, 2.3e-11),
        (0.5, 0.5, 0.414, 1.0, 0.352, 0.0032),
        (0.75, 0.5, 0.320, 1.0, 0.284, 0.089),
        (1.0, 1.0, 0.252, 0.5, 0.234, 0.40),
        (1.25, 1.0, 0.208, 0.5, 0.152, 0.0011),
        (1.5, 1.0, 0.164, 0.5, 0.094, 1.1e-5),
        (1.75, 1.0, 0.130, 0.5, 0.052, 8.1e-8),
    ),
    *_published(
        *("imagenet", "ResNet-50", (0.25, 0.5, 1.0)),
        (0.0, 0.5, 0.572, 1.0, 0.168, 7.7e-53),
        (0.25, 0.5, 0.518, 1.0, 0.162, 2.0e-44),
        (0.5, 0.5, 0.458, 1.0, 0.136, 1.2e-39),
        (0.75, 0.5, 0.424, 1.0, 0.122, 2.6e-38),
        (1.0, 0.5, 0.372, 1.0, 0.110, 1.1e-32),
        (1.25, 0.5, 0.330, 1.0, 0.102, 5.9e-28),
        (1.5, 0.5, 0.286, 1.0, 0.090, 3.5e-24),
        (1.75, 0.5, 0.220, 1.0, 0.076, 3.3e-15),
    ),
    _raced(
        *("mnist", "MLP", 0.25, (0.5, 0.12), 0.967),
        *((0.12, 0.25, 0.5, 0.75), ((0.12, 0.12), 0.964), 0.44),
    ),
    _raced("mnist", "MLP", 0.5, (0.5, 0.25), 0.935, (0.5, 0.75), ((0.5, 0.5), 0.919), 0.0037),
    _raced("mnist", "MLP", 1.0, (0.75, 0.5), 0.784, (0.75,), ((0.5, 0.5), 0.755), 0.0009),
    _raced(
        *("fashion-mnist", "LeNet", 1.0, (0.75, 0.5), 0.587),
        *((0.75, 1.0, 1.5), ((0.75, 0.75), 0.563), 0.065),
    ),
)


def recorded_near(radius: float, unit: str, beta: float | None = None) -> tuple[Recorded, ...]:
    """Return for each study what it found at the radius nearest to ``radius``, where that is near.

    With a ``beta``, only what holds near it. Near is within a factor of 1.1; nothing is near in another
    ``unit`` than pixels in [0, 1].

    >>> [(found.data, found.best) for found in recorded_near(0.5, "pixels in [0, 1]", beta=0.25)]
    [('mnist', (0.5, 0.25))]
    """
    nearest: dict[tuple[str, str], Recorded] = {}
    for one in RECORDED:
        held = beta is None or _near(beta, one.best[1])
        if unit == PIXELS and held and _near(radius, one.radius):
            before = nearest.setdefault((one.data, one.network), one)
            if _apart(radius, one.radius) < _apart(radius, before.radius):
                nearest[one.data, one.network] = one
    return tuple(nearest.values())


@dataclass(frozen=True)
class OtherAlpha:
    """Whether another training noise is likely to certify more at a radius.

    Attributes:
        verdict: ``likely``; ``not seen``, where no other alpha was significantly better; ``cannot say``.
        reason: one sentence.
        evidence: what studies found of such networks, also on other data, which the verdict does not use.
    """

    verdict: Literal["likely", "not seen", "cannot say"]
    reason: str
    evidence: tuple[Recorded, ...]


def other_alpha(alpha0: float, beta: float, radius: float, *, data: str, unit: str) -> OtherAlpha:
    """Return what is recorded of networks like one trained at ``alpha0`` and smoothed with ``beta``.

    ``beta`` is the best for this network at ``radius``. A study speaks of it if it measured an alpha near
    ``alpha0`` with a beta near ``beta`` at a radius near ``radius``. The verdict is that of studies on the
    same ``data``: on others the best alpha is another one.

    >>> other_alpha(0.5, 0.5, 1.0, data="mnist", unit="pixels in [0, 1]").verdict
    'likely'
    """
    near = tuple(
        one
        for one in recorded_near(radius, unit)
        if any(_near(alpha0, alpha) for alpha in one.alphas) and any(_near(beta, b) for b in one.betas)
    )
    own = [one for one in near if one.data == data]
    worse = {_nearest(alpha0, one.alphas) not in one.members for one in own}
    networks = ", ".join(one.network for one in own)
    if worse == {True}:
        best = " or ".join(dict.fromkeys(f"alpha {a:g} with beta {b:g}" for a, b in (o.best for o in own)))
        reason = (
            f"on {data} ({networks}) an alpha near {alpha0:g} with a beta near {beta:g} was significantly "
            f"worse; best was {best}"
        )
        return OtherAlpha("likely", reason, near)
    if worse == {False}:
        return OtherAlpha("not seen", f"on {data} ({networks}) no other was significantly better", near)
    if worse:
        return OtherAlpha("cannot say", f"studies of {data} disagree ({networks})", near)
    reason = (
        f"no recorded study of {data} has a network with alpha near {alpha0:g} and beta near {beta:g} at a "
        f"radius near {radius:g}"
    )
    return OtherAlpha("cannot say", reason, near)


_LEAST_SHARE = 0.5  # of beta: networks with less were worse than alpha = beta in all published tables ...
_FARTHEST = 3.5  # ... at radii up to so many beta


def lack_of_noise(alpha: float, beta: float, radius: float, certified: float, clean: float) -> str | None:
    """Return a warning if few images are certified at ``radius`` because training had too little noise.

    That is so where ``certified``, a share of images, is less than half of the accuracy ``clean`` without
    noise, and ``alpha`` is below beta / 2. For Gaussian noise. At radii where nothing is recorded: None.

    >>> lack_of_noise(0.4, 0.5, 0.5, certified=0.1, clean=0.9) is None
    True
    """
    if alpha >= _LEAST_SHARE * beta or certified >= clean / 2 or radius > _FARTHEST * beta:
        return None
    what = f"certified at radius {radius:g}" if radius > 0 else "classified correctly"
    advice = f"--radius {radius:g}" if radius > 0 else f"--beta {beta:g}"
    return (
        f"under beta = {beta:g} only {certified:.2f} of the images are {what}, against {clean:.2f} "
        f"classified correctly without noise: the classifier was trained with alpha = {alpha:g}. Published "
        f"networks with alpha up to {_LEAST_SHARE:g} beta do worse here than those with alpha = beta (Cohen "
        f"et al. 2019, CIFAR-10 and ImageNet); for yours: sfumato advise {advice} --model"
    )


def _nearest(value: float, among: Iterable[float]) -> float:
    return min(among, key=lambda one: _apart(value, one))


def _near(one: float, other: float) -> bool:
    return _apart(one, other) <= _NEAR


def _apart(one: float, other: float) -> float:
    """Return the factor between two numbers of at least 0; infinite if one alone is 0."""
    low, high = sorted((one, other))
    return high / low if low > 0 else (1.0 if high == 0 else math.inf)
