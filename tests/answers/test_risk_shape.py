"""The curves of two powers and their posterior, against integration by hand and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from sfumato.answers import risk_shape


def test_the_posterior_is_bayes_rule_by_numerical_integration():
    """The level is integrated by quadrature here, and the curves are walked through one by one."""
    u = np.log(np.array([0.6, 1.0]))
    errors, examples = np.array([30.0, 25.0]), np.array([500.0, 400.0])
    posterior = risk_shape.ShapePosterior(u, errors, examples)
    grid = risk_shape.shapes()
    pick = np.arange(7, len(grid.centre), 397)
    logit = np.log((errors + 0.5) / (examples - errors + 0.5))
    variance = 1 / (errors + 0.5) + 1 / (examples - errors + 0.5)
    heights = grid.heights(u)[pick]
    levels = np.linspace(-100, 10, 110_001)
    for spread, row in zip(risk_shape.SPREADS, posterior._weight, strict=True):
        sd = np.sqrt(variance + spread**2 + (risk_shape.MISFIT * heights) ** 2)
        by_hand = []
        for h, deviation, prior in zip(heights, sd, grid.log_prior[pick], strict=True):
            density = stats.norm.pdf(logit[:, None], levels + h[:, None], deviation[:, None]).prod(axis=0)
            by_hand.append(math.exp(prior) * integrate.trapezoid(density, levels))
        ratio = row[pick] / np.array(by_hand)
        assert ratio == pytest.approx(np.full(len(pick), ratio[0]), rel=1e-4)


def test_heights_are_the_logarithm_of_the_two_powers_and_zero_at_the_centre():
    grid = risk_shape.shapes()
    u = np.linspace(-1.5, 1.0, 6)
    heights = grid.heights(u).reshape(len(grid.falls), len(grid.rises), len(grid.centres), len(u))
    for p, q, c in itertools.product((0, 3, 6), (0, 3, 6), (5, 40)):
        fall, rise, centre = grid.falls[p], grid.rises[q], grid.centres[c]
        powers = rise * np.exp(-fall * (u - centre)) + fall * np.exp(rise * (u - centre))
        assert heights[p, q, c] == pytest.approx(np.log(powers / (fall + rise)))
    centres = grid.heights(grid.centres).reshape(-1, len(grid.centres), len(grid.centres))
    assert np.diagonal(centres, axis1=1, axis2=2) == pytest.approx(0.0, abs=1e-12)


def test_the_information_is_the_drop_of_the_variance_that_simulated_results_bring():
    """Regression of log alpha* on a simulated result: the share of variance it explains."""
    u = np.log(np.array([0.5, 0.7, 1.0]))
    posterior = risk_shape.ShapePosterior(u, np.array([30.0, 12.0, 15.0]), np.full(3, 1000.0))
    grid, generator = risk_shape.shapes(), np.random.default_rng(0)
    where = np.log(np.array([0.6, 0.8, 1.4]))
    drawn = generator.choice(posterior._weight.size, 100_000, p=posterior._weight.ravel())
    spreads, curves = np.unravel_index(drawn, posterior._weight.shape)
    heights = grid.heights(where)[curves]
    level = posterior._level[spreads, curves] + generator.normal(size=len(drawn)) * np.sqrt(
        posterior._level_variance[spreads, curves]
    )
    binomial = np.median(1 / (np.array([30.5, 12.5, 15.5])) + 1 / (1000.5 - np.array([30.5, 12.5, 15.5])))
    spread = np.array(risk_shape.SPREADS)[spreads]
    for column, told in enumerate(posterior.information(where)):
        h = heights[:, column]
        noise = np.sqrt(binomial + spread**2 + (risk_shape.MISFIT * h) ** 2)
        result = level + h + noise * generator.normal(size=len(drawn))
        c = grid.centre[curves]
        explained = np.corrcoef(c, result)[0, 1] ** 2 * c.var()
        assert told == pytest.approx(explained, rel=0.15, abs=1e-4)
