"""The certificates of the noises, against linear classifiers in closed form and against the worst classifier.

A linear classifier answers "w z > 0". At x it errs with q = P(w (x + noise) <= 0), and its true distance is
w x / |w|, in the dual norm of w: of L1 its largest component, of L2 its length.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from sfumato.errors import SettingError
from sfumato.noise import NOISES, Gaussian, Laplace, Noise, Uniform, make_noise

WEIGHTS = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=3, unique_by=lambda w: round(w, 2))
DEVIATION = 0.5
every_noise = pytest.mark.parametrize("name", ["gaussian", "uniform", "laplace"])


def failure(name, weights, margin):
    """Return P(weights . noise <= -margin): sums of Gaussian, uniform or Laplace variables."""
    weights = np.asarray(weights)
    if name == "gaussian":
        return stats.norm.cdf(-margin / (DEVIATION * np.linalg.norm(weights)))
    if name == "uniform":  # the volume of a cube cut by a plane (Irwin-Hall with weights)
        sides = weights * 2.0 * math.sqrt(3.0) * DEVIATION
        signs = np.array(list(itertools.product((0, 1), repeat=len(sides))))
        corners = np.maximum(0.0, sides.sum() / 2.0 - margin - signs @ sides) ** len(sides)
        total = ((-1.0) ** signs.sum(axis=1) * corners).sum()
        return total / (math.factorial(len(sides)) * np.prod(sides))
    scales = weights * DEVIATION / math.sqrt(2.0)  # partial fractions of the characteristic function
    parts = [np.prod([s**2 / (s**2 - other**2) for other in scales if other != s]) for s in scales]
    return 0.5 * sum(part * math.exp(-margin / s) for part, s in zip(parts, scales, strict=True))


def true_distance(noise, weights, margin):
    return margin / (max(weights) if noise.norm == "L1" else float(np.linalg.norm(weights)))


@pytest.mark.parametrize("name", ["uniform", "laplace"])
def test_the_closed_forms_are_those_of_drawn_noise(name):
    generator, weights = np.random.default_rng(0), np.array([0.9, 0.5, 0.2])
    scale = {"uniform": math.sqrt(3.0), "laplace": 1.0 / math.sqrt(2.0)}[name] * DEVIATION
    drawn = generator.uniform(-scale, scale, (400_000, 3))
    if name == "laplace":
        drawn = generator.laplace(0.0, scale, (400_000, 3))
    for margin in (0.1, 0.5, 1.0):
        expected = failure(name, weights, margin)
        assert np.mean(drawn @ weights <= -margin) == pytest.approx(expected, abs=4e-3)


@every_noise
@given(WEIGHTS, st.floats(0.01, 3.0), st.floats(0.0, 1.5))
def test_no_move_makes_a_linear_classifier_fail_more_often_than_is_said(name, weights, margin, radius):
    noise = make_noise(name, DEVIATION)
    moved = margin - radius * (max(weights) if noise.norm == "L1" else float(np.linalg.norm(weights)))
    before = min(1.0, max(1e-300, failure(name, weights, margin)))
    after = failure(name, weights, moved) if moved > 0 else 1.0 - failure(name, weights, -moved)
    most = float(noise.worst_failure(np.array(before), radius))
    assert before * (1.0 - 1e-9) <= most <= 1.0 + 1e-12
    assert after <= most * (1.0 + 1e-9) + 1e-12
    if name == "gaussian":  # a half-space is the worst there is
        assert after == pytest.approx(most, rel=1e-6)


@every_noise
def test_the_worst_failure_is_attained_on_a_line_undone_by_moving_back_and_gives_the_radius(name):
    noise, q = make_noise(name, DEVIATION), np.array([1e-6, 0.01, 0.2, 0.4])
    assert noise.worst_failure(q, 0.0) is q
    for radius in (0.1, 0.3):
        worst = noise.worst_failure(q, radius)
        np.testing.assert_allclose(1.0 - noise.worst_failure(1.0 - worst, radius), q, rtol=1e-6, atol=1e-9)
        # a class is certified where even then it does not fail half of the time
        assert noise.worst_failure(np.array(noise.failure_at(radius)), radius) == pytest.approx(0.5)
        margin = next(m for m in np.linspace(radius, 2, 200) if failure(name, [1.0], m) < 0.3)
        before, after = failure(name, [1.0], margin), failure(name, [1.0], margin - radius)
        assert after == pytest.approx(float(noise.worst_failure(np.array(before), radius)), rel=1e-6)


def test_a_noise_that_does_not_say_its_worst_failure_is_refused():
    with pytest.raises(SettingError, match="does not say how much"):
        Noise.worst_failure(Gaussian(0.5), np.array(0.1), 0.2)


@every_noise
@given(WEIGHTS, st.floats(0.01, 3.0))
def test_no_linear_classifier_is_certified_beyond_its_distance(name, weights, margin):
    noise = make_noise(name, DEVIATION)
    q = max(1e-300, failure(name, weights, margin))
    assert noise.radius(q) <= true_distance(noise, weights, margin) + 1e-6


@every_noise
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_an_axis_aligned_classifier_is_certified_up_to_its_distance(name, share):
    noise = make_noise(name, DEVIATION)
    distance = share * math.sqrt(3.0) * DEVIATION
    assert noise.radius(failure(name, [1.0], distance)) == pytest.approx(distance, rel=1e-9)


def test_uniform_noise_certifies_no_more_than_half_its_width():
    noise = Uniform(DEVIATION)
    assert noise.half_width == pytest.approx(DEVIATION * math.sqrt(3.0))
    assert noise.radius(0.0) == noise.half_width
    assert noise.failure_at(noise.half_width) == noise.failure_at(5.0) == 0.0


@every_noise
@given(st.floats(0.0, 1.5))
def test_failure_at_is_the_inverse_of_the_radius(name, radius):
    noise = make_noise(name, 1.0)
    q = noise.failure_at(radius)
    assert 0.0 < q <= 0.5
    assert noise.radius(q) == pytest.approx(radius, abs=1e-9)
    assert noise.radius(q * 1.001) < radius + 1e-12
    assert noise.failure_at(0.0) == 0.5


@every_noise
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_rival_that_is_bounded_lower_never_lowers_the_radius(name, q, share):
    noise = make_noise(name, DEVIATION)
    assert noise.radius(q, q) == pytest.approx(noise.radius(q), rel=1e-12)
    assert noise.radius(q, share * q) >= noise.radius(q) - 1e-12
    if q + share * q >= 1.0 and q < 1.0 - 1e-9:
        assert noise.radius(q, share * q) == 0.0


def worst_lead(noise, distribution, q, rival, shift):
    """Return the least p_A - p_B at ``shift`` along an axis, over all classifiers with these bounds at 0.

    A linear programme over cells of the line: a and b are how often a cell is answered A and B.
    """
    edges = np.concatenate(
        [[-np.inf], np.linspace(-4.0, 4.0, 81), shift + np.linspace(-4.0, 4.0, 81), [np.inf]]
    )
    edges = np.unique(
        np.append(edges, [noise.half_width, -noise.half_width] if noise.name == "uniform" else [])
    )
    here, there = np.diff(distribution.cdf(edges)), np.diff(distribution.cdf(edges - shift))
    nothing, cells = np.zeros_like(here), np.eye(here.size)
    found = optimize.linprog(
        np.concatenate([there, -there]),
        A_ub=np.vstack(
            [np.concatenate([-here, nothing]), np.concatenate([nothing, here]), np.hstack([cells] * 2)]
        ),
        b_ub=np.concatenate([[q - 1.0, rival], np.ones(here.size)]),
        bounds=(0.0, 1.0),
    )
    return found.fun


@pytest.mark.parametrize(
    ("noise", "distribution"),
    [
        (Uniform(DEVIATION), stats.uniform(-math.sqrt(3.0) * DEVIATION, 2.0 * math.sqrt(3.0) * DEVIATION)),
        (Laplace(DEVIATION), stats.laplace(0.0, DEVIATION / math.sqrt(2.0))),
        (Gaussian(DEVIATION), stats.norm(0.0, DEVIATION)),
    ],
    ids=["uniform", "laplace", "gaussian"],
)
@pytest.mark.parametrize(("q", "rival"), [(0.1, 0.1), (0.35, 0.24), (0.35, 0.01), (0.6, 0.2), (0.02, 0.001)])
def test_the_radius_is_safe_against_the_worst_classifier(noise, distribution, q, rival):
    radius = noise.radius(q, rival)
    assert radius > 0.0
    assert worst_lead(noise, distribution, q, rival, 0.999 * radius) >= -1e-9
    if q == rival:  # and no larger one would be
        assert worst_lead(noise, distribution, q, rival, 1.02 * radius) < 0.0


def test_the_published_formulas_hold():
    # Yang et al. 2020: 2 lambda (p - 1/2); Teng et al. 2020: -lambda log(2 (1 - p)), from p alone; Lecuyer et
    # al. 2019: lambda / 2 log(p_A / p_B), where the rival is far behind
    assert Uniform(1.0).radius(0.2) == pytest.approx(2.0 * math.sqrt(3.0) * 0.3)
    assert Laplace(1.0).radius(0.2) == pytest.approx(-math.log(0.4) / math.sqrt(2.0))
    assert Laplace(1.0).radius(0.6, 0.001) == pytest.approx(0.5 * math.log(400.0) / math.sqrt(2.0))
    assert Laplace(1.0).radius(0.6, 0.0) == math.inf


def test_an_unknown_noise_is_refused_with_the_known_ones():
    assert list(NOISES)[:3] == ["gaussian", "uniform", "laplace"]
    with pytest.raises(SettingError, match=r"one of gaussian, uniform, laplace.*, got 'cauchy'"):
        make_noise("cauchy", 0.5)
    with pytest.raises(SettingError, match="-1"):
        make_noise("uniform", -1.0)
