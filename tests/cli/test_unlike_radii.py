"""Tables whose radii are measured in different ways: every command refuses or separates them."""

import json
import re

import pytest

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates

PIXELS, OWN = "pixels in [0, 1]", "the data's own unit"
SCALED = {"noise": "anisotropic", "norm": "L2 in scales"}


def table(path, alpha, beta, **settings):
    rows = [
        Certificate(i, 0, 0, 0.5 + beta * i / 100, 1.0, 1000, confidence=0.999, plan="fixed(100,900)")
        for i in range(20)
    ]
    Certificates(rows).to_tsv(path)
    about = {"model": path.stem, "alpha": alpha, "beta": beta, "data": "digits", "unit": PIXELS}
    path.with_name(f"{path.name}.json").write_text(json.dumps(about | settings))
    return path


@pytest.fixture(
    params=[
        ({}, {"noise": "uniform", "norm": "L1"}, "L2 radii and .* L1 radii, which cannot be compared"),
        ({}, {"unit": OWN}, "has radii in 'pixels in .0, 1.' and .* in 'the data's own unit'"),
        (SCALED | {"scales": [1.0]}, SCALED | {"scales": [2.0]}, "L2 in scales radii of different scales"),
    ],
    ids=["norms", "units", "scales"],
)
def unlike(request, tmp_path):
    one, other, words = request.param
    return table(tmp_path / "one.tsv", 0.4, 0.4, **one), table(tmp_path / "two.tsv", 0.4, 0.5, **other), words


@pytest.mark.parametrize(
    "command",
    [
        ("study", "best", "--radius", "0.5"),
        ("table", "certified"),
        ("plot", "certified", "--out", "OUT"),
        ("plot", "radii", "--out", "OUT"),
        ("plot", "pairs", "--radius", "0.5", "--out", "OUT"),
        ("plot", "radius", "--radius", "0.5", "--out", "OUT"),
    ],
    ids=" ".join,
)
def test_a_comparison_of_unlike_radii_is_refused(sfumato, unlike, command, tmp_path):
    one, other, words = unlike
    arguments = [str(tmp_path / "out.svg") if part == "OUT" else part for part in command]
    code, shown, error = sfumato(*arguments, one, other)
    assert code == 2
    assert re.search(words, " ".join(error.split()))
    assert shown == ""
    assert not (tmp_path / "out.svg").exists()


def test_a_report_keeps_unlike_radii_apart(sfumato, unlike, tmp_path):
    one, other, _ = unlike
    page = tmp_path / "report.html"
    code, _, error = sfumato("report", one, other, "--out", page)
    assert code == 0, error
    html = page.read_text()
    for index in (0, 1):
        assert html.count(f'<article id="certified-accuracy-{index}">') == 1
        assert html.count(f'<article id="radii-{index}">') == 1
    assert "Noises for a radius" not in html
    titles = {line.split("</h3>")[0] for line in html.split('-title">Certified accuracy against')[1:]}
    assert len(titles) == 2, "what tells the two apart is said"


def test_the_outcomes_of_several_units_name_them(sfumato, tmp_path):
    one, other = table(tmp_path / "a.tsv", 0.4, 0.4), table(tmp_path / "b.tsv", 0.4, 0.5, unit=OWN)
    code, shown, error = sfumato("table", "outcomes", one, other, "--format", "csv")
    assert code == 0, error
    assert PIXELS in shown
    assert OWN in shown


def test_tables_of_one_other_norm_are_compared(sfumato, tmp_path):
    uniform = {"noise": "uniform", "norm": "L1"}
    one = table(tmp_path / "one.tsv", 0.4, 0.4, **uniform)
    other = table(tmp_path / "two.tsv", 0.4, 0.5, noise="laplace", norm="L1")
    code, shown, error = sfumato("study", "best", one, other, "--radius", "0.5")
    assert code == 0, error
    assert "0.5" in shown
