"""Figures on the user's axes: they are returned, drawn as counted, and the user's matplotlib is untouched."""

import inspect

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import sfumato as sf
from sfumato.answers.best import answer_study
from sfumato.answers.best_pair import best_pair
from sfumato.answers.objective import VoteRisk
from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.errors import DataError
from sfumato.reporting import on_axes
from sfumato.studies.results import CellResult, StudyResults

ROWS = Certificates([Certificate(i, 1, 1 if i < 8 else 0, 0.1 * i, 0.1, 100 + i) for i in range(10)])
ONES = np.ones(40, dtype=np.int64)


def results():
    draw = np.random.default_rng(0)
    cells = {
        (alpha, beta, 0): CellResult(
            *(alpha, beta, 0, np.arange(40), ONES, draw.integers(0, 2, 40), 100 * ONES, 50 * ONES, 40 * ONES)
        )
        for alpha in (0.1, 0.3)
        for beta in (0.2, 0.5)
    }
    return StudyResults("made", "pixels in [0, 1]", 100, cells, {})


ANSWER, PAIRS = answer_study(results()), best_pair(results(), VoteRisk())
FIGURES = {
    "plot_certified_accuracy": ROWS,
    "plot_radii": {"mine": ROWS, "theirs": ROWS[2:]},
    "plot_votes": ROWS,
    "plot_outcomes": {"mine": ROWS},
    "plot_risk": ANSWER,
    "plot_best_alpha": ANSWER,
    "plot_best_pair": PAIRS,
}


def test_every_figure_is_tried_here():
    made = {
        name for name, found in vars(on_axes).items() if inspect.isfunction(found) and name[:5] == "plot_"
    }
    assert made == set(FIGURES)
    assert made <= set(sf.__all__)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_the_axes_that_are_given_and_returns_them(name):
    before = dict(matplotlib.rcParams)
    left, right = Figure().subplots(1, 2)
    assert getattr(sf, name)(FIGURES[name], axes=right) is right
    assert right.has_data()
    assert right.get_legend() is not None
    assert not left.has_data()
    bare = Figure().subplots()
    getattr(sf, name)(FIGURES[name], axes=bare, legend=False)
    assert bare.get_legend() is None
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_without_axes_a_figure_is_made_that_can_be_saved(name, tmp_path):
    axes = getattr(sf, name)(FIGURES[name])
    axes.figure.savefig(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_certified_accuracy_is_drawn_as_counted_with_its_labels():
    axes = sf.plot_certified_accuracy({"one": ROWS, "other": ROWS[:5]}, unit="cm", norm="L1")
    assert axes.get_xlabel() == "L1 radius (cm)"
    line = next(one for one in axes.lines if one.get_label() == "one")
    radii, shares = line.get_data()
    for radius, share in zip(radii[:-1], shares[:-1], strict=True):
        assert share == sum(row.correct and row.radius >= radius - 1e-9 for row in ROWS) / 10


@pytest.mark.parametrize("nothing", [[], {}, {"mine": ROWS, "none": []}])
def test_no_certificates_are_refused(nothing):
    with pytest.raises(DataError, match="no certificates to draw"):
        sf.plot_radii(nothing)
