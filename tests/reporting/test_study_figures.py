"""The figures of a study: what is drawn is what was answered."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from sfumato.answers.best import answer_study
from sfumato.answers.published import PublishedResults
from sfumato.errors import OutputError, SettingError
from sfumato.reporting import study_figures
from sfumato.reporting.study_figures import draw_best_alpha, draw_study_risk
from sfumato.reporting.style import require_figure_path
from sfumato.studies.results import CellResult, StudyResults

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
PUBLISHED = PublishedResults(
    "theirs", 1000, {(a, 0.5): n for a, n in zip(ALPHAS, (90, 60, 30, 20, 25, 40), strict=True)}
)


def study(alphas=ALPHAS, betas=(0.2, 0.5)):
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
            100 * ones,
            50 * ones,
            40 * ones,
        )
        for alpha in alphas
        for beta in betas
    }
    return answer_study(StudyResults("made", "pixels in [0, 1]", 100, cells, {}), draws=50)


@pytest.fixture
def drawn(monkeypatch):
    """Keep the figures open that would be saved, to look at what they hold."""
    figures = []
    monkeypatch.setattr(study_figures, "save_figure", lambda figure, path: figures.append(figure))
    yield figures
    plt.close("all")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_both_figures_are_written_in_every_format(suffix, tmp_path):
    answer = study()
    draw_study_risk(answer, tmp_path / f"risk.{suffix}", PUBLISHED)
    draw_best_alpha(answer, tmp_path / f"best.{suffix}", PUBLISHED)
    for name in ("risk", "best"):
        assert (tmp_path / f"{name}.{suffix}").stat().st_size > 4000
    if suffix == "png":
        with Image.open(tmp_path / "risk.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 20)) > 50


def marked(axes, marker):
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.get_lines()
        if line.get_marker() == marker and len(line.get_xdata()) == 1
    ]


def test_stars_are_at_alpha_star_and_rings_at_alpha_nearest_beta(drawn, tmp_path):
    answer = study()
    draw_study_risk(answer, tmp_path / "r.png")
    (axes,) = drawn[0].axes
    assert axes.get_yscale() == "log"
    assert marked(axes, "*") == [(a.curve.alpha, a.curve.lowest) for a in answer.betas]
    assert marked(axes, "o") == [(a.gain.alpha, a.gain.risk) for a in answer.betas]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label for label in labels if "beta$ =" in label] == [r"$\beta$ = 0.5", r"$\beta$ = 0.2"]


def test_published_results_have_a_panel_on_the_same_axes(drawn, tmp_path):
    draw_study_risk(study(), tmp_path / "r.png", PUBLISHED)
    ours, theirs = drawn[0].axes
    assert ours.get_ylim() == theirs.get_ylim()
    assert "theirs, 1,000 test images" in theirs.get_title(loc="left")
    heights = {round(float(y), 6) for line in theirs.get_lines() for y in line.get_ydata()}
    assert {0.09, 0.06, 0.03, 0.02, 0.025, 0.04} <= heights


def test_the_set_of_each_beta_is_drawn_with_its_members(drawn, tmp_path):
    answer = study()
    draw_best_alpha(answer, tmp_path / "b.png", PUBLISHED)
    (axes,) = drawn[0].axes
    dots = {
        float(line.get_xdata()[0]): tuple(line.get_ydata())
        for line in axes.get_lines()
        if line.get_marker() == "o" and len(line.get_xdata())
    }
    assert dots == {a.beta: a.exact_set for a in answer.betas}
    assert marked(axes, "*") == [(a.beta, a.alpha) for a in answer.betas]
    (square,) = marked(axes, "s")
    assert square[1] == 0.3


def test_a_study_without_curves_or_errors_is_drawn_all_the_same(drawn, tmp_path):
    answer = study(alphas=(0.1, 0.2))
    draw_study_risk(answer, tmp_path / "r.png")
    draw_best_alpha(answer, tmp_path / "b.png")
    risk, best = (figure.axes[0] for figure in drawn)
    assert marked(risk, "*") == [(a.alpha, a.best.risk) for a in answer.betas]
    assert not any("smoothed" in text.get_text() for text in best.get_legend().get_texts())


def test_more_betas_than_colours_are_all_told_apart(drawn, tmp_path):
    betas = tuple(round(0.1 * k, 1) for k in range(10))
    draw_study_risk(study(alphas=(0.1, 0.3), betas=betas), tmp_path / "r.png")
    handles = drawn[0].axes[0].get_legend().legend_handles[: len(betas)]
    assert len({handle.get_color() for handle in handles}) == len(betas)


def test_other_suffixes_and_unwritable_files_are_refused(tmp_path):
    answer = study()
    with pytest.raises(SettingError, match=r"must end in one of \.png, \.svg, \.pdf"):
        require_figure_path(tmp_path / "a.jpg")
    for draw in (draw_study_risk, draw_best_alpha):
        with pytest.raises(SettingError, match="must end in one of"):
            draw(answer, tmp_path / "a")
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot be written"):
            draw(answer, tmp_path / "file" / "a.png")
