"""Every plan under rounded Gaussian noise: radii as under Gaussian noise, with their whole numbers."""

from fractions import Fraction

import numpy as np
import pytest
from vote_sequences import simulate

from sfumato.noise import DiscretisedGaussian, Gaussian
from sfumato.plans import PLANS, parse_plan

TEXTS = {
    "fixed": "fixed(50,1000)",
    "two_class": "two_class(50,1000)",
    "top_k": "top_k(2,50,1000)",
    "decide": "decide(0.25,n_max=2000)",
    "curve": "curve(0.1,0.25,0.5,n_max=2000)",
    "precision": "precision(0.2,n_max=3000)",
    "predict": "predict(n_max=1000)",
    "vote": "vote(50)",
}
SHARES = np.array([[0.999, 0.0005, 0.0005], [0.8, 0.15, 0.05], [0.55, 0.4, 0.05], [0.4, 0.35, 0.25]])


def decided(text, noise):
    run = parse_plan(text).start(len(SHARES), 3, noise=noise, confidence=0.99)
    return simulate(run, SHARES, np.random.default_rng(0))


def test_every_plan_is_tried():
    assert set(TEXTS) >= {name for name, plan in PLANS.items() if plan.__module__.startswith("sfumato.")}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_same_votes_give_the_same_radii_rounded_down_and_whole_squared_distances(text):
    noise = DiscretisedGaussian(0.5)
    certified = 0
    for sound, ordinary in zip(decided(text, noise), decided(text, Gaussian(0.5)), strict=True):
        assert (sound.prediction, sound.votes, sound.stopped_by) == (
            *(ordinary.prediction, ordinary.votes),
            ordinary.stopped_by,
        )
        assert ordinary.radius - 1e-8 <= sound.radius <= ordinary.radius * (1 + 1e-12)
        assert ordinary.squared_steps is None
        exact = (Fraction(sound.radius) * 255) ** 2
        if sound.radius > 0.0:
            certified += 1
            assert sound.squared_steps < exact <= sound.squared_steps + 1
        elif sound.prediction >= 0 and parse_plan(text).states == "class":
            assert sound.squared_steps == 0  # of the image itself
        else:
            assert sound.squared_steps == -1
    assert (certified > 0) == (parse_plan(text).states == "radius")
