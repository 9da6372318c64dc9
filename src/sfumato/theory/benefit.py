"""Where augmentation provably helps, in closed form: two near intervals.

Smoothing alone would lose the region. Training noise first fills the gap between its pieces, and the part
that it fills by mistake is smaller than the part that it saves.
"""

from __future__ import annotations

from sfumato.errors import require_positive
from sfumato.theory.balls import ball_radius
from sfumato.theory.intervals import Intervals, threshold


def interval_benefit(width: float, gap: float, alpha: float, beta: float) -> float | None:
    """Return Delta(0, beta) - Delta(alpha, beta) > 0 of two equal intervals where it is proved, else None.

    A sufficient condition under Lebesgue measure: smoothing alone empties the region (T_beta A is empty),
    training fills the gap (T_alpha A is one interval [-a, a]), and that interval survives the smoothing
    with half-width rho > gap. Then the risk falls by 2 (rho - gap). None leaves open whether there is a
    benefit.

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
