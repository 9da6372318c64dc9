"""What noises say of themselves: what radii can be compared, how far they reach, whom to ask in a hurry."""

import math

import numpy as np
import pytest

from sfumato.noise import AnisotropicGaussian, DiscretisedGaussian, Gaussian, Laplace, Uniform
from sfumato.plans import Precision


def test_radii_can_be_compared_where_a_radius_covers_the_same():
    balls = [
        Gaussian(0.5).unit_ball,
        Laplace(0.5).unit_ball,
        DiscretisedGaussian(0.5).unit_ball,
        DiscretisedGaussian(0.05, steps=65535).unit_ball,
        AnisotropicGaussian(0.5, (1.0, 1.0)).unit_ball,
        AnisotropicGaussian(0.5, (1.0, 2.0)).unit_ball,
    ]
    assert len(set(balls)) == len(balls)
    assert Gaussian(0.1).unit_ball == Gaussian(0.5).unit_ball
    assert Uniform(0.1).unit_ball == Laplace(0.5).unit_ball
    assert AnisotropicGaussian(0.1, (1.0, 2.0)).unit_ball == balls[-1]


def test_the_largest_deviation_is_that_of_the_widest_scale():
    assert AnisotropicGaussian(0.5, (10.0, 0.1)).largest_deviation == 5.0
    assert Gaussian(0.5).largest_deviation == 0.5


def test_a_standard_deviation_of_another_type_is_a_float():
    noise = DiscretisedGaussian(np.float32(0.5))
    assert type(noise.standard_deviation) is float
    assert noise.radius(0.1) == DiscretisedGaussian(0.5).radius(0.1)


@pytest.mark.parametrize("steps", [255, 65535])
def test_precision_plans_votes_under_a_fine_grid(steps):
    noise = DiscretisedGaussian(0.01, steps=steps)
    assert noise.forecaster() == Gaussian(0.01)
    run = Precision(0.1, n_max=2000).start(1, 2, noise=noise, confidence=0.999)
    run.update(np.array([[125, 3]]))
    while (wanted := run.demand()).any():
        run.update(np.array([[math.ceil(0.97 * wanted[0]), 0]]))
    assert 0.0 < run.decisions()[0].radius < 0.03
