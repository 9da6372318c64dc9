"""Smoothed fields against exact balls, slabs and Gaussians, Monte Carlo and symmetries."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from sfumato.errors import SettingError
from sfumato.theory.blur import Blur, threshold
from sfumato.theory.coverage import indicator
from sfumato.theory.fields import LabelField, ball_field, deploy_field, field_risk
from sfumato.theory.packing import BallUnion, pack_balls


def exact_radius(dim, radius, sigma, level=0.5):
    """Radius of {x : P(x + sigma Z in ball) >= level}, by the noncentral chi-square law; 0 if empty."""

    def excess(rho):
        return stats.ncx2.cdf((radius / sigma) ** 2, dim, (rho / sigma) ** 2) - level

    return optimize.brentq(excess, 1e-9, 4 * radius + 4 * sigma, xtol=1e-12) if excess(1e-9) > 0 else 0.0


def smooth(values, sigma, spacing, periodic=True):
    blur = Blur(values.shape[-1], spacing, values.ndim, periodic, sigma)
    return blur.smoothed(blur.spectrum(values), sigma)


def label_field(labels, side, density=None, periodic=True):
    """Any labels h(x) and density p(x) on a grid; the density goes on outside a box if it is uniform."""
    h = np.asarray(labels, dtype=float)
    p = np.full(h.shape, side**-h.ndim) if density is None else density
    assert np.isclose(p.mean() * side**h.ndim, 1.0)
    hard = ((h == 0) | (h == 1)).all()
    region = h if hard else threshold(h, 0.5, periodic=periodic)
    beyond = -0.5 * side**-h.ndim if density is None and not periodic else 0.0
    return LabelField(region, (h - 0.5) * p, p, p, side, periodic, beyond)


def one_ball(dim, radius, side, where=0.37):
    return BallUnion(np.full((1, dim), where * side), radius, side)


def test_a_wave_is_damped_by_its_exact_factor():
    wave = np.cos(2 * np.pi * np.arange(32) / 32)
    assert smooth(wave, 0.2, 1 / 32)[0] == pytest.approx(math.exp(-2 * (math.pi * 0.2) ** 2), rel=1e-12)


def test_the_two_step_risk_of_a_disc_is_exact():
    field = ball_field(one_ball(2, 10.0, 80.0), cells=160)
    found = field_risk(field, [3.0], [5.0])
    assert abs(found.risk[0, 0] / field.class_mass - 0.3593244328090848) < 2e-4
    assert abs(found.plain_risk[0] / field.class_mass - 0.2652970662355503) < 2e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_risks_are_within_a_thousandth_of_the_class_mass_wherever_a_disc_lies(dtype):
    # Ten cells to the radius and two to the narrowest noise.
    alphas, betas = [0.0, 2.0, 3.0, 4.0, 6.0, 8.0], [2.0, 4.0, 5.0]
    trained = [exact_radius(2, 10, alpha) if alpha else 10.0 for alpha in alphas]
    left = np.array([[exact_radius(2, t, beta) if t else 0.0 for beta in betas] for t in trained])
    for centre in np.random.default_rng(0).random((6, 1, 2)):
        field = ball_field(BallUnion(centre * 60, 10.0, 60.0), cells=60, dtype=dtype)
        found = field_risk(field, alphas, betas)
        off = np.abs(found.risk - (1 - (left / 10) ** 2) * field.class_mass)
        assert off.max() < 1e-3 * field.class_mass
        assert bool(np.all(off <= found.error + 1e-7))


def test_noise_of_one_cell_is_within_a_thousandth_for_many_discs():
    balls = pack_balls(2, 200.0, 10.0, 1.0, seed=4)
    coarse, fine = (field_risk(ball_field(balls, cells), [1.0, 2.0], [8.0, 14.0]) for cells in (200, 800))
    off = np.abs(coarse.risk - fine.risk)
    assert off.max() < 1e-3 * balls.density
    assert bool(np.all(off <= coarse.error))


def test_finer_grids_come_closer_and_say_so():
    exact = 1 - (exact_radius(2, exact_radius(2, 10, 3), 5) / 10) ** 2
    centres = np.random.default_rng(1).random((12, 1, 2))
    off, error = [], []
    for cells in (40, 80, 160):
        fields = [ball_field(BallUnion(centre * 60, 10.0, 60.0), cells) for centre in centres]
        found = [field_risk(field, [3.0], [5.0]) for field in fields]
        shares = [one.risk[0, 0] / field.class_mass for one, field in zip(found, fields, strict=True)]
        off.append(np.sqrt(np.mean((np.array(shares) - exact) ** 2)))
        error.append(max(one.error[0, 0] for one in found))
    assert off[2] < off[1] / 3
    assert off[1] < off[0] / 3
    assert error[2] < error[1] < error[0]


def test_the_trained_ball_in_space_has_the_exact_radius():
    deployed = deploy_field(ball_field(one_ball(3, 2.0, 12.0), cells=48), alpha=1.0, beta=0.0)
    volume = deployed.trained.sum() * 0.25**3
    assert abs(volume / (4 / 3 * math.pi) - 1.361785134041792**3) / 2**3 < 1e-3


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_parallel_slabs_shrink_to_the_exact_width(dim):
    cells = 60
    profile = np.where(np.arange(cells) < 18, 1.0, 0.0)
    labels = np.broadcast_to(profile.reshape(-1, *[1] * (dim - 1)), (cells,) * dim)
    found = field_risk(label_field(labels, side=1.0), [0.0], [0.15])
    assert abs(found.risk[0, 0] - (0.3 - 0.2799821641636732)) < 1e-4


def test_half_of_a_torus_is_a_fixed_point_like_a_half_space():
    labels = np.broadcast_to(np.where(np.arange(64) < 32, 1.0, 0.0)[:, None], (64, 64))
    found = field_risk(label_field(labels, side=1.0), [0.0, 0.05, 0.2], [0.05, 0.1, 0.3])
    assert found.risk.max() < 1e-9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-3, 1e3))
def test_scaling_the_world_and_its_noise_changes_nothing(seed, factor):
    balls = pack_balls(2, 60.0, 6.0, 0.5, seed=seed)
    scaled = BallUnion(balls.centres * factor, 6.0 * factor, 60.0 * factor)
    found = field_risk(ball_field(balls, 60), [2.0], [5.0])
    other = field_risk(ball_field(scaled, 60), [2.0 * factor], [5.0 * factor])
    assert abs(found.risk - other.risk).max() < 1e-9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.tuples(st.integers(0, 59), st.integers(0, 59)))
def test_moving_the_world_changes_nothing(seed, steps):
    labels = indicator(pack_balls(2, 60.0, 6.0, 0.5, seed=seed), 60)
    found = field_risk(label_field(labels, 60.0), [3.0], [5.0])
    moved = field_risk(label_field(np.roll(labels, steps, (0, 1)), 60.0), [3.0], [5.0])
    assert abs(found.risk - moved.risk).max() < 1e-9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_exchanging_the_classes_changes_nothing(seed):
    labels = (indicator(pack_balls(2, 60.0, 6.0, 0.5, seed=seed), 60) > 0.5) * 1.0
    found = field_risk(label_field(labels, 60.0), [0.0, 3.0], [5.0])
    other = field_risk(label_field(1 - labels, 60.0), [0.0, 3.0], [5.0])
    assert abs(found.risk - other.risk).max() < 1e-9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), beta=st.floats(2, 10))
def test_a_larger_region_smooths_to_a_larger_region(seed, beta):
    balls = pack_balls(2, 60.0, 6.0, 0.5, seed=seed)
    fewer = BallUnion(balls.centres[: balls.number // 2], 6.0, 60.0)
    small, large = (smooth(indicator(union, 60), beta, 1.0) for union in (fewer, balls))
    # Two cells to the noise leave ripples of exp(-pi^2 2) at the grid's highest frequency.
    assert bool(np.all(small <= large + 1e-7))
    assert threshold(small, 0.5).sum() <= threshold(large, 0.5).sum() + 1e-3


def test_symmetric_label_noise_changes_nothing_under_a_uniform_density():
    balls = pack_balls(2, 60.0, 6.0, 0.5, seed=1)
    labels = indicator(balls, 60)
    field = label_field((labels >= 0.5) * 1.0, 60.0)
    clean = field_risk(field, [2.0, 4.0], [5.0])
    noisy = field_risk(label_field(0.2 + 0.6 * field.region, 60.0), [2.0, 4.0], [5.0])
    assert np.abs(clean.risk - noisy.risk).max() < 1e-9


@pytest.mark.parametrize("level", [0.2, 0.35, 0.7])
def test_an_empty_background_moves_the_level(level):
    # With density p in the ball and e p outside, training finds {u >= e / (1 + e)}.
    emptiness = level / (1 - level)
    field = ball_field(one_ball(2, 10.0, 70.0), cells=140, emptiness=emptiness)
    trained = deploy_field(field, alpha=5.0, beta=0.0).trained
    radius = math.sqrt(trained.sum() * 0.5**2 / math.pi)
    assert abs(radius - exact_radius(2, 10.0, 5.0, level)) < 2e-3
    if level == 0.7:
        assert math.isclose(exact_radius(2, 10.0, 5.0, level), 5.566320970630154, rel_tol=1e-9)


def test_concentric_gaussians_are_compensated_at_the_exact_alpha():
    # N(0, I) against N(0, 4 I) in the plane: Bayes boundary t_0, smoothed without augmentation to
    # rho(t_0, beta), and left in place by alpha* = 0.6458838... at beta = 1.
    middles = (np.arange(320) + 0.5) / 320 * 32 - 16
    squares = middles[:, None] ** 2 + middles[None, :] ** 2
    first, second = np.exp(-squares / 2) / (2 * np.pi), np.exp(-squares / 8) / (8 * np.pi)
    density = (first + second) / 2
    field = label_field(second / (first + second), 32.0, density=density)
    found = field_risk(field, [0.6458838431972069], [1.0])
    boundary = 1.922702515467844
    assert math.isclose(boundary**2, 2 * math.log(4) / (1 - 1 / 4), rel_tol=1e-9)

    def mass(t):
        return (2 - math.exp(-(t**2) / 2) - math.exp(-(t**2) / 8)) / 2

    assert abs(field.class_mass - (1 - mass(boundary))) < 1e-4
    assert abs(found.plain_risk[0] - (mass(boundary) - mass(exact_radius(2, boundary, 1.0)))) < 2e-4
    assert found.risk[0, 0] < 5e-4


@pytest.mark.parametrize("periodic", [True, False])
def test_smoothed_values_agree_with_monte_carlo(periodic):
    side, sigma, random = 30.0, 4.0, np.random.default_rng(2)
    balls = pack_balls(2, side, 4.0, 0.3, seed=2, periodic=periodic)
    values = smooth(indicator(balls, 60), sigma, 0.5, periodic=periodic)
    for place in ((3, 7), (31, 30), (59, 0)):
        points = (np.array(place) + random.random((40_000, 2))) * 0.5
        points = points + sigma * random.standard_normal((40_000, 2))
        offsets = np.abs((points % side if periodic else points)[:, None] - balls.centres)
        offsets = np.minimum(offsets, side - offsets) if periodic else offsets
        share = np.mean((offsets**2).sum(-1).min(axis=1) <= 16.0)
        assert abs(values[place] - share) < 4 * math.sqrt(0.25 / 40_000)


def test_the_deployed_region_agrees_with_votes_on_the_trained_one():
    side, random = 30.0, np.random.default_rng(3)
    field = ball_field(pack_balls(2, side, 4.0, 0.3, seed=2), 120)
    deployed = deploy_field(field, alpha=1.5, beta=2.0)
    for place in random.integers(120, size=(12, 2)):
        points = (place + 0.5) * 0.25 + 2.0 * random.standard_normal((20_000, 2))
        votes = deployed.trained[tuple(np.floor(points / 0.25).astype(int).T % 120)].mean()
        if abs(votes - 0.5) > 0.03:
            assert deployed.smoothed[tuple(place)] == (votes > 0.5)
    found = field_risk(field, [1.5], [2.0])
    assert deployed.risk == pytest.approx(float(found.risk[0, 0]), abs=1e-12)
    assert deployed.plain_risk == pytest.approx(float(found.plain_risk[0]), abs=1e-12)


def test_outside_a_box_is_class_0_in_both_steps():
    # Half of the box is class 1, a rectangle of 30 x 60 in a world of class 0.
    labels = np.broadcast_to(np.where(np.arange(120) < 60, 1.0, 0.0)[:, None], (120, 120))
    trained = deploy_field(label_field(labels, 60.0, periodic=False), alpha=10.0, beta=0.0).trained
    along = stats.norm.cdf(29.75 / 10) + stats.norm.cdf(30.25 / 10) - 1

    def excess(rho):
        return (stats.norm.cdf((15 + rho) / 10) + stats.norm.cdf((15 - rho) / 10) - 1) * along - 0.5

    assert abs(trained[:, 60].sum() * 0.5 - 2 * optimize.brentq(excess, 0, 15)) < 0.005


def test_a_threshold_gives_a_plane_its_exact_share_of_every_cell():
    fine = (np.arange(12 * 60) + 0.5) / 60
    x, y, z = np.meshgrid(fine[:360], fine[:360], fine[:360], indexing="ij", sparse=True)
    sampled = (0.9 * x - 0.2 * y + 0.35 * z >= 2.9).reshape(6, 60, 6, 60, 6, 60).mean(axis=(1, 3, 5))
    middles = np.arange(6) + 0.5
    x, y, z = np.meshgrid(middles, middles, middles, indexing="ij")
    shares = threshold(0.9 * x - 0.2 * y + 0.35 * z, 2.9, periodic=False)
    assert np.abs(shares - sampled).max() < 2e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: field_risk(ball_field(one_ball(2, 10.0, 60.0), 60), [0.5], [5.0]),
            r"noise of 0.5 needs at least 120 cells along a side of 60 \(spacing 0.5\), got 60",
        ),
        (lambda: field_risk(ball_field(one_ball(2, 10.0, 60.0), 60), [-1.0], [5.0]), "at least 0, got -1.0"),
        (lambda: ball_field(one_ball(2, 1.0, 9.0), 9), "cells must be even and at least 4, got 9"),
        (lambda: ball_field(one_ball(2, 1.0, 9.0), 8, emptiness=-1.0), "emptiness must be"),
        (lambda: ball_field(one_ball(4, 1.0, 9.0), 8), "balls must be of dim 2 or 3 for a grid, got dim 4"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(SettingError, match=message):
        call()
