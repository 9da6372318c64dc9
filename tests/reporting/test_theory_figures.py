"""Figures of the theory are written and show what they should."""

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import OutputError
from sfumato.reporting import theory_figures as figures
from sfumato.theory.figure4 import figure4_published, significant_dips
from sfumato.theory.intervals import Intervals, deploy, threshold
from sfumato.theory.phase import phase_diagram

ALPHAS = np.linspace(0.0, 1.0, 11)
RISK = np.abs(ALPHAS[:, None] - np.array([0.4, 2.0])) + 0.1
LABELS = {"title": "t", "measure": "risk"}


def colours(path):
    with Image.open(path) as image:
        return len(image.convert("RGB").getcolors(1 << 22))


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_curves_are_written_in_every_format(tmp_path, suffix):
    path = tmp_path / f"curves.{suffix}"
    figures.draw_curves(ALPHAS, (0.4, 2.0), RISK, path=path, best_possible=0.1, **LABELS)
    assert path.stat().st_size > 5000


def test_an_unwritable_figure_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        figures.draw_curves(ALPHAS, (0.4, 2.0), RISK, path=tmp_path / "file" / "a.png", **LABELS)


@pytest.mark.parametrize("gap", [0.5, 2.0])
def test_two_steps_are_drawn_also_where_nothing_is_left(tmp_path, gap):
    region = Intervals((-gap / 2 - 1, gap / 2), (-gap / 2, gap / 2 + 1))
    alone = threshold(region, 1.36)
    figures.draw_two_steps(region, alone, deploy(region, 0.38, 1.36), tmp_path / "two.png")
    assert colours(tmp_path / "two.png") > 50


def test_a_phase_diagram_without_any_benefit_can_be_drawn(tmp_path):
    for name, gaps in (("some", [0.3, 0.6, 1.1]), ("none", [1.1, 1.5])):
        diagram = phase_diagram(gaps, [0.2, 0.4], [1.2, 1.36])
        figures.draw_phase(diagram, "two intervals", tmp_path / f"{name}.png")
    assert colours(tmp_path / "some.png") > 50
    assert colours(tmp_path / "none.png") > 50


def test_regions_of_the_plane_are_drawn_side_by_side(tmp_path):
    truth = np.zeros((20, 20))
    truth[5:12, 5:12] = 1.0
    figures.draw_field({"one": truth, "two": 1 - truth}, truth, 10.0, "t", tmp_path / "field.png")
    with Image.open(tmp_path / "field.png") as image:
        assert image.width > 1.5 * image.height


def test_both_studies_are_drawn_one_above_the_other(tmp_path):
    study = figure4_published(draws=2, betas=(8, 14), alphas=(0, 5, 10))
    dips = significant_dips(study)
    heights = []
    for count in (1, 2):
        figures.draw_figure4([study] * count, [dips] * count, tmp_path / "4.png")
        with Image.open(tmp_path / "4.png") as image:
            heights.append(image.height)
    assert heights[1] > 1.5 * heights[0]
