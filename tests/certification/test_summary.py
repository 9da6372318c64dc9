from dataclasses import replace

import pytest
from scipy import stats

from sfumato.certification.accuracy import radius_grid
from sfumato.certification.certificate import Certificate
from sfumato.certification.summary import summarise
from sfumato.noise import Gaussian
from sfumato.plans import Curve, Fixed, Vote

ROWS = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0), Certificate(2, 5, 4, 0.9, 1.0)]


def test_the_summary_adds_up():
    rows = [replace(row, votes=1001) for row in ROWS]
    summary = summarise(rows, Fixed(100, 1000), noise=Gaussian(0.5), confidence=0.999)
    assert (summary.mean_votes, summary.saved) == (1001, 100)
    assert [
        p.radius for p in summarise(rows, Curve((0.1, 0.7)), noise=Gaussian(1), confidence=0.9).curve
    ] == [0.1, 0.7]
    assert [p.radius for p in summarise(rows, Vote(9), noise=Gaussian(1), confidence=0.9).curve] == [0.0]
    assert summary.abstained == 1
    assert summary.average_radius == pytest.approx(0.4 / 3)
    largest = 0.5 * stats.norm.ppf(0.001 ** (1 / 1000))
    assert summary.curve[-1].radius <= largest < summary.curve[-1].radius + 0.25
    assert radius_grid(0.25, 0.95) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
