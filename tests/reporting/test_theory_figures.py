"""Pictures of the theory show its numbers, computed again by other formulas."""

import numpy as np
import pytest
from scipy.special import ndtr

from sfumato.reporting import theory_figures as figures
from sfumato.reporting.picture import Band, Bars, HeatMap, Line
from sfumato.reporting.static import save_picture
from sfumato.theory.figure4 import figure4_published, significant_dips
from sfumato.theory.intervals import Intervals, deploy, threshold
from sfumato.theory.phase import phase_diagram

ALPHAS = np.linspace(0.0, 1.0, 11)


def only(panel, kind, **wanted):
    return [
        layer
        for layer in panel.layers
        if isinstance(layer, kind) and all(getattr(layer, name) == value for name, value in wanted.items())
    ]


def test_curves_have_a_star_where_they_are_lowest_and_a_ring_at_alpha_equal_beta():
    risk = np.abs(ALPHAS[:, None] - np.array([0.4, 2.0])) + 0.1
    picture = figures.curves(ALPHAS, (0.4, 2.0), risk, title="t", measure="risk", best_possible=0.05)
    ((panel,),) = picture.panels
    assert [line.y[0] for line in only(panel, Line, width=1.5)] == pytest.approx([0.5, 2.1])
    stars = [(*line.x, *line.y) for line in only(panel, Line, marker="star", size=13)]
    assert stars == [pytest.approx((0.4, 0.1)), pytest.approx((1.0, 1.1))]
    (ring,) = only(panel, Line, marker="circle", size=9)
    assert (ring.x, ring.y) == ([0.4], pytest.approx([0.1]))
    assert only(panel, Line, name="best possible")[0].y == [0.05, 0.05]
    assert panel.y.limits == (0, pytest.approx(1.03 * 2.1))


@pytest.mark.parametrize("gap", [0.5, 2.0])
def test_two_steps_are_the_normal_probabilities_and_the_regions_they_leave(gap, tmp_path):
    region = Intervals((-gap / 2 - 1, gap / 2), (-gap / 2, gap / 2 + 1))
    picture = figures.two_steps(region, threshold(region, 1.36), deploy(region, 0.38, 1.36))
    (train,), (smooth,), (rows,) = picture.panels

    def probability(x, spans, noise):
        return sum(ndtr((end - x) / noise) - ndtr((start - x) / noise) for start, end in spans)

    spans = list(zip(region.starts, region.ends, strict=True))
    (line,) = only(train, Line, width=1.5)
    assert np.allclose(line.y, probability(line.x, spans, 0.38))
    (plain,) = only(smooth, Line, dash="dash")
    assert np.allclose(plain.y, probability(plain.x, spans, 1.36))
    assert [tuple(band.x) for band in only(train, Band)] == spans
    wide = [(-gap / 2 - 1, gap / 2 + 1)] if gap == 0.5 else spans
    drawn = {}
    for bars in only(rows, Bars):
        drawn.setdefault(bars.rows[0], []).append((bars.begins[0], bars.ends[0]))
    assert drawn[0] == spans
    assert drawn[1] == [pytest.approx(span, abs=0.01) for span in wide]
    trained = probability(line.x, drawn[1], 1.36)
    assert np.allclose(only(smooth, Line, width=1.5)[0].y, trained, atol=1e-6)
    kept = line.x[trained >= 0.5]
    smoothed = [pytest.approx((kept[0], kept[-1]), abs=0.01)] if len(kept) else []
    assert drawn.get(2, []) == smoothed
    assert [name.endswith("(empty)") for name in rows.y.rows] == [row not in drawn for row in range(4)]
    save_picture(picture, tmp_path / "two.png")


def test_a_phase_diagram_has_each_benefit_in_its_cell_and_grey_where_there_is_none(tmp_path):
    gaps, betas = [0.3, 0.6, 1.1], [1.2, 1.36]
    alphas = [0.1, 0.2, 0.4]
    picture = figures.phase(phase_diagram(gaps, alphas, betas), "two intervals")
    (maps,) = picture.panels
    benefit, ratio = (only(panel, HeatMap)[0].values for panel in maps)
    for column, gap in enumerate(gaps):
        region = Intervals((-gap / 2 - 1, gap / 2), (-gap / 2, gap / 2 + 1))
        for row, beta in enumerate(betas):
            benefits = [deploy(region, alpha, beta).benefit / 2 for alpha in alphas]
            best = int(np.argmax(benefits))
            if benefits[best] > 1e-3:
                assert benefit[row, column] == pytest.approx(benefits[best], abs=1e-9)
                assert ratio[row, column] == pytest.approx(alphas[best] / beta)
            else:
                assert np.isnan(benefit[row, column])
                assert np.isnan(ratio[row, column])
    assert 0 < np.isnan(benefit).sum() < benefit.size
    save_picture(picture, tmp_path / "phase.png")


def test_regions_of_the_plane_lie_as_they_are_given_each_below_the_true_outline(tmp_path):
    truth = np.zeros((20, 20))
    truth[2:4, 10:18] = 1.0  # first axis: across
    picture = figures.field({"one": truth, "two": 1 - truth}, truth, 10.0, "t")
    ((one, two),) = picture.panels
    heat, outline = one.layers
    assert heat.values[12, 3] == 1.0
    assert heat.values[3, 12] == 0.0
    assert np.array_equal(two.layers[0].values, 1 - heat.values)
    assert (heat.x[0], heat.x[-1], outline.x[0]) == (0.0, 10.0, 0.25)
    assert np.array_equal(outline.values, heat.values)
    save_picture(picture, tmp_path / "field.png")


def test_both_studies_are_drawn_one_above_the_other_as_differences_to_no_noise(tmp_path):
    study = figure4_published(draws=3, betas=(8, 14), alphas=(0, 5, 10))
    picture = figures.figure4([study] * 2, [significant_dips(study)] * 2)
    assert [len(row) for row in picture.panels] == [2, 2]
    panel = picture.panels[0][0]
    difference = study.risk[1, 0] - study.risk[1, 0, :1]
    line = only(panel, Line, name="ζ = 1")[0]
    assert np.allclose(line.y, difference.mean(axis=-1))
    band = only(panel, Band)[1]
    error = difference.std(axis=-1, ddof=1) / np.sqrt(3)
    assert error.max() > 1e-4
    assert np.allclose(band.high - line.y, error)
    assert np.allclose(line.y - band.low, error)
    save_picture(picture, tmp_path / "4.png")


def test_best_against_radius_shows_the_ratio_until_nothing_is_certified_and_both_risks():
    rows = [
        {"radius": radius, "beta": 0.5, "best_alpha_over_beta": ratio, "risk": 0.2, "alpha_is_beta": risk}
        for radius, ratio, risk in ((0.0, 0.4, 0.3), (1.0, np.inf, 0.6))
    ]
    ((ratios, risks),) = figures.best_against_radius(rows, "t").panels
    (ratio,) = only(ratios, Line, name="β = 0.5")
    assert ratio.y == pytest.approx([0.4, np.nan], nan_ok=True)
    assert [line.y for line in only(risks, Line, name="") if len(line.x)] == [[0.2, 0.2], [0.3, 0.6]]


def test_a_curve_that_only_reaches_the_trivial_risk_has_no_star():
    risk = np.array([[1.2, 1.4], [1.0, 0.9], [1.0, 1.1]])
    picture = figures.curves(ALPHAS[:3], (2.0, 3.0), risk, title="t", measure="risk", trivial=1.0)
    ((panel,),) = picture.panels
    assert [line.y for line in only(panel, Line, marker="star", size=13)] == [[0.9]]
