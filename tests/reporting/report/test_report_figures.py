"""Each interactive figure holds the numbers it says it shows."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from sfumato.answers.best import answer_study
from sfumato.answers.published import PublishedResults
from sfumato.certification.certificate import Certificate
from sfumato.reporting.certified_sets import curve_of, outcomes
from sfumato.reporting.report import certificate_figures, risk_figures
from sfumato.reporting.report.plotly_style import colours
from sfumato.reporting.risk_lines import edges, published_lines, study_lines
from sfumato.reporting.sources import CertifiedSet
from sfumato.studies.results import CellResult, StudyResults

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def results(alphas=ALPHAS, betas=(0.2, 0.5)):
    difficulty = np.random.default_rng(0).random(300)
    ones = np.ones(300, dtype=np.int64)
    cells = {
        (alpha, beta, 0): CellResult(
            alpha,
            beta,
            0,
            np.arange(300),
            ones,
            np.where(difficulty < 0.05 + 2 * (alpha - 0.7 * beta) ** 2, 0, 1),
            (50 + int(10 * alpha)) * ones,
            50 * ones,
            40 * ones,
        )
        for alpha in alphas
        for beta in betas
    }
    return StudyResults("made", "pixels in [0, 1]", 100, cells, {})


def sets():
    rows = [
        Certificate(i, 0, (0, 0, 0, 1, -1)[i % 5], 0.01 * (i % 5 < 4) * i, 1.0, 100 * (i + 1))
        for i in range(60)
    ]
    return [
        CertifiedSet("one", rows, "pixels", Path("a")),
        CertifiedSet("two", rows[:30], "pixels", Path("b")),
    ]


def by_mode(figure, mode):
    return [trace for trace in figure.data if trace.type == "scatter" and trace.mode == mode]


def test_points_are_the_measured_risks_and_stars_the_minima_of_the_curves():
    answer = answer_study(results(), draws=50)
    figure = risk_figures.risk_figure(study_lines(answer), answer.unit)
    measured = [trace for trace in by_mode(figure, "markers") if len(trace.x) == len(ALPHAS)]
    assert [list(trace.y) for trace in measured] == [[p.risk for p in a.points] for a in answer.betas]
    stars = [t for t in by_mode(figure, "markers") if t.marker.symbol == "star" and t.x[0] is not None]
    assert [(t.x[0], t.y[0]) for t in stars] == [(a.curve.alpha, a.curve.lowest) for a in answer.betas]
    rings = [t for t in by_mode(figure, "markers") if t.marker.symbol == "circle-open" and t.x[0] is not None]
    assert [t.x[0] for t in rings] == [a.gain.alpha for a in answer.betas]
    assert figure.layout.yaxis.type == "log"


def test_a_band_lies_around_each_line():
    answer = answer_study(results(), draws=50)
    figure = risk_figures.risk_figure(study_lines(answer), answer.unit)
    filled = [i for i, trace in enumerate(figure.data) if trace.fill == "tonexty"]
    assert len(filled) == 2
    for i, found in zip(filled, answer.betas, strict=True):
        assert np.allclose(figure.data[i].y, found.curve.high)
        assert np.allclose(figure.data[i - 1].y, found.curve.low)


def test_the_map_has_every_risk_in_its_place_the_ridge_and_the_diagonal():
    answer = answer_study(results(), draws=50)
    figure = risk_figures.risk_map(study_lines(answer), answer.unit)
    (heat,) = [trace for trace in figure.data if trace.type == "heatmap"]
    assert np.allclose(heat.z, [[np.log10(p.risk) for p in a.points] for a in answer.betas])
    assert len(heat.x) == len(ALPHAS) + 1
    ridge = next(t for t in figure.data if t.name and t.name.startswith("α*"))
    assert list(zip(ridge.x, ridge.y, strict=True)) == [(a.alpha, a.beta) for a in answer.betas]
    diagonal = next(t for t in figure.data if t.name == "α = β")
    assert list(diagonal.x) == list(diagonal.y)


def test_cells_of_unequal_spacing_hold_their_values():
    for values in ([0.0, 0.1, 0.4, 0.5], [0.3], [0.2, 0.9]):
        borders = edges(values)
        assert all(a < v < b for a, v, b in zip(borders, values, borders[1:], strict=False))


def test_an_unfinished_map_leaves_white_what_is_missing():
    some = results()
    del some.cells[0.5, 0.5, 0]
    figure = risk_figures.risk_map(study_lines(answer_study(some, draws=20)), "pixels")
    assert np.isnan(figure.data[0].z[1][-1])


def test_published_risks_are_drawn_without_bounds():
    published = PublishedResults(
        "t", 1000, {(a, 0.5): n for a, n in zip(ALPHAS, (90, 60, 30, 20, 25, 40), strict=True)}
    )
    (line,) = published_lines(published)
    assert line.low is None
    assert (line.best, line.nearest) == (0.3, 0.5)
    figure = risk_figures.risk_figure([line], "as published")
    assert any(len(t.x) == 6 and t.y[3] == 0.02 for t in by_mode(figure, "markers"))


def test_a_risk_of_zero_is_drawn_at_half_an_image():
    some = results(alphas=(0.1, 0.2))
    cell = some.cells[0.1, 0.2, 0]
    cell.predicted[:] = cell.labels
    figure = risk_figures.risk_figure(study_lines(answer_study(some, draws=20)), "pixels")
    assert min(min(t.y) for t in by_mode(figure, "markers") if t.y[0]) == pytest.approx(0.5 / 300)


def test_votes_of_the_risk_stand_beside_the_fixed_number():
    figure = risk_figures.risk_votes_figure(results())
    assert list(figure.data[0].y) == [50 + int(10 * alpha) for alpha in ALPHAS]
    assert list(figure.data[-1].y) == [100, 100]


def test_certified_accuracy_is_drawn_as_counted_with_its_band():
    figure = certificate_figures.certified_accuracy_figure(sets(), confidence=0.9)
    lines = [trace for trace in figure.data if trace.name]
    assert [trace.name for trace in lines] == ["one", "two"]
    points = curve_of(sets()[0], figure.layout.xaxis.range[1], confidence=0.9)
    assert list(lines[0].y) == [p.share for p in points]
    assert list(figure.data[1].y) == [p.high for p in points]
    assert lines[0].line.shape == "vh", "the share belongs to the stretch that ends at its radius"


def test_bars_of_outcomes_add_up_to_one():
    figure = certificate_figures.outcomes_figure(sets())
    assert np.allclose(np.sum([trace.x for trace in figure.data], axis=0), 1)
    assert figure.data[1].x[0] == outcomes(sets()[0]).abstained / 60


def test_more_votes_are_needed_by_as_many_as_counted():
    figure = certificate_figures.votes_figure(sets())
    for votes, more in list(zip(figure.data[0].x, figure.data[0].y, strict=True))[1:]:
        assert more == pytest.approx(sum(100 * (i + 1) > votes for i in range(60)) / 60)
    assert list(figure.data[-1].x) == [100_100, 100_100]


@pytest.mark.parametrize("count", [1, 7, 8, 30])
def test_every_colour_has_another_for_dark_pages(count):
    found = colours(count)
    assert len(set(found.lines)) == count
    for index, colour in enumerate(found.lines):
        assert found.dark[colour] != colour
        assert found.band(index) in found.dark


def test_more_lines_than_bands_are_drawn_without_any():
    figure = certificate_figures.certified_accuracy_figure(5 * sets(), confidence=0.95)
    assert len(figure.data) == 10
    assert isinstance(figure, go.Figure)
