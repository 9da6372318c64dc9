import pytest
from PIL import Image

from sfumato.certification.certificate import Certificate
from sfumato.errors import OutputError
from sfumato.reporting.figures import draw_certified_accuracy, draw_risk
from sfumato.smoothing.risk import Risk

RISKS = {(a, b): Risk(b, int(10 * abs(a - b)), 100, 100) for a in (0.0, 0.1, 0.2) for b in (0.1, 0.2)}
ROWS = [Certificate(i, 0, 0, 0.1 * i, 1.0) for i in range(10)]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_figures_are_written(tmp_path, suffix):
    draw_risk(RISKS, "pixels in [0, 1]", "title", tmp_path / f"risk.{suffix}")
    draw_certified_accuracy({"one": ROWS}, "pixels in [0, 1]", "title", tmp_path / f"acc.{suffix}")
    if suffix == "png":
        with Image.open(tmp_path / "risk.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 20)) > 50


def test_certificates_that_all_abstain_can_be_drawn(tmp_path):
    draw_certified_accuracy({"none": [Certificate(0, 0, -1, 0.0, 1.0)]}, "pixels", "t", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_an_unwritable_figure_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        draw_risk(RISKS, "pixels", "t", tmp_path / "file" / "a.png")
