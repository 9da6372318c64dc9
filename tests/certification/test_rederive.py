"""Rows against what their bounds and counts give, in units of any size and as earlier versions wrote them."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.certification.certificate import certificates_of, in_six_decimals
from sfumato.certification.rederive import not_derived
from sfumato.noise import Gaussian
from sfumato.plans import Fixed

PLAN = Fixed(10, 100)


def certified(beta: float):
    """Return a row of 99 votes in 100, and what it is derived from."""
    noise = Gaussian(beta)
    run = PLAN.start(1, 2, noise=noise, confidence=0.999)
    run.update(np.array([[0, 10]]))
    run.update(np.array([[1, 99]]))
    (row,) = certificates_of(run, [0], [1], 1.0)
    return row, {"plan": PLAN, "noise": noise, "confidence": 0.999, "label_known": False}


@pytest.mark.parametrize("beta", [0.5, 0.01, 1e-7])
def test_a_radius_as_it_is_or_as_tables_write_it_or_wrote_it_follows(beta):
    row, told = certified(beta)
    for radius in (row.radius, row.as_written().radius, in_six_decimals(row.radius)):
        assert not_derived(replace(row, radius=radius), **told) is None
    assert not_derived(replace(row, radius=row.radius * 0.999), **told).startswith("radius is")


@pytest.mark.parametrize("beta", [0.5, 1e-7])
def test_without_counts_no_radius_above_that_of_the_bounds_follows(beta):
    row, told = certified(beta)
    bare = replace(row, counts="")
    assert not_derived(bare, **told) is None
    assert not_derived(bare.as_written(), **told) is None
    assert "its bounds give at most" in not_derived(replace(bare, radius=row.radius * (1 + 1e-5)), **told)
