"""How far apart two equal balls must be so that noise never makes them spill over.

Two mechanisms let a union of balls grow somewhere under T_s. Noise bridges a narrow gap between neighbours,
with zeta / r below about 0.53 / (d - 1). And where balls cover more than half of space, noise that sees many
of them at once fills everything. The threshold of the first is computed here, in units of the balls' radius;
zeta is the gap between the surfaces of nearest neighbours.
"""

from __future__ import annotations

import math
from functools import cache

from scipy import optimize, special

from sfumato.errors import require_count
from sfumato.theory.balls import ball_probability, ball_radius


def pair_gap(dim: int, ratio: float) -> float:
    """Return the gap zeta / r at which two equal balls just bridge at the noise sigma = r / ``ratio``.

    The sum of the two probabilities falls with either distance, so the critical point is on the segment
    between the centres, at a sphere. There one ball alone gives 1/2 - slack, and the other ball must make up
    for the slack: its distance is the radius of the level set {u >= slack}. Negative: no bridge at any gap.

    >>> round(pair_gap(2, 1.76), 6)
    0.534806

    Raises:
        SettingError: a dimension below 1 or a ratio that is not positive.
    """
    if dim == 1:  # the difference would cancel from ratio = 10 on
        slack = float(special.ndtr(-2.0 * ratio))
    else:
        slack = 0.5 - float(ball_probability(dim, ratio, ratio, 1.0))
    return float(ball_radius(dim, ratio, 1.0, slack).radius) / ratio - 1.0


@cache
def pair_threshold(dim: int) -> float:
    """Return zeta* / r: two equal balls of radius r at least this gap apart never spill over, at any noise.

    Below it some noise fills part of the gap. Exactly 2 in one dimension (sharp: intervals at least as
    far apart as they are wide); the supremum of :func:`pair_gap` over the noise otherwise. Times (d - 1)
    it tends to 0.5313 as d grows, the supremum over c of 2 c (-Phi^-1(1/2 - Phi(-c)) - c).

    >>> pair_threshold(1), round(pair_threshold(2), 6), round(pair_threshold(3), 6)
    (2.0, 0.534807, 0.272481)

    Raises:
        SettingError: a dimension below 1.
    """
    require_count("dim", dim)
    if dim == 1:
        return 2.0
    # c = (d - 1) / (2 t), the erosion in units of the noise, is 0.284 at best in the plane, 0.3015 far above
    best = optimize.minimize_scalar(
        lambda log_c: -pair_gap(dim, (dim - 1) / 2.0 * math.exp(-log_c)),
        bounds=(math.log(0.2), math.log(0.45)),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return -float(best.fun)
