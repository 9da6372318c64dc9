"""The page holds all it shows, lets nothing of the data become an element or a script, asks for nothing."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from sfumato.certification.certificate import Certificate
from sfumato.reporting.report.build import ReportMaker, ReportSettings
from sfumato.reporting.report.page import script_json
from sfumato.reporting.report.provenance_panel import certify_command
from sfumato.reporting.sources import CertifiedSet, Sources, read_sources
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
ROWS = [Certificate(i, 0, 0, 0.1 * i, 1.0, 100 + i, confidence=0.999) for i in range(20)]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t0.378\t1\t15.4\n")
    return path


def made(*sets, **settings):
    return ReportMaker(ReportSettings(**settings)).html(Sources((), sets, ()))


def evil_set(table):
    settings = {"model": EVIL, "data": EVIL, "beta": 0.5, "plan": EVIL, "examples": {"count": 3, "last": 40}}
    return CertifiedSet(EVIL, ROWS, EVIL, table, settings)


def own_scripts(html):
    """Return the scripts that run: all but data."""
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL)


def unpacked(html):
    """Return the scripts that the page unpacks and then runs."""
    packed = re.findall(r'<script type="text/plain" id="plotly-packed">(.*?)</script>', html)
    return [gzip.decompress(base64.b64decode(one)).decode() for one in packed]


def test_names_of_the_data_never_become_elements(table):
    html = made(evil_set(table), title=EVIL)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert len(own_scripts(html)) == 1


def test_data_in_scripts_is_read_back_as_it_was_and_cannot_end_them(table):
    html = made(evil_set(table))
    blocks = re.findall(r'<script type="application/json" data-figure="[a-z-]+">(.*?)</script>', html)
    assert len(blocks) == 4
    for block in blocks:
        assert not set("<>&") & set(block)
        json.loads(block)
    names = {trace.get("name") for block in blocks for trace in json.loads(block)["data"]}
    assert any(name and name.startswith("&lt;script&gt;") for name in names), "Plotly reads tags in names"
    assert json.loads(script_json({"a": EVIL + "\u2028"})) == {"a": EVIL + "\u2028"}


def test_the_policy_allows_these_scripts_by_their_hash_and_nothing_else(table):
    html = made(evil_set(table))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html).group(1)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in [*own_scripts(html), *unpacked(html)]
    }
    assert len(hashes) == 2
    assert set(rules["script-src"].split()) == hashes
    assert rules["default-src"] == "'none'"
    assert "http" not in policy.replace("http-equiv", "")
    assert html.index("Content-Security-Policy") < html.index("<script")


def test_the_page_loads_nothing(table):
    html = made(evil_set(table))
    for script in own_scripts(html):
        html = html.replace(script, "")
    assert not re.search(r'(src|href|srcset|action)="(?!#|data:)', html)
    assert "@import" not in html
    assert "url(" not in html


def test_every_figure_has_a_name_and_the_same_numbers_as_a_table(table):
    html = made(evil_set(table))
    figures = re.findall(
        r'<div class="figure" id="([a-z-]+)-figure" role="figure" aria-labelledby="([a-z-]+)"', html
    )
    assert len(figures) == 4
    for key, label in figures:
        assert f'id="{label}"' in html
        article = html[html.index(f'<article id="{key}">') :]
        assert "<table>" in article[: article.index("</article>")]


def test_only_a_page_of_something_unfinished_reloads(table):
    sources = Sources((), (evil_set(table),), ())
    maker = ReportMaker(ReportSettings())
    assert 'http-equiv="refresh"' not in maker.html(sources)
    assert 'data-reload="0"' in maker.html(sources)
    html = maker.html(sources, reload_seconds=15)
    assert '<noscript><meta http-equiv="refresh" content="15"></noscript>' in html
    assert 'data-reload="15"' in html
    assert 'id="pause"' in html, "who reads slowly can stop it"


def test_the_command_of_a_table_is_the_one_that_makes_it_again():
    settings = {
        "model": "my model.safetensors",
        "data": "mnist",
        "beta": 0.5,
        "plan": "curve(0.25,0.5)",
        "confidence": 0.999,
        "seed": 3,
        "examples": {"count": 11, "first": 0, "last": 200},
        "label_known": True,
        "precision": "bf16",
    }
    assert certify_command(settings, "out.tsv") == (
        "sfumato certify --model 'my model.safetensors' --data mnist --beta 0.5 --plan 'curve(0.25,0.5)' "
        "--confidence 0.999 --seed 3 --first 11 --skip 20 --label-known --precision bf16 --out out.tsv"
    )


def test_another_tools_table_is_said_to_be_silent_and_its_file_is_named_by_checksum(table):
    html = ReportMaker(ReportSettings()).html(read_sources([str(table)]))
    assert "A table of another tool" in html
    assert hashlib.sha256(table.read_bytes()).hexdigest() in html
    assert ">Votes spent<" not in html


def test_a_large_report_is_counted_over_all_and_drawn_from_few_numbers(table):
    rng = np.random.default_rng(0)
    rows = [
        Certificate(i, 0, 0, round(float(r), 6), 1.0, int(v), confidence=0.999)
        for i, (r, v) in enumerate(zip(rng.random(20_000), rng.integers(100, 99_000, 20_000), strict=True))
    ]
    small = len(made(CertifiedSet("a", ROWS, "", table)))
    large = made(CertifiedSet("a", rows, "", table))
    assert len(large) - small < 100_000
    assert "20,000 examples" in large


def test_the_library_is_there_once(table):
    html = made(evil_set(table))
    assert html.count("plotly.js (") == 0, "not unpacked"
    (library,) = unpacked(html)
    assert library.startswith("/**\n* plotly.js (cartesian - minified) v")
    assert "MIT license" in library[:200]


def test_a_report_of_three_cells_with_images_and_certificates_is_small(tmp_path):
    design = make_design(
        {
            "data": {"images": 100},
            "model": {"epochs": 1},
            "grid": {"alpha": [0.0, 0.2, 0.4], "beta": [0.4]},
            "votes": {"n": 20},
            "certification": {"beta": [0.4], "radii": [0.1, 0.2], "images": 20},
        }
    )
    run_study(design, tmp_path / "study", device="cpu")
    html = ReportMaker(ReportSettings()).html(read_sources([str(tmp_path / "study")]))
    assert html.count("<img ") >= 24
    assert len(html.encode()) < 1_500_000


def test_certified_accuracy_comes_first_and_the_best_pairs_of_tables_are_drawn(table):
    sets = [
        CertifiedSet(f"{alpha:g},0.5", rows, "", table)
        for alpha, rows in ((0.5, ROWS), (1.0, [replace(row, radius=2 * row.radius) for row in ROWS]))
    ]
    html = made(*sets, radii=(0.5, 1.5))
    places = [html.index(f'<section id="{key}"') for key in ("certificates", "pairs", "provenance")]
    assert places == sorted(places)
    assert 'id="tables-pairs-1"' in html
    assert 'id="tables-pairs-2"' not in html
    # 12 of 20 have twice their radius, at least 1.5: from 0.8 on
    assert "at L2 radius 1.5 1,0.5 certifies 0.6000" in html
