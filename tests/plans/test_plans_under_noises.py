"""Plans under every noise: the votes are those of linear classifiers whose distance is known."""

import numpy as np
import pytest
from scipy import stats
from vote_sequences import simulate

from sfumato.errors import SettingError
from sfumato.noise import Laplace, Uniform
from sfumato.plans import ABSTAIN, Curve, Decide, Fixed, FixedTwoClass, Precision

UNIFORM, LAPLACE = Uniform(0.5), Laplace(0.5)
CONFIDENCE = 0.999
# Between these distances the binomial bound at 100,000 votes costs less than 3 % of an axis-aligned radius.
NEAR = {
    UNIFORM: (0.4 * UNIFORM.half_width, 0.98 * UNIFORM.half_width),
    LAPLACE: (0.6 * LAPLACE.scale, 4.0 * LAPLACE.scale),
}
both = pytest.mark.parametrize("noise", [UNIFORM, LAPLACE], ids=["uniform", "laplace"])


def failure(noise, distance):
    """Return how often an axis-aligned classifier errs, its hyperplane at this distance."""
    if noise is UNIFORM:
        return stats.uniform.cdf(-distance, -noise.half_width, 2.0 * noise.half_width)
    return stats.laplace.cdf(-distance, 0.0, noise.scale)


def certified(plan, noise, distances, seed=0):
    q = failure(noise, distances)
    run = plan.start(distances.size, 2, noise=noise, confidence=CONFIDENCE)
    return simulate(run, np.stack([1.0 - q, q], axis=1), np.random.default_rng(seed))


@both
@pytest.mark.parametrize("plan", [Fixed(), FixedTwoClass()], ids=["fixed", "two_class"])
def test_radii_stay_within_the_distance_and_come_close_to_it(noise, plan):
    distances = np.random.default_rng(1).uniform(*NEAR[noise], 2000)
    radii = np.array([decision.radius for decision in certified(plan, noise, distances)])
    # the binomial allowance: 1 in 1,000, and four standard deviations of its count
    assert (radii > distances).sum() <= 2 + 4 * np.sqrt(2)
    if plan == Fixed():
        assert (radii / distances).mean() > 0.97


@both
@pytest.mark.parametrize("share", [0.1, 0.6, 0.9])
def test_a_radius_just_out_of_reach_is_certified_no_more_often_than_allowed(noise, share):
    radius = share * NEAR[noise][1]
    distances = np.full(20_000, radius * (1.0 - 1e-9))
    decisions = certified(Decide(radius, n_max=1000, chunk=100), noise, distances)
    rate = np.mean([decision.prediction != ABSTAIN for decision in decisions])
    assert rate <= 0.001 + 4 * np.sqrt(0.001 / 20_000)


@both
def test_a_curve_finds_the_largest_of_its_radii(noise):
    low, high = NEAR[noise]
    grid = tuple(np.linspace(low, high, 4))
    distances = np.full(50, grid[1] + 0.6 * (grid[2] - grid[1]))
    decisions = certified(Curve(grid, n_max=10_000, chunk=100), noise, distances)
    assert {decision.radius for decision in decisions} == {grid[1]}


@both
def test_precision_plans_in_the_radii_of_the_noise(noise):
    distances = np.full(300, np.mean(NEAR[noise]))
    decisions = certified(Precision(0.05), noise, distances)
    radii = np.array([decision.radius for decision in decisions])
    assert (radii > distances).sum() <= 4
    assert 0.9 < radii.mean() / certified(Fixed(), noise, distances[:1])[0].radius < 0.99
    assert np.mean([decision.votes for decision in decisions]) < 60_000


def test_a_radius_beyond_the_cube_is_refused_in_words():
    with pytest.raises(SettingError, match=r"infinitely many votes .* beta 0.5 \(uniform, L1\)"):
        Decide(1.0).start(1, 2, noise=UNIFORM, confidence=CONFIDENCE)


def test_a_noise_without_any_deviation_is_refused():
    with pytest.raises(SettingError, match="beta must be a positive"):
        Fixed().start(1, 2, noise=Laplace(0.0), confidence=CONFIDENCE)
