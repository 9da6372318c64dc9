"""The report as a browser shows it: real studies, a real Chromium; nothing asked of the network."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from chromium import Page, open_browser
from sfumato.answers.gallery import sample_gallery
from sfumato.certification.certificate import Certificate
from sfumato.reporting.report.build import ReportMaker, ReportSettings
from sfumato.reporting.report.gallery_panels import gallery_panel
from sfumato.reporting.report.page import Section, render
from sfumato.reporting.sources import CertifiedSet, Sources, read_sources
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from support import SHARED_DATA

pytestmark = pytest.mark.slow

IMAGES = 300
NARROW = 375
THEIRS = SHARED_DATA.parent / "reference" / "cohen" / "cifar10_resnet110_noise_0.50_test_sigma_0.50.tsv"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Page:
    with open_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def study(mnist, tmp_path_factory) -> Path:
    """A small study of real networks on MNIST; its folder's name is no HTML."""
    folder = tmp_path_factory.mktemp("report") / 'mnist "<b>& so on'
    design = make_design(
        {
            "data": {"name": "mnist", "data_dir": str(SHARED_DATA), "images": IMAGES},
            "model": {"epochs": 1},
            "grid": {"alpha": [0.0, 0.3, 0.6], "beta": [0.3, 0.6]},
            "votes": {"n": 60},
            "certification": {"beta": [0.6], "plan": "precision(0.2)", "images": 25},
        }
    )
    run_study(design, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def report(study, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("html") / "report.html"
    given = [str(study), *([f"Cohen et al.={THEIRS}"] if THEIRS.is_file() else [])]
    path.write_text(ReportMaker(ReportSettings(gallery=12)).html(read_sources(given)), encoding="utf-8")
    return path


@pytest.fixture
def shown(browser, report) -> Page:
    browser.prefer("light")
    browser.resize(1280)
    browser.forget()
    browser.open(report)
    return browser


def traces(page):
    """Return for each figure its key, the traces given to Plotly, and those drawn as elements."""
    return page.evaluate(
        "[...document.querySelectorAll('.figure')].map(f => [f.id, f.data.length, "
        "f.querySelectorAll('.trace, .hm').length, f.querySelector('.main-svg').clientWidth])"
    )


def test_it_opens_without_errors_or_requests_with_every_figure_drawn(shown, report):
    assert shown.problems() == []
    assert shown.requests() == []
    drawn = {key: (given, elements) for key, given, elements, _ in traces(shown)}
    assert set(drawn) == {
        "study-0-risk-figure",
        "study-0-map-figure",
        "study-0-votes-figure",
        "study-0-pairs-figure",
        "study-0-pair-noises-figure",
        *(f"study-0-pairs-{radius}-figure" for radius in range(4)),
        "certified-accuracy-figure",
        "outcomes-figure",
        "radii-figure",
        "votes-figure",
    }
    # per beta: two ends of the band, line, points, ring, star, entry of the legend; then two marks for it
    assert drawn["study-0-risk-figure"] == (2 * 7 + 2, 2 * 7 + 2)
    sets = 3 + THEIRS.is_file()
    assert drawn["certified-accuracy-figure"] == (3 * sets, 3 * sets)
    assert drawn["outcomes-figure"] == (3, 3)
    assert all(elements >= given - 1 > 0 for given, elements in drawn.values())
    assert report.stat().st_size < 8_000_000


def test_names_are_text(shown):
    assert shown.evaluate("document.querySelector('h1').textContent").startswith('Sfumato: mnist "<b>& so on')
    assert shown.evaluate("document.querySelectorAll('h1 b').length") == 0


def order(page, key):
    return [
        float(value)
        for value in page.evaluate(
            f"[...document.querySelectorAll('ul.gallery li')].map(li => li.dataset.{key})"
        )
    ]


def test_the_gallery_shows_images_and_sorts_by_radius_and_disagreement(shown):
    loaded = "[...document.querySelectorAll('.gallery img')].filter(i => i.naturalWidth === 28).length"
    assert shown.evaluate(loaded) == 24
    examples = order(shown, "example")
    assert examples == sorted(examples)
    for key in ("radius", "other", "disagreement"):
        before = order(shown, key)
        shown.evaluate(f"document.querySelector('button[data-key={key}]').click()")
        assert order(shown, key) == sorted(before, reverse=True)
        assert len(set(before)) > 3
        assert shown.evaluate("document.querySelectorAll('.sorting [aria-pressed=true]').length") == 1
        assert shown.evaluate("document.querySelector('[role=status]').textContent").startswith("Sorted: ")
    shown.evaluate("document.querySelector('button[data-key=example]').click()")
    assert order(shown, "example") == examples


def test_buttons_work_with_the_keyboard_and_the_focus_is_seen(shown):
    shown.evaluate("document.querySelector('button[data-key=disagreement]').focus()")
    shown.press("Enter")
    disagreement = order(shown, "disagreement")
    assert disagreement == sorted(disagreement, reverse=True)
    shown.press("Tab")
    shown.press("Tab")
    assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    shown.evaluate("document.body.focus()")
    reachable = shown.evaluate("[...document.querySelectorAll('.scroll, pre')].every(e => e.tabIndex === 0)")
    assert reachable


LINE = (
    "getComputedStyle(document.querySelector('#study-0-risk-figure .js-line[style*=\"width: 2px\"]')).stroke"
)


def colours(page):
    body = "getComputedStyle(document.body)"
    return page.evaluate(f"[{body}.backgroundColor, {body}.color, {LINE}]")


def luminance(colour):
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_dark_mode_follows_the_system_and_the_button(shown):
    paper, ink, line = colours(shown)
    assert luminance(paper) > 200 > 80 > luminance(ink)
    shown.prefer("dark")
    shown.wait(f"{LINE} !== {json.dumps(line)}")
    paper, ink, dark_line = colours(shown)
    assert luminance(paper) < 60 < 200 < luminance(ink)
    assert luminance(dark_line) > luminance(line)
    shown.evaluate("document.getElementById('theme').click()")
    shown.wait(f"{LINE} === {json.dumps(line)}")
    assert luminance(colours(shown)[0]) > 200
    assert shown.evaluate("document.getElementById('theme').getAttribute('aria-pressed')") == "false"
    assert shown.problems() == []


def test_a_phone_shows_it_without_sideways_scrolling(shown, report):
    shown.resize(NARROW, 812)
    shown.open(report)
    assert shown.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [NARROW, NARROW]
    assert all(0 < width <= NARROW for _, _, _, width in traces(shown))
    for opened in ("document.querySelectorAll('details').forEach(d => d.open = true)", "scrollTo(500, 0)"):
        shown.evaluate(opened)
    assert shown.evaluate("[scrollX, document.documentElement.scrollWidth]") == [0, NARROW]
    assert shown.problems() == []


def test_a_window_made_narrow_afterwards_fits_too(shown):
    shown.resize(NARROW, 812)
    shown.wait(f"[...document.querySelectorAll('.figure .main-svg')].every(s => s.clientWidth <= {NARROW})")
    assert shown.evaluate("document.documentElement.scrollWidth") == NARROW


def test_every_image_figure_table_and_button_has_a_name(shown):
    unnamed = shown.evaluate(
        "document.querySelectorAll('img:not([alt]), [role=figure]:not([aria-labelledby])').length"
        " + document.querySelectorAll('table:not(:has(caption))').length"
        " + [...document.querySelectorAll('button')].filter("
        "b => !(b.textContent.trim() || b.getAttribute('aria-label') || b.title)).length"
    )
    assert unnamed == 0
    levels = shown.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert shown.evaluate("document.documentElement.lang") == "en"
    tree = shown.call("Accessibility.getFullAXTree")["nodes"]
    images = [node for node in tree if node.get("role", {}).get("value") in ("image", "img")]
    assert images
    assert all(node["name"]["value"] for node in images if not node.get("ignored"))
    figures = [
        node for node in tree if node.get("role", {}).get("value") == "figure" and node["name"]["value"]
    ]
    assert len(figures) >= 7


EVIL = "<script>alert(1)</script>"


def test_a_class_that_is_a_script_and_a_model_with_quotes_come_out_as_text(browser, study, tmp_path):
    sources = read_sources([str(study)])
    results = sources.studies[0].results
    design = make_design({"data": {"name": "mnist", "data_dir": str(SHARED_DATA), "images": IMAGES}})
    sample = {"beta": 0.6, "alphas": (0.0, 0.3), "count": 4}
    gallery = replace(sample_gallery(study, design, results, **sample), class_names=(EVIL,) * 10)
    rows = [Certificate(i, 0, 0, 0.1 * i, 1.0, 100, confidence=0.999) for i in range(9)]
    name = f'the "best" model\'s <img src=x onerror=alert(2)> {EVIL}'
    maker = ReportMaker(ReportSettings(title=name))
    table = tmp_path / "t.tsv"
    table.write_text("")
    html = maker.html(Sources((), (CertifiedSet(name, rows, EVIL, table, {"model": name}),), ()))
    panel = render(name, name, [Section("images", EVIL, (gallery_panel(gallery, "g"),))])
    for number, content in enumerate((html, panel)):
        path = tmp_path / f"{number}.html"
        path.write_text(content, encoding="utf-8")
        browser.resize(1280)
        browser.open(path)
        assert browser.evaluate("document.title") == name
        assert browser.evaluate("document.querySelector('h1').textContent") == name
        assert browser.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        assert browser.evaluate("document.querySelectorAll('script:not([type])').length") == 2
    titles = browser.evaluate("[...document.querySelectorAll('.gallery h4')].map(h => h.textContent)")
    assert len(titles) == 4
    assert all(title.endswith(f"class {EVIL}") for title in titles)
    browser.open(tmp_path / "0.html")
    legend = browser.evaluate(
        "[...document.querySelectorAll('#radii-figure .legendtext')].map(t => t.textContent)"
    )
    assert legend == [f"{name} (0% abstained)"]
    assert browser.problems() == []
    assert browser.requests() == []
