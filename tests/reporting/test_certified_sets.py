"""What sets of certificates say, against counting by hand; the figures draw these numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError
from sfumato.reporting import certified_figures as figures
from sfumato.reporting.answer_tables import certified_table, outcomes_table, votes_table
from sfumato.reporting.certified_sets import (
    MOST_RADII,
    curve_of,
    differences,
    largest_radius,
    outcomes,
    require_certified,
)
from sfumato.reporting.interactive import draw
from sfumato.reporting.picture import Line
from sfumato.reporting.report.certificate_panels import certified_panels
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.static import save_picture
from sfumato.reporting.table_style import TableStyle


def certified(name="ours", images=1000, seed=0, votes=True):
    rng = np.random.default_rng(seed)
    predicted = rng.choice([-1, 0, 1], size=images, p=[0.1, 0.8, 0.1])
    radii = np.where(predicted < 0, 0.0, np.round(rng.exponential(0.4, images), 6))
    spent = rng.integers(100, 50_000, images)
    rows = [
        Certificate(i, 0, int(p), float(r), 1.0, int(s) if votes else None, confidence=0.999)
        for i, (p, r, s) in enumerate(zip(predicted, radii, spent, strict=True))
    ]
    return CertifiedSet(name, rows, "pixels in [0, 1]", Path("x.tsv"))


def test_outcomes_add_up_and_average_over_all_examples():
    found = certified()
    every = outcomes(found)
    assert every.examples == 1000
    assert every.abstained == sum(c.predict == -1 for c in found.certificates)
    assert every.wrong == sum(c.predict == 1 for c in found.certificates)
    total = sum(c.radius for c in found.certificates if c.predict == 0)
    assert every.mean_radius == pytest.approx(total / 1000)
    assert every.votes == pytest.approx(np.mean([c.votes for c in found.certificates]))
    assert outcomes(certified(votes=False)).votes is None


def test_tables_show_counts_radii_and_votes():
    found, silent = certified(), certified("theirs", votes=False, seed=1)
    table = certified_table([found, silent], (0.25, 0.5))
    assert table.columns == ("set", "examples", "0.25", "0.5")
    hits = sum(c.predict == 0 and c.radius >= 0.25 for c in found.certificates)
    assert table.rows[0][2].startswith(f"{hits / 1000:.4f} [")
    assert [row[0] for row in outcomes_table([found, silent]).rows] == ["ours", "theirs"]
    (row,) = votes_table([found, silent]).rows
    mean = np.mean([c.votes for c in found.certificates])
    assert row[1] == f"{mean:,.0f}"
    assert row[-1] == f"{100_100 / mean:.1f}"


def test_the_curve_falls_to_nothing_right_after_the_largest_radius_in_any_unit():
    for unit in (1.0, 1e-8):
        rows = [Certificate(i, 0, 0, unit * r, 1.0) for i, r in enumerate((0.2, 0.5, 0.5))]
        points = curve_of(CertifiedSet("ours", rows, "", Path("x.tsv")), unit, confidence=0.95)
        assert [point.certified for point in points] == [3, 3, 2, 0, 0]
        assert points[3].radius == pytest.approx(0.5 * unit, rel=1e-5)


def test_a_radius_that_was_asked_about_is_reached_by_the_rounded_one_of_the_table():
    row = Certificate(0, 0, 0, 0.3333333, 1.0, plan="decide(0.3333333)").as_written()
    found = CertifiedSet("ours", [row], "", Path("x.tsv"))
    assert largest_radius([found]) == 0.3333333
    require_certified([found], [0.3333333])
    assert [point.certified for point in curve_of(found, 1.0, confidence=0.95)] == [1, 1, 0, 0]


def test_top_k_accuracy_is_called_so_and_said_to_bound_no_robust_accuracy():
    first = certified("first")
    five = replace(
        certified("five"), certificates=[replace(r, plan="top_k(5,100,1000)") for r in first.certificates]
    )
    said = "five: the label is certified to stay among the 5 most probable classes"
    alone, both = certified_table([five]).title, certified_table([five, first]).title
    assert alone.startswith("Top-5 certified accuracy by L2 radius")
    assert both.startswith("Certified accuracy by L2 radius")
    assert said in alone
    assert said in both
    assert "most probable" not in certified_table([first]).title
    assert figures.certified_accuracy([five]).panels[0][0].y.label == "top-5 certified accuracy"
    (panel, _) = certified_panels([five], 0.95)[:2]
    assert panel.title == "Top-5 certified accuracy against radius"
    assert said in panel.explanation


def test_what_is_known_of_the_network_stands_beside_its_certified_accuracy():
    rows = [
        Certificate(i, 0, 0, 0.5, 1.0, 100, p_lower=0.5 + i / 20, confidence=0.999, plan="curve(0.5,0.7)")
        for i in range(11)
    ]
    wrong = Certificate(11, 0, 1, 0.5, 1.0, 100, p_lower=0.9, confidence=0.999, plan="curve(0.5,0.7)")
    settings = {"beta": 0.4, "clean_accuracy": 0.875, "clean_of": "100 of these images"}
    known = CertifiedSet("known", [*rows, wrong], "", Path("x.tsv"), settings)
    table = certified_table([known, certified()])
    assert table.columns[-2:] == ("without noise", "p_A at least, 10 / 50 / 90 %")
    assert table.title.endswith("; without noise: of 100 of these images")
    assert table.rows[0][-2:] == ("0.8750", "0.550 / 0.750 / 0.950")
    # of a version that stated the model's record whatever the data
    unsaid = replace(known, settings={"beta": 0.4, "clean_accuracy": 0.875})
    assert "without noise" not in certified_table([unsaid]).columns
    assert table.rows[1][-2:] == ("", "")
    # the radii that the plan was asked about, if there are no others
    assert certified_table([known]).columns[2:4] == ("0.5", "0.7")
    assert outcomes_table([known]).rows[0][-1] == "–", "it tests its radii alone; their mean is of no radius"
    with pytest.raises(DataError, match=r"radius 0\.6 was not certified"):
        certified_table([known], [0.6])
    with pytest.raises(DataError, match=r"certified is 0\.5, of known; a beta of about 0\.56 could"):
        certified_table([known], [0.7])


def asked(name, plan, radius, count=10):
    rows = [
        Certificate(i, 0, 0 if i < 8 else 1, radius, 1.0, 100, confidence=0.999, plan=plan)
        for i in range(count)
    ]
    return CertifiedSet(name, rows, "", Path(f"{name}.tsv"))


def test_a_radius_is_shown_of_the_sets_whose_plan_was_asked_about_it():
    one, other = asked("one", "decide(0.25)", 0.25), asked("other", "curve(0.5,1)", 1.0)
    free = asked("free", "fixed(100,1000)", 0.6)
    table = certified_table([one, other, free], style=TableStyle(intervals=False, bold=True))
    assert table.columns[2:] == ("0.25", "0.5", "1"), "they share no radius, so those of any"
    assert [row[2:] for row in table.rows] == [
        ("0.8000", "–", "–"),
        ("–", "0.8000", "0.8000"),
        ("0.8000", "0.8000", "0.0000"),
    ]
    assert table.title == "Certified accuracy by L2 radius; –: not asked of the plan"
    assert table.bold == {(0, 2), (2, 2), (1, 3), (2, 3), (1, 4)}
    with pytest.raises(DataError, match=r"radius 0\.3 was not certified"):
        certified_table([one, other], [0.3])
    assert [row[-1] for row in outcomes_table([one, free]).rows] == ["–", "0.4800 at 100 votes"]


def test_tables_are_written_in_the_style_that_is_asked_for():
    style = TableStyle(intervals=False, percent=True, places=1, bold=True)
    good, bad = asked("good", "", 0.5), asked("bad", "", 0.1)
    table = certified_table([bad, good], [0.0, 0.3], style=style)
    assert [row[2:] for row in table.rows] == [("80.0", "0.0"), ("80.0", "80.0")]
    assert table.bold == {(0, 2), (1, 2), (1, 3)}
    assert table.title == "Certified accuracy in % by L2 radius"
    outcomes_ = outcomes_table([asked("small", "", 0.1, 8), bad], style=style)
    assert [row[2] for row in outcomes_.rows] == ["8 (100.0 %)", "8 (80.0 %)"]
    assert outcomes_.bold == {(0, 2)}
    spent = votes_table([certified(seed=1), bad], bold=True)
    assert spent.bold == {(1, 1)}


def test_unlike_images_confidences_and_votes_are_told_and_like_ones_are_not():
    def rows(images=(0, 1), confidence=0.999, plan="fixed(100,1000)", label=0):
        return [Certificate(i, label, 0, 0.5, 1.0, confidence=confidence, plan=plan) for i in images]

    assert differences({"a": rows(), "b": rows((1, 0)), "c": rows()}) == []
    for other, words in (
        (rows((0, 2)), "differ in test images"),
        (rows(label=1), "differ in test images"),
        (rows(confidence=0.99), "differ in confidence are compared: 0.999 (a); 0.99 (b and 1 more)"),
        (
            rows(confidence=float("nan")),
            "differ in confidence are compared: 0.999 (a); none: nothing is guaranteed (b and",
        ),
        (
            rows(plan="fixed(100,10000)"),
            "differ in votes are compared: fixed(100,1000) (a); fixed(100,10000)",
        ),
    ):
        (told,) = differences({"a": rows(), "b": other, "c": other})
        assert words in told
    told = differences({"a": rows(), "b": rows(plan="top_k(5,100,1000)")})
    assert "what they say are compared: of the most probable class (a); of one of the 5 most" in told[-1]


def layers(picture):
    ((panel,),) = picture.panels
    return panel.layers


def test_certified_accuracy_is_drawn_as_counted():
    sets = [certified(images=3000), certified("two", images=400, seed=1)]
    band, line, *others = layers(figures.certified_accuracy(sets, confidence=0.9))
    assert len(line.x) <= MOST_RADII + 3
    assert (line.x[0], line.x[-1]) == (0, pytest.approx(1.03 * max(c.radius for c in sets[0].certificates)))
    for radius, share, low, high in list(zip(line.x, line.y, band.low, band.high, strict=True))[::40]:
        hits = sum(c.predict == 0 and c.radius >= radius - 1e-12 for c in sets[0].certificates)
        assert share == hits / 3000
        exact = stats.binomtest(hits, 3000).proportion_ci(0.9, "exact")
        assert high == pytest.approx(exact.high, abs=1e-9)
        assert low == pytest.approx(max(0, (exact.low - 0.001) / 0.999), abs=1e-9)
    assert {band.step, line.step} == {"pre"}, "the share belongs to the stretch that ends at its radius"
    assert [one.name for one in (line, others[1])] == ["ours", "two"]
    assert line.dash != others[1].dash, "lines are told apart without colour"


def test_more_lines_than_bands_are_drawn_without_any():
    drawn = layers(figures.certified_accuracy([certified(images=30, seed=i) for i in range(9)]))
    assert len(drawn) == 9
    assert all(isinstance(layer, Line) for layer in drawn)


def test_radii_are_drawn_as_shares_of_all_examples():
    found = certified()
    (line,) = layers(figures.radii([found]))
    bins = list(zip(line.x[1:-1], line.x[2:], line.y[1:-1], strict=True))
    for low, high, share in bins:
        inside = sum(c.predict == 0 and low <= c.radius < high for c in found.certificates)
        last = (
            sum(c.predict == 0 and c.radius == high for c in found.certificates) if high == bins[-1][1] else 0
        )
        assert share == pytest.approx((inside + last) / 1000)
    assert (line.y[0], line.y[-1], line.step) == (0.0, 0.0, "post")
    abstained = sum(c.predict == -1 for c in found.certificates)
    assert line.name == f"ours ({round(abstained / 10)}% abstained)"


def test_votes_are_drawn_as_the_share_that_needed_more():
    found = certified()
    line, full = layers(figures.votes([found, certified("silent", votes=False)]))
    assert (line.y[0], line.step, list(full.x)) == (1.0, "post", [100_100] * 2)
    for votes, more in list(zip(line.x, line.y, strict=True))[1::50]:
        assert more == sum(c.votes > votes for c in found.certificates) / 1000
    with pytest.raises(DataError, match="none of these tables states its votes"):
        figures.votes([certified(votes=False)])


def test_bars_of_outcomes_are_the_counted_shares_end_to_end():
    sets = [certified(), certified("two", images=400, seed=1)]
    correct, abstained, wrong = layers(figures.outcome_bars(sets))
    for row, found in enumerate(sets):
        predicted = np.array([c.predict for c in found.certificates])
        shares = [(predicted == kind).mean() for kind in (0, -1, 1)]
        ends = [bars.ends[row] for bars in (correct, abstained, wrong)]
        assert ends == pytest.approx(np.cumsum(shares))
        assert [bars.begins[row] for bars in (correct, abstained, wrong)] == pytest.approx([0, *ends[:2]])


def test_examples_that_all_abstain_are_drawn_all_the_same(tmp_path):
    rows = [Certificate(i, 0, -1, 0.0, 1.0, 100, confidence=0.999) for i in range(3)]
    found = CertifiedSet("none", rows, "", Path("x.tsv"))
    for describe in (figures.certified_accuracy, figures.radii, figures.votes, figures.outcome_bars):
        save_picture(describe([found]), tmp_path / "a.png")
        assert draw(describe([found])).data
