"""Pictures of a study show the counts of its images: every number is counted again from the votes."""

import numpy as np
import pytest
from scipy import stats

from sfumato.answers.best import answer_study
from sfumato.answers.published import PublishedResults
from sfumato.reporting import study_figures as figures
from sfumato.reporting.picture import Band, Line
from sfumato.studies.results import CellResult, StudyResults

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
BETAS = (0.2, 0.5)
IMAGES = 300
THEIRS = dict(zip(ALPHAS, (90, 60, 30, 20, 25, 40), strict=True))
PUBLISHED = PublishedResults("theirs", 1000, {(alpha, 0.5): count for alpha, count in THEIRS.items()})


def results(alphas=ALPHAS, betas=BETAS):
    """A study in which image i is wrong at (alpha, beta) if its difficulty is below a parabola in alpha."""
    difficulty = np.random.default_rng(0).random(IMAGES)
    ones = np.ones(IMAGES, dtype=np.int64)
    cells = {
        (alpha, beta, 0): CellResult(
            alpha,
            beta,
            0,
            np.arange(IMAGES),
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


def errors(found):
    return {pair[:2]: int((cell.predicted != cell.labels).sum()) for pair, cell in found.cells.items()}


def answered(found):
    return answer_study(found, draws=50)


def panel_of(picture):
    ((panel,),) = picture.panels
    return panel


def marks(panel, marker, **wanted):
    """Return the points of each line of these markers alone, as lists of (x, y)."""
    return [
        list(zip(map(float, layer.x), map(float, layer.y), strict=True))
        for layer in panel.layers
        if isinstance(layer, Line) and layer.marker == marker and layer.width == 0 and len(layer.x)
        if all(getattr(layer, name) == value for name, value in wanted.items())
    ]


def test_points_are_the_counted_errors_and_rings_lie_at_alpha_nearest_beta():
    found = results()
    counts = errors(found)
    panel = panel_of(figures.study_risk(answered(found)))
    points = [[(a, counts[a, b] / IMAGES) for a in ALPHAS] for b in BETAS]
    assert marks(panel, "circle", hollow=False) == points[:1]
    assert marks(panel, "square") == points[1:]
    assert marks(panel, "circle", size=9) == [[(beta, counts[beta, beta] / IMAGES)] for beta in BETAS]
    assert panel.y.log
    assert [layer.name for layer in panel.layers if isinstance(layer, Line) and "β =" in layer.name] == [
        "β = 0.5",
        "β = 0.2",
    ]


def test_stars_are_the_lowest_points_of_smooth_lines_inside_their_bands():
    panel = panel_of(figures.study_risk(answered(results())))
    lines = [x for x in panel.layers if isinstance(x, Line) and x.width and len(x.x)]
    bands = [layer for layer in panel.layers if isinstance(layer, Band)]
    stars = marks(panel, "star", size=13)
    assert len(lines) == len(bands) == len(stars) == 2
    for beta, line, band, ((alpha, lowest),) in zip(BETAS, lines, bands, stars, strict=True):
        at = int(np.argmin(line.y))
        assert (alpha, lowest) == pytest.approx((line.x[at], line.y[at]), abs=5e-3)
        assert alpha == pytest.approx(0.7 * beta, abs=0.08), "where the parabola is lowest"
        assert np.all((band.low <= line.y) & (line.y <= band.high))
        true = 0.05 + 2 * (np.asarray(line.x) - 0.7 * beta) ** 2
        assert np.mean((band.low <= true) & (true <= band.high)) > 0.8


def test_few_alphas_have_their_exact_intervals_and_the_measured_minimum():
    found = results(alphas=(0.1, 0.2))
    counts = errors(found)
    panel = panel_of(figures.study_risk(answered(found)))
    bands = [layer for layer in panel.layers if isinstance(layer, Band)]
    for beta, band in zip(BETAS, bands, strict=True):
        for alpha, low, high in zip((0.1, 0.2), band.low, band.high, strict=True):
            exact = stats.binomtest(counts[alpha, beta], IMAGES).proportion_ci(0.95, "exact")
            assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    best = {beta: min((counts[alpha, beta], alpha) for alpha in (0.1, 0.2)) for beta in BETAS}
    assert marks(panel, "star", size=13) == [[(best[b][1], best[b][0] / IMAGES)] for b in BETAS]


def test_a_risk_of_zero_is_drawn_at_half_an_image():
    some = results(alphas=(0.1, 0.2))
    cell = some.cells[0.1, 0.2, 0]
    cell.predicted[:] = cell.labels
    answer = answered(some)
    panel = panel_of(figures.study_risk(answer))
    assert marks(panel, "circle", hollow=False)[0][0] == (0.1, 0.5 / IMAGES)
    heat = panel_of(figures.risk_map(figures.study_lines(answer), "pixels")).layers[0]
    assert heat.values[0, 0] == 0.5 / IMAGES


def test_published_results_have_a_panel_of_their_own_with_the_same_colours():
    ((ours, theirs),) = figures.study_risk(answered(results()), PUBLISHED).panels
    assert "theirs, 1,000 test images" in theirs.title.replace("\n", " ")
    assert marks(theirs, "square") == [[(alpha, count / 1000) for alpha, count in THEIRS.items()]]
    assert marks(theirs, "circle", size=9) == [[(0.5, 0.04)]]
    colours = [
        {x.colour for x in panel.layers if getattr(x, "group", "") == "β = 0.5"} for panel in (ours, theirs)
    ]
    assert colours[0] == colours[1]
    assert len(colours[0]) == 1


def test_the_map_has_every_risk_in_its_place_the_ridge_and_the_diagonal():
    found = results()
    del found.cells[0.5, 0.5, 0]
    counts = errors(found)
    panel = panel_of(figures.risk_map(figures.study_lines(answered(found)), "pixels"))
    heat, diagonal, ridge = panel.layers
    wanted = [[counts.get((alpha, beta), np.nan) / IMAGES for alpha in ALPHAS] for beta in BETAS]
    assert np.allclose(heat.values, wanted, equal_nan=True)
    assert np.isnan(heat.values[1, -1]), "not measured yet"
    assert heat.x == pytest.approx([-0.05, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55])
    lowest = {beta: min((counts[pair], pair[0]) for pair in counts if pair[1] == beta)[1] for beta in BETAS}
    assert list(zip(ridge.x, ridge.y, strict=True)) == [(lowest[beta], beta) for beta in BETAS]
    assert diagonal.x == diagonal.y == (-0.05, pytest.approx(0.65))
    assert heat.hover[0][1] == f"α 0.1, β 0.2\nrisk {counts[0.1, 0.2] / IMAGES:.4f}"


@pytest.mark.parametrize("alphas", [ALPHAS, (0.1, 0.2)])
def test_the_set_of_each_beta_is_drawn_with_its_members(alphas):
    found = results(alphas=alphas)
    counts, answer = errors(found), answered(found)
    panel = panel_of(figures.best_alpha(answer, PUBLISHED))
    sets = [layer for layer in panel.layers if layer.name == "95 % set"]
    assert [list(layer.x) for layer in sets] == [[a.beta] * len(a.exact_set) for a in answer.betas]
    assert [tuple(layer.y) for layer in sets] == [a.exact_set for a in answer.betas]
    best = [min((counts[alpha, beta], alpha) for alpha in alphas)[1] for beta in BETAS]
    assert marks(panel, "star", size=12) == [[(b, a)] for b, a in zip(BETAS, best, strict=True)]
    ((square,),) = marks(panel, "square")
    assert square == pytest.approx((0.506, 0.3)), "the fewest errors, slightly to the right"
    smoothed = any("smoothed" in layer.name for layer in panel.layers)
    assert smoothed == bool(marks(panel, "diamond")) == (len(alphas) >= 5)


def test_votes_of_the_risk_stand_beside_the_fixed_number():
    *lines, fixed = panel_of(figures.risk_votes(results())).layers
    assert [list(line.y) for line in lines] == [[50 + int(10 * alpha) for alpha in ALPHAS]] * 2
    assert (fixed.x, fixed.y) == ((0.0, 0.5), [100, 100])
