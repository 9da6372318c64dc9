"""The noncentral chi-square distribution against 40-digit sums, integrals and closed forms."""

import mpmath
import numpy as np
import pytest
from scipy import special, stats

from sfumato.theory import noncentral, noncentral_roots


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


def found_tails(dim, y, lam, score=0.0):
    return noncentral.tails(*(np.array([float(v)]) for v in (dim, y, lam, y - lam, score)))


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 10, 11, 31, 60, 784])
@pytest.mark.parametrize("distance", [0.0, 0.01, 0.3, 2.0, 8.0])
def test_both_tails_agree_with_40_digit_sums(dim, distance):
    middle = np.sqrt(distance**2 + max(dim - 1, 0.3))
    for offset in (-7.0, -4.0, -1.4, -0.8, 0.0, 0.9, 1.3, 2.0, 6.0):
        b = middle + offset
        if b < 1e-3:
            continue
        exact = poisson_sum(dim, b * b, distance**2)
        tails = found_tails(dim, b * b, distance**2)
        if exact < 0.5:
            assert tails.lower[0] == pytest.approx(float(exact), rel=5e-12)
        else:
            assert tails.upper[0] == pytest.approx(float(1 - exact), rel=5e-12)


@pytest.mark.parametrize(("dim", "lam"), [(10**4, 900.0), (10**6, 0.01), (10**6, 4.0), (10**6, 500.0)])
def test_high_dimensions_agree_with_40_digit_sums(dim, lam):
    for deviations in (-5.0, -1.0, 0.0, 3.0):
        y = dim + lam + deviations * np.sqrt(2.0 * dim + 4.0 * lam)
        exact = poisson_sum(dim, y, lam)
        tails = found_tails(dim, y, lam)
        assert tails.lower[0] == pytest.approx(float(exact), rel=1e-11)
        assert tails.upper[0] == pytest.approx(float(1 - exact), rel=1e-11)


@pytest.mark.parametrize(
    ("dim", "b", "depth"),
    [(2, 30.0, 0.5), (2, 1e6, 1e-6), (5, 1e6, -3.0), (784, 1e4, 0.1), (10**6, 1e6, 0.5), (10**6, 4e3, 130.0)],
)
def test_far_from_the_origin_it_agrees_with_40_digit_integrals(dim, b, depth):
    a = b - depth
    exact = chi_integral(dim, b, a)
    gap = (b - a) * (b + a)
    tails = noncentral.tails(*(np.array([float(v)]) for v in (dim, b * b, a * a, gap, 0.0)))
    # The distance enters through the gap alone, which is exact to 1e-16 of b^2 only through b - a.
    assert tails.lower[0] == pytest.approx(float(exact), rel=1e-11)
    assert tails.residual[0] == pytest.approx(float(exact - mpmath.mpf(1) / 2), rel=1e-9, abs=1e-15)


def test_three_dimensions_have_their_closed_form():
    a, b = np.meshgrid([0.5, 1.0, 3.0, 6.0], [0.5, 1.0, 2.0, 5.0, 9.0])
    a, b = a.ravel(), b.ravel()
    phi = stats.norm.pdf
    exact = special.ndtr(b - a) + special.ndtr(b + a) - 1.0 - (phi(b - a) - phi(b + a)) / a
    found = noncentral.lower_tail(np.full_like(a, 3.0), b**2, a**2, b**2 - a**2)
    assert found == pytest.approx(exact, rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 5, 40, 1000])
def test_the_densities_are_the_derivatives(dim):
    lam = np.array([0.04, 1.0, 9.0, 100.0])
    y = lam + dim * np.array([0.7, 1.2, 1.0, 0.9])
    dims = np.full_like(y, float(dim))
    tails = noncentral.tails(dims, y, lam, y - lam, np.zeros_like(y))
    assert tails.density == pytest.approx(stats.ncx2.pdf(y, dim, lam), rel=1e-9)
    assert tails.slope == pytest.approx(stats.ncx2.pdf(y, dim + 2, lam), rel=1e-9)
    higher = stats.ncx2.pdf(y, dim + 4, lam)
    assert 2.0 * tails.bend + tails.slope == pytest.approx(higher, rel=1e-6 if dim == 1 else 1e-9)


def test_a_level_close_to_one_keeps_its_digits_through_its_score():
    gap = noncentral_roots.gap_below(np.array([2.0]), np.array([1e4]), np.array([9.0]))
    a = np.sqrt(1e4 - gap[0])
    exact = 1 - chi_integral(2, 100.0, a)
    assert special.ndtr(-9.0) == pytest.approx(float(exact), rel=1e-10)


def test_the_smallest_scale_is_the_first_of_the_two_solutions():
    sigma = noncentral_roots.smallest_scale(5, 0.3, 0.05)
    grid = np.linspace(0.01, 2.0, 2000)
    reached = stats.ncx2.cdf(grid**-2.0, 5, (1.3 / grid) ** 2) >= 0.05
    assert grid[reached][0] - 0.001 <= sigma <= grid[reached][0]
    assert stats.ncx2.cdf(sigma**-2.0, 5, (1.3 / sigma) ** 2) == pytest.approx(0.05, rel=1e-10)
