import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import SettingError
from sfumato.theory.balls import ball_radius, inverse_ball_radius
from sfumato.theory.mixtures import ConcentricGaussians, LinearDiscriminant, ThreeGaussians

quick = settings(max_examples=40, deadline=None, derandomize=True)
THREE = ThreeGaussians(separation=2.0, scale=0.5)
TILTED = LinearDiscriminant(np.array([1.0, 1.0]), np.diag([1.0, 0.04]))
DRAWS = 200_000


def two(mean, scale, prior0=0.5):
    return LinearDiscriminant(np.array([mean]), np.array([[scale**2]]), prior0)


def standard_error(p, draws=DRAWS):
    return math.sqrt(p * (1 - p) / draws)


# Two Gaussians


@quick
@given(st.floats(0.1, 5), st.floats(0.1, 5), st.floats(0.02, 0.98), st.floats(0, 3))
def test_at_the_boundary_the_blurred_classes_are_equally_likely(mean, scale, prior0, alpha):
    _, t = two(mean, scale, prior0).boundary(alpha)
    blurred = math.hypot(scale, alpha)
    log_odds = stats.norm.logpdf(t, mean, blurred) - stats.norm.logpdf(t, -mean, blurred)
    assert log_odds == pytest.approx(math.log(prior0 / (1 - prior0)), abs=1e-9)


@quick
@given(st.floats(0.5, 2), st.floats(0.3, 2), st.floats(0.1, 0.45), st.floats(0, 2))
def test_noise_in_training_exaggerates_unequal_priors_and_only_costs(mean, scale, prior0, alpha):
    classes = two(mean, scale, prior0)
    assert classes.risk(alpha, 0.7) == classes.risk(alpha, 0.0) == classes.risk(alpha, 9.0)
    less, more = classes.risk(alpha, 1.0), classes.risk(alpha + 0.1, 1.0)
    # once everything is called the likelier class the risk is its limit, to the last digit
    saturated = min(prior0, 1.0 - prior0) - less < 1e-12
    assert more >= less if saturated else more > less
    assert less >= classes.bayes_risk()
    assert classes.best_alpha(1.0) == 0.0


def test_beyond_the_mean_the_likelier_class_alone_certifies_most():
    classes = two(1.0, 0.8, 0.3)
    assert classes.best_alpha(1.0, radius=1.2) == math.inf
    assert classes.certified_accuracy(1e4, 1.0, 1.2) == pytest.approx(0.7, abs=1e-12)
    assert two(1.0, 0.8).best_alpha(1.0, radius=0.4) == 0.0


# Linear discriminant


def test_the_discriminant_has_the_exact_best_alpha_and_certified_accuracy():
    alpha = TILTED.best_alpha(0.3, radius=0.5)
    assert alpha**2 == pytest.approx(0.03976630728365555, rel=1e-12)
    assert TILTED.certified_accuracy(alpha, 0.3, 0.5) == pytest.approx(0.9963784000536289, rel=1e-12)
    assert TILTED.certified_accuracy(0.0, 0.3, 0.5) == pytest.approx(0.9959227807393287, rel=1e-12)


@quick
@given(st.integers(1, 6), st.integers(0, 2**31), st.floats(0.02, 0.95), st.sampled_from([0.2, 0.5, 0.9]))
def test_no_other_linear_rule_certifies_more_than_the_best_alpha(dim, seed, share, prior0):
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((dim, dim)) + 0.3 * np.eye(dim)
    covariance = factor @ factor.T + 0.01 * np.eye(dim)
    mean = rng.standard_normal(dim)
    radius = share * float(np.linalg.norm(mean))
    classes = LinearDiscriminant(mean, covariance, prior0)
    alpha = classes.best_alpha(1.0, radius)
    best = classes.certified_accuracy(alpha, 1.0, radius)
    normal, place = classes.boundary(alpha)
    for size in [0.0, *rng.choice([1e-3, 0.1, 1.0], 20)]:
        other = normal + size * rng.standard_normal(dim)
        other /= np.linalg.norm(other)
        t = place + size * rng.standard_normal()
        spread = math.sqrt(other @ covariance @ other)
        right0, right1 = stats.norm.cdf((mean @ other - radius + np.array([t, -t])) / spread)
        found = prior0 * right0 + (1 - prior0) * right1
        assert found == pytest.approx(best, rel=1e-12) if size == 0 else found <= best + 1e-12


def test_the_bayes_risk_of_the_discriminant_is_half_the_mahalanobis_distance():
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    mean = np.array([0.7, -0.2])
    expected = stats.norm.cdf(-math.sqrt(mean @ np.linalg.solve(covariance, mean)))
    assert LinearDiscriminant(mean, covariance).bayes_risk() == pytest.approx(expected, rel=1e-13)


# Three Gaussians and three points


def test_three_gaussians_have_the_exact_values():
    assert THREE.boundary(0.0) == pytest.approx(1.086643394053269, rel=1e-14)
    assert THREE.best_alpha(1.0) == pytest.approx(0.314124348668746, rel=1e-12)
    assert THREE.risk(1.0, 1.0) == pytest.approx(0.06400205258135446, rel=1e-11)
    assert THREE.bayes_risk() == pytest.approx(0.0318151, abs=5e-8)
    assert THREE.risk(0.0, 1.0) == pytest.approx(0.0323358, abs=5e-8)
    assert THREE.risk(0.314124348668746, 1.0) == pytest.approx(THREE.bayes_risk(), rel=1e-12)


@pytest.mark.parametrize(("alpha", "expected"), [(0.3, 0.4999986548893777), (0.8, 0.2726135339425278)])
def test_the_parzen_rule_of_three_points_has_the_exact_boundary(alpha, expected):
    points = ThreeGaussians(1.0, 0.0, prior0=1 / 3)
    assert points.boundary(alpha) == pytest.approx(expected, rel=1e-12)


def test_three_points_end_as_one_nearest_neighbour_and_as_the_majority():
    points = ThreeGaussians(1.0, 0.0, prior0=1 / 3)
    assert points.boundary(0.0) == 0.5
    assert points.boundary(1e-9) == pytest.approx(0.5, rel=1e-12)
    assert points.boundary(1 / math.sqrt(2 * math.log(2)) + 1e-6) == 0.0  # one kernel against two from here
    assert points.bayes_risk() == 0.0
    assert points.risk(0.3, 0.6) == 0.0
    assert points.risk(0.3, 0.8) == pytest.approx(1 / 3)  # .5 < .6745 * .8: class 0 is smoothed away


@quick
@given(st.floats(0.2, 5), st.floats(0.05, 3), st.floats(0.1, 0.9), st.floats(0, 3))
def test_at_the_boundary_of_three_gaussians_the_blurred_classes_are_equally_likely(m, scale, prior0, alpha):
    t = ThreeGaussians(m, scale, prior0).boundary(alpha)
    blurred = mp.sqrt(mp.mpf(scale) ** 2 + mp.mpf(alpha) ** 2)

    def excess0(x):
        ones = (mp.npdf(x, m, blurred) + mp.npdf(x, -m, blurred)) / 2
        return prior0 * mp.npdf(x, 0, blurred) / ((1 - prior0) * ones) - 1

    if t > 0:
        step = 1e-6 * max(1.0, t)
        assert excess0(t + step) < 0 < excess0(max(0.0, t - step))
    else:
        assert excess0(0) <= 1e-9


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.5), (0.4, 1.0), (1.0, 0.3)])
def test_the_risk_of_three_gaussians_is_the_integral_over_the_deployed_rule(alpha, beta):
    """The boundary of the smoothed rule is a root of the vote probability, all in mpmath."""
    t = mp.mpf(THREE.boundary(alpha))
    rho = mp.findroot(lambda x: mp.ncdf((t - x) / beta) + mp.ncdf((t + x) / beta) - 1.5, t * 0.9)
    missed0 = 2 * mp.ncdf(-rho / 0.5)
    missed1 = mp.ncdf((rho - 2) / 0.5) - mp.ncdf((-rho - 2) / 0.5)
    assert THREE.risk(alpha, beta) == pytest.approx(float((missed0 + missed1) / 2), rel=1e-10)


def test_over_and_under_compensation_meet_at_the_known_ratio():
    wide = [THREE.best_alpha(beta) / beta for beta in (10.0, 100.0, 1000.0)]
    assert wide[-1] == pytest.approx(stats.norm.ppf(0.75), rel=1e-4)
    assert abs(wide[1] - 0.6744897501960817) < abs(wide[0] - 0.6744897501960817)
    assert THREE.best_alpha(0.3) / 0.3 < 0.01


# Concentric Gaussians


@pytest.mark.parametrize(("dim", "expected"), [(2, 1.922702515467844), (100, 13.59555986891745)])
def test_concentric_gaussians_have_the_exact_boundary(dim, expected):
    assert ConcentricGaussians(dim, 1.0, 2.0).boundary(0.0) == pytest.approx(expected, rel=1e-13)


def test_concentric_gaussians_have_the_exact_risks():
    ten = ConcentricGaussians(10, 1.0, 2.0)
    assert ten.risk(1.0, 1.0) == pytest.approx(0.0764510679524495, rel=1e-10)
    assert ten.bayes_risk() == pytest.approx(0.06615537480901326, rel=1e-12)
    assert ten.best_alpha(1.0) == pytest.approx(0.860216, abs=5e-7)
    assert ten.risk(ten.best_alpha(1.0), 1.0) == pytest.approx(ten.bayes_risk(), rel=1e-12)
    assert ten.risk(0.0, 1.0) == pytest.approx(0.252136, abs=5e-7)
    assert ConcentricGaussians(2, 1.0, 2.0).best_alpha(1.0) == pytest.approx(0.6458838431972069, rel=1e-10)


@quick
@given(st.integers(1, 10_000), st.floats(0.2, 3), st.floats(1.05, 5), st.floats(0.1, 0.9), st.floats(0, 3))
def test_at_the_boundary_of_concentric_gaussians_the_densities_agree(dim, inner, ratio, prior0, alpha):
    classes = ConcentricGaussians(dim, inner, ratio * inner, prior0)
    t = classes.boundary(alpha)
    a, b = mp.mpf(inner) ** 2 + mp.mpf(alpha) ** 2, mp.mpf(ratio * inner) ** 2 + mp.mpf(alpha) ** 2
    log_odds = mp.log(mp.mpf(prior0) / (1 - mp.mpf(prior0))) + dim * mp.log(b / a) / 2
    log_odds -= mp.mpf(t) ** 2 * (1 / a - 1 / b) / 2
    if t > 0:
        assert abs(float(log_odds)) < 1e-11 * (dim + 10)
    else:
        assert log_odds <= 1e-9


@pytest.mark.parametrize("dim", [1, 2, 10, 100])
def test_the_best_ratio_of_the_noises_has_the_known_limits(dim):
    classes = ConcentricGaussians(dim, 1.0, 2.0)
    median = math.sqrt(stats.chi2.median(dim))
    assert classes.best_alpha(3e3) / 3e3 == pytest.approx(median / math.sqrt(dim), rel=1e-4)
    u = 3.0
    small = math.sqrt((dim - 1) / dim * u / ((2 + u) * math.log1p(u) - u))
    assert classes.best_alpha(2e-3) / 2e-3 == pytest.approx(small, rel=2e-3, abs=2e-4)


def test_large_dimensions_neither_overflow_nor_lose_the_compensation():
    classes = ConcentricGaussians(100_000, 1.0, 1.05)
    alpha = classes.best_alpha(1.0)
    assert 0 < alpha < 1.01
    rho = ball_radius(100_000, classes.boundary(alpha), 1.0).radius
    assert float(rho) == pytest.approx(classes.boundary(0.0), rel=1e-12)
    assert classes.risk(0.0, 1.0) == pytest.approx(0.5, abs=1e-9)  # unaugmented, class 0 is smoothed away


# Rules that are balls


CASES = [
    (THREE, 0.4, 0.8),
    (ThreeGaussians(1.5, 0.6, 0.4), 0.2, 0.5),
    (ConcentricGaussians(2, 1.0, 2.0, 0.6), 0.5, 0.7),
    (ConcentricGaussians(10, 1.0, 2.0), 0.9, 1.0),
]


def samples(classes, rng):
    """Labels and distances from the centre, and how the first noise coordinate sees them."""
    label = rng.random(DRAWS) >= classes.prior0
    dim = getattr(classes, "dim", 1)
    x = rng.standard_normal((DRAWS, dim))
    if dim == 1 and isinstance(classes, ThreeGaussians):
        side = rng.choice([-1.0, 1.0], DRAWS)
        x = classes.scale * x + (label * side * classes.separation)[:, None]
    else:
        x *= np.where(label, classes.outer, classes.inner)[:, None]
    return label, np.linalg.norm(x, axis=1), dim


@pytest.mark.parametrize(("classes", "alpha", "beta"), CASES)
@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_certified_accuracy_agrees_with_simulation(classes, alpha, beta, radius):
    label, distance, dim = samples(classes, np.random.default_rng(8))
    votes0 = stats.ncx2.cdf((classes.boundary(alpha) / beta) ** 2, dim, (distance / beta) ** 2)
    own = np.where(label, 1 - votes0, votes0)
    simulated = (own >= stats.norm.cdf(radius / beta)).mean()
    found = classes.certified_accuracy(alpha, beta, radius)
    assert abs(simulated - found) < 4.5 * standard_error(found)
    if radius == 0:
        assert classes.risk(alpha, beta) == pytest.approx(1 - found, rel=1e-12)


@quick
@given(st.sampled_from([c for c, _, _ in CASES]), st.floats(0.05, 4.0))
def test_no_alpha_of_a_grid_beats_the_best(classes, beta):
    best = classes.risk(classes.best_alpha(beta), beta)
    assert best >= classes.bayes_risk() - 1e-12
    for alpha in np.linspace(0, 4, 41):
        assert classes.risk(float(alpha), beta) >= best - 1e-9


@quick
@given(st.sampled_from([THREE, ConcentricGaussians(3, 0.5, 0.9, 0.7)]), st.floats(0.05, 20.0))
def test_with_class_0_at_least_as_likely_the_compensation_is_perfect(classes, beta):
    dim = getattr(classes, "dim", 1)
    alpha = classes.best_alpha(beta)
    target = float(inverse_ball_radius(dim, classes.boundary(0.0), beta))
    assert classes.boundary(alpha) == pytest.approx(target, rel=1e-12)
    assert classes.risk(alpha, beta) == pytest.approx(classes.bayes_risk(), rel=1e-9)


@pytest.mark.parametrize(("classes", "_", "beta"), CASES)
@pytest.mark.parametrize("radius", [1e-9, 0.2, 0.5])
def test_no_alpha_of_a_fine_grid_certifies_more_than_the_best(classes, _, beta, radius):
    best = classes.best_alpha(beta, radius)
    alphas = np.linspace(0.0, 4.0, 401)
    lowest = min(classes.uncertified(float(alpha), beta, radius) for alpha in alphas)
    if math.isinf(best):
        assert lowest >= min(classes.prior0, 1 - classes.prior0) - 1e-12
        return
    found = classes.uncertified(best, beta, radius)
    assert lowest - 1e-3 < found <= lowest + 1e-12
    if radius == 1e-9:
        assert best == pytest.approx(classes.best_alpha(beta), abs=1e-4)


def test_the_best_alpha_of_far_classes_is_that_of_the_discriminant_and_exceeds_beta_at_a_large_radius():
    """Little noise leaves flat boundaries: at m / 2 two Gaussians meet, and alpha^2 = R s^2 / (m / 2 - R)."""
    wide = ThreeGaussians(separation=20.0, scale=1.0)
    for radius in (1.0, 5.0):
        expected = math.sqrt(radius / (10.0 - radius))
        assert wide.best_alpha(1.0, radius) == pytest.approx(expected, rel=2e-3)
    ten = ConcentricGaussians(10, 1.0, 2.0)
    assert ten.best_alpha(0.5) < 0.5 < ten.best_alpha(0.5, 0.3)
    assert THREE.best_alpha(1.0) < 1.0 < THREE.best_alpha(1.0, 0.7)


def test_where_naming_one_class_is_best_the_best_alpha_is_infinite():
    assert THREE.best_alpha(1.0, 1.5) == math.inf
    assert ThreeGaussians(1.5, 0.6, 0.3).best_alpha(1.0, 1.4) == math.inf


def test_a_rare_class_that_no_alpha_can_save_needs_none():
    rare = ThreeGaussians(1.0, 0.3, prior0=0.2)
    assert rare.best_alpha(5.0) == 0.0
    assert rare.risk(0.0, 5.0) == pytest.approx(0.2)
    never = ConcentricGaussians(1, 1.0, 1.1, prior0=0.05)
    assert never.boundary(0.0) == 0.0
    assert never.bayes_risk() == pytest.approx(0.05)
    assert never.best_alpha(1.0) == 0.0


def test_without_any_noise_the_rule_is_that_of_bayes():
    for classes, _, _ in CASES:
        assert classes.risk(0.0, 0.0) == pytest.approx(classes.bayes_risk(), rel=1e-14)
        assert classes.best_alpha(0.0) == 0.0


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two(1.0, 1.0, 1.0), "prior0 must lie strictly between 0 and 1, got 1.0"),
        (
            lambda: two(1.0, 1.0).risk(-0.1, 1.0),
            "alpha must be a finite number of at least 0, got -0.1",
        ),
        (lambda: two(1.0, 1.0).best_alpha(1.0, -1.0), "radius must be"),
        (lambda: LinearDiscriminant(np.ones(2), np.diag([1.0, -0.1])), "positive definite.*-0.1"),
        (lambda: LinearDiscriminant(np.ones(2), np.diag([1.0, 0.0])), "positive definite"),
        (lambda: LinearDiscriminant(np.ones(2), np.array([[1.0, 0.5], [0.1, 1.0]])), "symmetric"),
        (lambda: LinearDiscriminant(np.ones(2), np.eye(3)), r"\(2,\) and \(3, 3\)"),
        (lambda: LinearDiscriminant(np.zeros(2), np.eye(2)), "not zero"),
        (lambda: TILTED.best_alpha(1.0, radius=1.5), "radius must be smaller than"),
        (lambda: ThreeGaussians(0.0, 1.0), "separation must be"),
        (lambda: ThreeGaussians(1.0, -1.0), "scale must be"),
        (lambda: ThreeGaussians(1.0, 1.0, 0.0), "prior0 must lie"),
        (lambda: THREE.risk(0.1, -1.0), "beta must be"),
        (lambda: THREE.boundary(math.inf), "alpha must be"),
        (lambda: THREE.certified_accuracy(0.1, 0.1, 1.0), "radius must be at most 8 beta = 0.8"),
        (lambda: THREE.certified_accuracy(0.1, 0.0, 0.1), "radius must be at most"),
        (lambda: THREE.best_alpha(0.1, 1.0), "radius must be at most 8 beta = 0.8"),
        (lambda: THREE.best_alpha(0.1, -1.0), "radius must be a finite number of at least 0, got -1.0"),
        (lambda: ConcentricGaussians(0, 1.0, 2.0), "dim must be a whole number"),
        (lambda: ConcentricGaussians(2, 1.0, 1.0), "outer must be larger than inner = 1.0, got 1.0"),
        (lambda: ConcentricGaussians(2, -1.0, 1.0), "inner must be"),
        (lambda: ConcentricGaussians(2, 1.0, 2.0).best_alpha(math.nan), "beta must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
