"""Compare a certificate with what its recorded counts give, and with the one that was drawn again.

Both comparisons need neither data nor model. They find what was changed after the votes were counted; whether
the votes were counted at all, only drawing them again shows.
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np

from sfumato.certification.certificate import Certificate, in_six_decimals, written_radius
from sfumato.errors import DataError, SettingError
from sfumato.noise import Noise
from sfumato.plans import ABSTAIN, Plan
from sfumato.plans.replay import read_counts, replayed

# Other versions of SciPy may differ in the last bits of a bound.
_ROUNDING = 1e-12
# Of a radius that is computed again from bounds as the table has them, in units of the noise too.
_OF_BOUNDS = 1e-9
# Of votes drawn again by another version of PyTorch: near ties may fall the other way.
_FEW = 1e-3

_DERIVED = (
    "predict",
    "radius",
    "votes",
    "stopped_by",
    "p_lower",
    "p_upper",
    "confidence",
    "plan",
    "squared_steps",
)


def not_derived(
    found: Certificate, plan: Plan, *, noise: Noise, confidence: float, label_known: bool
) -> str | None:
    """Return in what the certificate is not what follows from its counts, None if it follows.

    Without counts (tables of earlier versions) its radius is compared with its bounds, which is less.

    >>> from sfumato.noise import Gaussian
    >>> from sfumato.plans import Fixed
    >>> row = Certificate(0, 1, 1, 0.7, 1.0, 110, "all votes", 0.9, 0.1, 0.999, "fixed(10,100)")
    >>> not_derived(row, Fixed(10, 100), noise=Gaussian(0.5), confidence=0.999, label_known=False)
    'radius is 0.7, but its bounds give at most 0.640776'
    """
    if found.plan != plan.name:
        return f"plan is {found.plan}, but the run's is {plan.name}"
    if not found.counts:
        return _not_from_bounds(found, plan, noise, confidence)
    label = found.label if label_known else None
    try:
        decision = replayed(plan, found.counts, noise=noise, confidence=confidence, label=label)
    except (DataError, SettingError) as error:
        return str(error)
    given = Certificate.of(found.idx, found.label, decision, found.seconds, found.counts)
    for name in _DERIVED:
        old, new = getattr(found, name), getattr(given, name)
        if not (_same_radius(old, new) if name == "radius" else _same(old, new)):
            return f"{name} is {old}, but its counts give {new}"
    return None


def _not_from_bounds(found: Certificate, plan: Plan, noise: Noise, confidence: float) -> str | None:
    stated = math.nan if plan.states == "nothing" else confidence
    if not _same(found.confidence, stated):
        return f"confidence is {found.confidence:g}, but the run's is {stated:g}"
    if found.predict == ABSTAIN or math.isnan(found.p_lower):
        return None if found.radius == 0.0 else f"radius is {found.radius:g}, but nothing is certified"
    most = noise.radius(1.0 - found.p_lower, found.p_upper)
    if found.radius > most + _OF_BOUNDS * (most + noise.standard_deviation):
        return f"radius is {found.radius:g}, but its bounds give at most {most:g}"
    return None


def _same(old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return (math.isnan(old) and math.isnan(new)) or math.isclose(old, new, rel_tol=_ROUNDING)
    return old == new


def _same_radius(old: float, new: float) -> bool:
    """Return whether a radius is ``new``, as it is or as tables write it or wrote it: rounded down."""
    near = (new * (1.0 - _ROUNDING), new, new * (1.0 + _ROUNDING))
    return old in (new, *map(written_radius, near), *map(in_six_decimals, near))


def not_redrawn(found: Certificate, again: Certificate) -> tuple[str, bool] | None:
    """Return in what a certificate drawn again differs, and whether by more than a few votes; else None.

    Votes that are nearly ties may fall the other way with another version of PyTorch: up to one vote in a
    thousand is a few.
    """
    names = [one.name for one in fields(Certificate) if one.name not in ("seconds", "counts")]
    if found.counts:
        if (changed := _moved(found.counts, again.counts)) is None:
            return "its counts are not those of this plan and these classes", True
        moved, votes = changed
        if moved:
            return f"{moved:,} of its {votes:,} votes are others", moved > 2 + _FEW * votes
    for name in names:
        old, new = getattr(found, name), getattr(again, name)
        if not (_same_radius(old, new) if name == "radius" else _same(old, new)):
            return f"{name} is {old}, and {new} when drawn again", True
    return None


def _moved(old: str, new: str) -> tuple[int, int] | None:
    """Return how many votes of the rounds that both have are for other classes, and their number.

    None for counts that cannot be read, or of another number of classes.
    """
    try:
        before, after = read_counts(old), read_counts(new)
    except DataError:
        return None
    if before.shape[1] != after.shape[1]:
        return None
    rounds = min(len(before), len(after))
    gap = np.abs(before[:rounds] - after[:rounds]).sum()
    return int(-(-gap // 2)), int(before[:rounds].sum())
