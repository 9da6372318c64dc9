"""Both drawers put the numbers of a description on their axes, and show every text as it is."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from sfumato.errors import OutputError, SettingError
from sfumato.reporting import interactive, static
from sfumato.reporting.picture import (
    Axis,
    Band,
    Bars,
    HeatMap,
    Line,
    Outline,
    Panel,
    Picture,
)
from sfumato.reporting.style import COLOURS, INK, line_colours

BLUE, RED = COLOURS[0], COLOURS[1]
EVIL = "_<b>$a_b$</b> & $5, α*"
STEPS = Line([1.0, 2.0, 4.0], [0.5, 0.25, 0.125], BLUE, EVIL, dash="dash", step="pre", hover=["a", EVIL, "c"])
POINTS = Line([1.5, 3.0], [0.2, 0.4], RED, "points", width=0, marker="star", size=12, group="g")
RINGS = Line([2.0], [0.3], RED, width=0, marker="circle", size=9, hollow=True)
ENTRY = Line((), (), INK, "entry", width=0, marker="square")
BAND = Band([1.0, 2.0, 4.0], [0.1, 0.2, 0.1], [0.6, 0.5, 0.3], BLUE, step="pre", group="g")
RISK = Panel(
    Axis("α (<i>)", (1.0, 4.0), log=True),
    Axis("share", (0.0, 0.8), percent=True),
    [BAND, STEPS, POINTS, RINGS, ENTRY],
)
RIDGE = Line([0, 4], [0, 3], RED, "α = β", halo=True)
VALUES = np.array([[0.1, 0.2, np.nan], [0.4, 0.02, 0.05]])
HEAT = HeatMap(
    [0, 1, 2, 4], [0, 1, 3], VALUES, scale="risk", log=True, hover=[["a", "b", ""], ["c", "d", "e"]]
)
MAP = Panel(
    Axis("x", grid=False),
    Axis("y"),
    [
        HEAT,
        Outline([0.5, 1.5, 3.0], [0.5, 2.0], np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])),
        RIDGE,
    ],
    square=True,
)
BARS = Panel(
    Axis("share", (0.0, 1.0), percent=True),
    Axis("", rows=["one", "a" * 30 + "z"], grid=False),
    [
        Bars([0, 1], [0.0, 0.0], [0.75, 0.5], BLUE, "right", ["75%", ""], "#ffffff", ["h", EVIL]),
        Bars([0, 1], [0.75, 0.5], [1.0, 0.9], RED, "wrong"),
    ],
)
PANELS = {"risk": RISK, "map": MAP, "bars": BARS}


def on_axes(panel):
    return static.draw_on(Figure().subplots(), panel)


def test_lines_bands_and_marks_have_their_numbers_in_files():
    axes = on_axes(RISK)
    steps, points, rings, entry = axes.get_lines()
    for drawn, line in ((steps, STEPS), (points, POINTS), (rings, RINGS), (entry, ENTRY)):
        assert list(drawn.get_xdata()) == list(line.x)
        assert list(drawn.get_ydata()) == list(line.y)
        assert to_hex(drawn.get_color()) == line.colour.light.lower()
    assert (steps.get_drawstyle(), points.get_linewidth(), points.get_marker()) == ("steps-pre", 0, "*")
    assert (rings.get_markerfacecolor(), entry.get_marker()) == ("none", "s")
    (band,) = axes.collections
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    assert {(1.0, 0.1), (2.0, 0.2), (4.0, 0.3), (2.0, 0.5), (1.0, 0.6)} <= corners
    assert (2.0, 0.3) in corners, "the band holds up to its x, as the line does"
    assert (axes.get_xlim(), axes.get_ylim()) == ((1.0, 4.0), (0.0, 0.8))
    assert (axes.get_xscale(), axes.yaxis.get_major_formatter()(0.5)) == ("log", "50%")


def test_lines_bands_and_marks_have_their_numbers_in_the_report():
    low, high, steps, points, rings, entry = interactive.draw(Picture(((RISK,),))).data
    for drawn, line in ((steps, STEPS), (points, POINTS), (rings, RINGS)):
        assert (list(drawn.x), list(drawn.y)) == (list(line.x), list(line.y))
    assert (list(low.y), list(high.y), high.fill) == (BAND.low, BAND.high, "tonexty")
    assert {low.x, steps.x} == {(1.0, 2.0, 4.0)}
    assert {low.line.shape, high.line.shape, steps.line.shape} == {"vh"}
    assert (steps.mode, points.mode, points.marker.symbol) == ("lines", "markers", "star")
    assert (rings.marker.symbol, entry.x, entry.showlegend) == ("circle-open", (None,), True)
    assert (points.legendgroup, low.legendgroup, low.showlegend) == ("g", "g", False)
    layout = interactive.draw(Picture(((RISK,),))).layout
    assert (layout.xaxis.type, layout.xaxis.range[1]) == ("log", pytest.approx(np.log10(4.0)))
    assert layout.xaxis.tickvals == (1.0, 1.5, 2.0, 3.0, 4.0)
    assert (layout.yaxis.range, layout.yaxis.tickformat) == ((0.0, 0.8), ".0%")


def test_maps_have_every_value_in_its_cell():
    axes = on_axes(MAP)
    mesh = axes.collections[0]
    assert np.array_equal(mesh.get_array().filled(np.nan), VALUES, equal_nan=True)
    assert np.array_equal(mesh.get_coordinates()[0, :, 0], HEAT.x)
    assert np.array_equal(mesh.get_coordinates()[:, 0, 1], HEAT.y)
    (outline,) = axes.collections[1].get_paths()
    assert np.allclose(outline.vertices[:, 0], 1.0), "half-way between 0 and 1"
    heat, rim, line = interactive.draw(Picture(((replace(MAP, layers=[HEAT, RIDGE]),),))).data
    assert np.allclose(heat.z, np.log10(VALUES), equal_nan=True)
    assert (list(heat.x), list(heat.y)) == (HEAT.x, HEAT.y)
    assert heat.colorbar.ticktext == ("0.02", "0.05", "0.1", "0.2")
    assert (rim.x, rim.showlegend) == (line.x, False)


def test_bars_begin_and_end_where_they_should_from_the_top_down():
    axes = on_axes(BARS)
    drawn = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert np.allclose(drawn, [(0, 0.75), (0, 0.5), (0.75, 1.0), (0.5, 0.9)])
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in axes.patches] == [0, 1, 0, 1]
    assert axes.get_ylim() == (1.5, -0.5)
    figure = interactive.draw(Picture(((BARS,),), tall=1.5))
    assert [list(np.add(bar.base, bar.x)) for bar in figure.data] == [[0.75, 0.5], [1.0, 0.9]]
    assert (figure.layout.yaxis.range, figure.layout.height) == ((1.5, -0.5), 158)
    assert figure.layout.yaxis.ticktext == ("one", "aaaaaaaaaaa…aaaaaaaaaaaz")


def test_names_are_text():
    _, labels = on_axes(RISK).get_legend_handles_labels()
    assert labels == [r" _<b>\$a_b\$</b> & \$5, $\alpha^*$", "points", "entry"]
    figure = static.draw(Picture(((RISK,),)), (6.4, 4.0))
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == labels
    found = interactive.draw(Picture(((RISK,),)))
    assert found.data[2].name == found.data[2].text[1] == "_&lt;b&gt;$a_b$&lt;/b&gt; &amp; $5, α*"
    assert found.layout.xaxis.title.text == "α (&lt;i&gt;)"


@pytest.mark.parametrize("count", [1, 7, 8, 30])
def test_every_colour_of_the_report_has_another_for_dark_pages(count):
    layers = [
        layer
        for c in line_colours(count)
        for layer in (Line([0, 1], [0, 1], c), Band([0, 1], [0, 0], [1, 1], c))
    ]
    figure = interactive.draw(Picture(((Panel(Axis("x"), Axis("y"), layers),),)))
    dark = figure.layout.meta["dark"]
    lines = {trace.line.color for trace in figure.data if trace.line.width}
    tints = {trace.fillcolor for trace in figure.data if trace.fill}
    assert len(lines) == len(tints) == count
    assert all(dark[colour] != colour for colour in lines | tints)


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_every_kind_of_layer_is_written_in_every_format(name, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    static.save_picture(Picture(((PANELS[name],),)), path, width=3.25)
    content = path.read_bytes()
    assert len(content) > 4000
    if suffix == "png":
        with Image.open(path) as image:
            assert image.width == round(3.25 * 300)
            assert len(image.convert("RGB").getcolors(1 << 20)) > 30
    if suffix == "pdf":
        assert b"/Type3" not in content
        assert b"/CIDFontType2" in content or b"/TrueType" in content


def test_panels_share_axes_and_one_legend():
    other = Panel(
        Axis("x"), Axis("share"), [Line([0, 9], [0.0, 7.0], RED, "points"), Line([0], [0], RED, "new")]
    )
    one = Panel(Axis("x"), Axis("share"), [Line([0, 1], [0.0, 1.0], RED, "points")], "title")
    figure = static.draw(Picture(((one, other),), "both"), (6.4, 4.0))
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[1] > 7
    assert (left.get_ylabel(), right.get_ylabel(), figure.get_suptitle()) == ("share", "", "both")
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["points", "new"]
    narrow = static.draw(Picture(((one, other),), legend_below=True), (6.4, 4.0))
    assert [len(legend.get_texts()) for legend in narrow.legends] == [2]


def test_a_mistake_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    picture = Picture(((RISK,),))
    with pytest.raises(SettingError, match=r"must end in one of \.png, \.svg, \.pdf"):
        static.save_picture(picture, tmp_path / "a.jpg")
    with pytest.raises(OutputError, match="cannot be written"):
        static.save_picture(picture, tmp_path / "file" / "a.png")
    with pytest.raises(SettingError, match="height must be inches from 1 to 40"):
        static.save_picture(picture, tmp_path / "a.png", width=3.25, height=0.5)
