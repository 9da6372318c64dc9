"""What sets of certificates say, against counting by hand; the figures draw these numbers."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from scipy import stats

from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError, OutputError, SettingError
from sfumato.reporting import certified_figures
from sfumato.reporting.answer_tables import certified_table, outcomes_table, votes_table
from sfumato.reporting.certified_sets import MOST_RADII, curve_of, outcomes, radius_shares
from sfumato.reporting.sources import CertifiedSet

DRAW = (
    certified_figures.draw_certified_sets,
    certified_figures.draw_radii,
    certified_figures.draw_votes,
    certified_figures.draw_outcomes,
)


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


def test_the_curve_has_the_right_share_and_bounds_at_every_radius_it_is_drawn_at():
    found = certified(images=3000)
    points = curve_of(found, 9.0, confidence=0.95)
    assert len(points) <= MOST_RADII + 3
    assert points[0].radius == 0
    assert points[-1].radius == 9.0
    for point in points[:: len(points) // 7]:
        hits = sum(c.predict == 0 and c.radius >= point.radius - 1e-12 for c in found.certificates)
        assert point.certified == hits
        exact = stats.binomtest(hits, 3000).proportion_ci(0.95, "exact")
        assert point.high == pytest.approx(exact.high, abs=1e-9)
        assert point.low == pytest.approx(max(0, (exact.low - 0.001) / 0.999), abs=1e-9)


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


def test_the_bins_of_radii_add_up_to_the_share_of_correct_examples():
    found = certified()
    largest = max(c.radius for c in found.certificates)
    shares = radius_shares(found, np.linspace(0, largest, 21))
    assert shares.sum() == pytest.approx(outcomes(found).correct / 1000)


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


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_every_figure_is_written_in_every_format(draw, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    draw([certified(), certified("two", seed=1)], path, width=3.25)
    assert path.stat().st_size > 4000
    if suffix == "png":
        with Image.open(path) as image:
            assert image.width == round(3.25 * 300)
            assert len(image.convert("RGB").getcolors(1 << 20)) > 30


def test_pdf_embeds_truetype_and_no_type_3_fonts(tmp_path):
    certified_figures.draw_certified_sets([certified()], tmp_path / "a.pdf", width=3.25)
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in content
    assert b"/CIDFontType2" in content or b"/TrueType" in content


def test_lines_are_told_apart_without_colour(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(certified_figures, "save_figure", lambda figure, path: figures.append(figure))
    certified_figures.draw_certified_sets([certified(str(i), seed=i) for i in range(4)], tmp_path / "a.png")
    styles = {line.get_linestyle() for line in figures[0].axes[0].get_lines()}
    widths = {str(line._unscaled_dash_pattern) for line in figures[0].axes[0].get_lines()}
    assert len(styles | widths) >= 4
    plt.close("all")


def test_mistakes_are_refused_in_a_line(tmp_path):
    for draw in DRAW:
        with pytest.raises(SettingError, match="must end in one of"):
            draw([certified()], tmp_path / "a.jpg")
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot be written"):
            draw([certified()], tmp_path / "file" / "a.png")
    with pytest.raises(DataError, match="none of these tables says its votes"):
        certified_figures.draw_votes([certified(votes=False)], tmp_path / "a.png")


def test_examples_that_all_abstain_are_drawn_all_the_same(tmp_path):
    rows = [Certificate(i, 0, -1, 0.0, 1.0, 100, confidence=0.999) for i in range(3)]
    found = CertifiedSet("none", rows, "", Path("x.tsv"))
    for number, draw in enumerate(DRAW):
        draw([found], tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 1000
