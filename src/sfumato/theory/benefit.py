"""Where augmentation provably helps, in closed form: two near intervals, and a finely perforated body.

Both proofs are the same story. Smoothing alone would lose the region; training noise first fills the gaps
between its pieces, and what it over-fills is less than what it saves.
"""

from __future__ import annotations

import math

from sfumato.errors import require_count, require_nonnegative, require_open_unit, require_positive
from sfumato.theory.balls import Ball, ball_radius
from sfumato.theory.deployed import Deployed
from sfumato.theory.intervals import Intervals, threshold


def interval_benefit(width: float, gap: float, alpha: float, beta: float) -> float | None:
    """Return Delta(0, beta) - Delta(alpha, beta) > 0 of two equal intervals where it is proved, else None.

    Sufficient condition under Lebesgue measure: smoothing alone empties the region (T_beta A is empty),
    training fills the gap (T_alpha A is one interval [-a, a]), and that interval survives the smoothing
    with half-width rho > gap. Then the risk falls by 2 (rho - gap). None says nothing about a benefit.

    >>> round(interval_benefit(1.0, 0.5, alpha=0.38, beta=1.36), 10)
    1.2038284696
    >>> interval_benefit(1.0, 1.0, alpha=0.38, beta=1.36) is None
    True

    Raises:
        SettingError: a width, gap or noise that is not positive.
    """
    for name, value in (("width", width), ("gap", gap), ("alpha", alpha), ("beta", beta)):
        require_positive(name, value)
    half = gap / 2.0
    pair = Intervals((-half - width, half), (-half, half + width))
    trained = threshold(pair, alpha)
    if not threshold(pair, beta).is_empty or len(trained.starts) != 1:
        return None
    filled = (trained.ends[0] - trained.starts[0]) / 2.0
    left = float(ball_radius(1, filled, beta).radius)
    return 2.0 * (left - gap) if left > gap else None


def homogenised_ball(dim: int, radius: float, density: float, alpha: float, beta: float) -> Deployed[Ball]:
    """Return what is deployed on a ball with fine pores, of which class 1 covers the share ``density``.

    The limit of pieces much smaller than either noise. A first noise s sees the density times the ball
    and leaves T_s at level 1 / (2 density) of it, solid, or nothing if ``density`` <= 1/2; a second noise
    works on a solid ball at level 1/2. ``alpha`` = 0 stands for a training noise just large enough to
    fill the pores; ``plain_risk`` is without any. Risks are shares of the class's own volume.

    >>> answer = homogenised_ball(2, 1.0, 0.8, alpha=0.0, beta=0.5)
    >>> round(answer.risk, 4), round(answer.plain_risk, 4), round(answer.benefit, 4)
    (0.449, 0.6551, 0.2061)

    Raises:
        SettingError: a dimension below 1, a radius or beta that is not positive, a negative alpha, a
            density outside (0, 1).
    """
    require_count("dim", dim)
    for name, value in (("radius", radius), ("beta", beta)):
        require_positive(name, value)
    require_nonnegative("alpha", alpha)
    level = 0.5 / require_open_unit("density", density)
    if level >= 1.0:
        empty = Ball(dim, 0.0)
        return Deployed(alpha, beta, empty, empty, 1.0, 1.0)
    filled = float(ball_radius(dim, radius, alpha, level).radius) if alpha > 0 else radius
    smoothed = float(ball_radius(dim, filled, beta).radius)
    alone = float(ball_radius(dim, radius, beta, level).radius)

    def risk(left: float) -> float:
        share = math.exp(dim * math.log(left / radius)) if left > 0 else 0.0
        return 1.0 - (2.0 * density - 1.0) / density * share

    return Deployed(alpha, beta, Ball(dim, filled), Ball(dim, smoothed), risk(smoothed), risk(alone))
