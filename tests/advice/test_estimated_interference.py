import math

import numpy as np
import pytest

from sfumato.advice.estimated_interference import (
    ClassInterference,
    estimate_interference,
    intrinsic_dimension,
)
from sfumato.advice.points import labelled_points
from sfumato.errors import SettingError


def two_discs(gap, count, seed):
    """Class 1 is two discs of radius 1, class 0 what surrounds them, uniformly."""
    generator = np.random.default_rng(seed)
    x = generator.uniform([-1.5, -1.5], [3.5 + gap, 1.5], (count, 2))
    left, right = np.hypot(*x.T) <= 1, np.hypot(x[:, 0] - 2 - gap, x[:, 1]) <= 1
    return labelled_points(x, (left | right).astype(int))


@pytest.mark.parametrize("gap", [0.3, 1.0])
def test_the_gap_of_two_discs_is_found_and_bounded(gap):
    held = 0
    for seed in range(6):
        disc = estimate_interference(two_discs(gap, 2000, seed), subsamples=20, seed=seed)[1]
        assert disc.components == 2
        assert gap <= disc.zeta <= gap + 0.2
        assert disc.zeta_high == disc.zeta
        assert disc.half_width == pytest.approx(1.0, abs=0.06)
        held += disc.zeta_low <= gap
    assert held >= 5


def test_a_gap_below_the_spacing_is_not_resolved():
    disc = estimate_interference(two_discs(0.02, 1500, 0), subsamples=10)[1]
    assert disc.components == 1 or disc.zeta_low == 0.0
    assert disc.regime in ("one part", "not resolved")


def test_interference_does_not_depend_on_where_the_points_lie_or_their_scale():
    points = two_discs(0.5, 1500, 1)
    moved = labelled_points(3.0 * points.x + 100.0, points.y)
    one, two = (estimate_interference(p, subsamples=0)[1] for p in (points, moved))
    assert two.zeta == pytest.approx(3.0 * one.zeta, rel=1e-3)
    assert two.ratio == pytest.approx(one.ratio, rel=1e-3)
    assert math.isnan(one.zeta_low)


def test_the_regime_compares_with_the_threshold_of_two_balls():
    def regime(zeta, low):
        return ClassInterference("a", 99, 2, 0.5, zeta, low, zeta, 0.0, 1.0, 0.1, 2.0, 2).regime

    # zeta* / r = .534807 in the plane
    assert regime(0.6, 0.54) == "low interference"
    assert regime(0.6, 0.53) == "high interference"
    assert regime(0.6, 0.0) == "not resolved"


def test_the_dimension_is_that_of_the_set_not_of_the_space():
    generator = np.random.default_rng(0)
    plane = generator.random((2000, 2)) @ generator.normal(size=(2, 20))
    assert intrinsic_dimension(plane) == pytest.approx(2.0, abs=0.2)
    assert intrinsic_dimension(np.zeros((50, 4))) == 1.0


def test_classes_with_few_points_are_passed_over():
    x = np.random.default_rng(0).random((30, 2))
    assert [c.name for c in estimate_interference(labelled_points(x, np.repeat([0, 1], [25, 5])))] == ["0"]
    with pytest.raises(SettingError, match="no class has 10 points"):
        estimate_interference(labelled_points(x[:10], np.repeat([0, 1], 5)))
