import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sfumato.advice.geometry import geometry
from sfumato.advice.neighbours import nearest_by_class
from sfumato.advice.points import labelled_points


def of(x, y):
    return geometry(nearest_by_class(labelled_points(np.asarray(x, float), np.asarray(y))))


def test_for_two_points_the_bound_is_the_error_of_the_best_classifier():
    found = of([[0.0], [1.0]], [0, 1])
    assert found.least_soft_risk(0.4) == pytest.approx(norm.cdf(-1.0 / 0.8), rel=1e-12)


@given(st.integers(0, 10_000), st.floats(0.05, 3.0))
def test_no_linear_classifier_is_below_the_bounds(seed, beta):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(30, 3)), np.append(generator.integers(0, 2, 28), [0, 1])
    found = of(x, y)
    x = x.astype(np.float32).astype(np.float64)
    normal = x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0) + 0.1 * generator.normal(size=3)
    normal /= np.linalg.norm(normal)
    margin = (x - x.mean(axis=0)) @ normal * np.where(y == 1, 1.0, -1.0)
    # a half-space errs with probability Phi(-margin / beta) and is certified up to its margin, exactly
    assert norm.cdf(-margin / beta).mean() >= found.least_soft_risk(beta) - 1e-6
    assert np.mean(margin >= beta) <= found.most_certified(beta) + 1e-9


def test_pairs_share_no_point():
    found = of([[0.0], [1.0], [1.5], [9.0]], [0, 1, 0, 1])
    assert found.pairs.tolist() == pytest.approx([0.5])
    assert found.most_certified(0.3) == 0.75
    assert found.most_certified(0.2) == 1.0


def test_the_beta_of_a_risk_is_where_the_bound_reaches_it():
    found = of(np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) % 2)
    beta = found.beta_of_soft_risk(0.2)
    assert found.least_soft_risk(beta) == pytest.approx(0.2, abs=1e-9)
    assert math.isinf(found.beta_of_soft_risk(0.499))


def test_points_with_two_labels_are_bounded_at_every_beta():
    found = of([[0.0], [0.0], [5.0], [6.0]], [0, 1, 0, 0])
    assert found.least_soft_risk(1e-6) == pytest.approx(0.25)
    assert found.nearest_is_same == 0.5
    assert found.beta_of_soft_risk(0.2) == 0.0
