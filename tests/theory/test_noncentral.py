"""The noncentral chi-square distribution against 40-digit sums, integrals and closed forms."""

import mpmath
import numpy as np
import pytest
from scipy import special, stats

from sfumato.theory import noncentral
from sfumato.theory.balls import compensating_alpha, inverse_ball_radius


def poisson_sum(dim, y, lam):
    """F(y) as the Poisson mixture of central distributions, 40 digits; good while lam is moderate."""
    with mpmath.workdps(40):
        half_y, half_lam, half_dim = mpmath.mpf(y) / 2, mpmath.mpf(lam) / 2, mpmath.mpf(dim) / 2
        reach = 30 * mpmath.sqrt(half_lam + 1) + 60
        first, last = max(0, int(half_lam - reach)), int(half_lam + reach)
        shape = half_dim + last
        term = total = mpmath.exp(shape * mpmath.log(half_y) - half_y - mpmath.loggamma(shape + 1))
        k = 1
        while term > total * mpmath.mpf(10) ** -40:
            term *= half_y / (shape + k)
            total += term
            k += 1
        central = total
        jump = mpmath.exp((shape - 1) * mpmath.log(half_y) - half_y - mpmath.loggamma(shape))
        weight = mpmath.exp(-half_lam + last * mpmath.log(half_lam) - mpmath.loggamma(last + 1)) if lam else 0
        found = weight * central
        for j in range(last - 1, first - 1, -1):
            central += jump
            jump *= (half_dim + j) / half_y
            weight = weight * (j + 1) / half_lam if lam else mpmath.mpf(j == 0)
            found += weight * central
        return found


def chi_integral(dim, b, a):
    """P(|a e_1 + Z| <= b) over the length w of the other coordinates, 40 digits; dim >= 2."""
    with mpmath.workdps(40):
        b, a, n = mpmath.mpf(b), mpmath.mpf(a), dim - 1
        log_norm = (mpmath.mpf(n) / 2 - 1) * mpmath.log(2) + mpmath.loggamma(mpmath.mpf(n) / 2)

        def integrand(w):
            u = mpmath.sqrt(b * b - w * w)
            density = mpmath.exp((n - 1) * mpmath.log(w) - w * w / 2 - log_norm)
            return density * (mpmath.ncdf(u - a) - mpmath.ncdf(-u - a))

        centre = mpmath.sqrt(n)
        edges = [edge for edge in (centre + 2 * k for k in range(-7, 8)) if 0 < edge < b]
        return mpmath.quad(integrand, [0 if centre < 14 else edges.pop(0), *edges, min(b, centre + 15)])


def found(method, *values):
    return method(*(np.array([float(value)]) for value in values))[0]


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 10, 31, 60, 784])
@pytest.mark.parametrize("distance", [0.0, 0.3, 2.0, 8.0])
def test_the_probability_agrees_with_40_digit_sums(dim, distance):
    middle = np.sqrt(distance**2 + max(dim - 1, 0.3))
    for offset in (-7.0, -4.0, -0.8, 0.0, 1.3, 4.0):
        b = middle + offset
        if b < 1e-3:
            continue
        exact = float(poisson_sum(dim, b * b, distance**2))
        assert found(noncentral.probability, dim, b, b - distance) == pytest.approx(exact, rel=5e-12)


@pytest.mark.parametrize(("dim", "lam"), [(10**4, 900.0), (10**6, 0.01), (10**6, 500.0)])
def test_high_dimensions_agree_with_40_digit_sums(dim, lam):
    for deviations in (-5.0, -1.0, 0.0, 3.0):
        b = np.sqrt(dim + lam + deviations * np.sqrt(2.0 * dim + 4.0 * lam))
        exact = float(poisson_sum(dim, mpmath.mpf(b) ** 2, mpmath.mpf(np.sqrt(lam)) ** 2))
        # Rounding of b moves its square by 1e-16 of 10^6.
        assert found(noncentral.probability, dim, b, b - np.sqrt(lam)) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    ("dim", "b", "depth"),
    [(2, 30.0, 0.5), (2, 1e6, 1e-6), (5, 1e6, -3.0), (784, 1e4, 0.1), (10**6, 1e6, 0.5), (10**6, 4e3, 130.0)],
)
def test_far_from_the_origin_it_agrees_with_40_digit_integrals(dim, b, depth):
    with mpmath.workdps(40):
        exact = float(chi_integral(dim, b, mpmath.mpf(b) - mpmath.mpf(depth)))
    assert found(noncentral.probability, dim, b, depth) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    ("dim", "b", "a"), [(1, 1e-6, 12.0), (2, 9.0, 21.0), (40, 30.0, 40.0), (784, 60.0, 75.0)]
)
def test_the_probability_keeps_its_digits_in_a_deep_tail(dim, b, a):
    if dim == 1:
        with mpmath.workdps(40):
            exact = float(mpmath.ncdf(b - mpmath.mpf(a)) - mpmath.ncdf(-b - mpmath.mpf(a)))
    else:
        exact = float(poisson_sum(dim, mpmath.mpf(b) ** 2, mpmath.mpf(a) ** 2))
    assert exact < 1e-20
    assert found(noncentral.probability, dim, b, b - a) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("dim", [2, 3, 10, 784, 10**5])
def test_both_ways_agree_where_one_takes_over(dim, monkeypatch):
    b = 1.3 * np.sqrt(2.25 * dim + 10.0 * np.sqrt(2.0 * dim) + 50.0) * np.ones(5)
    dims, level = np.full(5, float(dim)), np.array([1e-6, 0.1, 0.5, 0.9, 1.0 - 1e-6])
    far = (
        noncentral.depth_at(dims, b, level),
        noncentral.probability(dims, b, noncentral.depth_at(dims, b, level)),
    )
    monkeypatch.setattr(noncentral, "_is_far", lambda dim, b, score: np.zeros_like(b, dtype=bool))
    near = noncentral.depth_at(dims, b, level)
    assert far[0] == pytest.approx(near, rel=1e-10, abs=1e-12 * b[0])
    assert far[1] == pytest.approx(noncentral.probability(dims, b, near), rel=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3, 40, 784, 10**5, 10**6])
@pytest.mark.parametrize("level", [1e-6, 0.3, 0.5, 0.9, 1.0 - 1e-6])
def test_there_is_a_depth_however_close_the_noise_is_to_critical(dim, level):
    over = np.concatenate([[0.0, 1e-16, 2e-16], np.geomspace(1e-15, 1e-2, 40)])
    dims, levels = np.full(over.size, float(dim)), np.full(over.size, level)
    b = noncentral.central_root(dims, levels) * (1.0 + over)
    depth = noncentral.depth_at(dims, b, levels)
    assert (depth <= b * (1.0 + 1e-15)).all()
    assert (np.diff(b - depth) >= -1e-6 * b[1:]).all()
    assert noncentral.probability(dims, b, depth) == pytest.approx(levels, rel=2e-9 if dim < 10**5 else 1e-7)


def test_the_compensating_noise_is_the_first_of_the_two_solutions():
    beta = 0.1
    growth = inverse_ball_radius(5, 1.0, beta) - 1.0
    sigma = compensating_alpha(5, 1.0, beta, 0.3)
    grid = np.linspace(0.001, 1.0, 4000)
    reached = stats.ncx2.cdf(grid**-2.0, 5, ((1.0 + growth) / grid) ** 2) >= 0.3
    assert grid[reached][0] - 0.00025 <= sigma <= grid[reached][0]
    assert stats.ncx2.cdf(sigma**-2.0, 5, ((1.0 + growth) / sigma) ** 2) == pytest.approx(0.3, rel=1e-10)


def test_on_the_line_an_exponentially_small_growth_is_compensated_by_as_little_noise():
    # P(1 + growth + sigma Z <= 1) = 0.2: the other end is out of reach. growth = beta Phi(-2/beta) / phi(0).
    growth = 0.12 * np.sqrt(2.0 * np.pi) * special.ndtr(-2.0 / 0.12)
    expected = growth / -special.ndtri(0.2)
    assert compensating_alpha(1, 1.0, 0.12, 0.2) == pytest.approx(expected, rel=1e-9)
