"""Tables in other programs' forms: read back, they say the same."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from sfumato.errors import SettingError
from sfumato.reporting.tables import FORMATS, Table, as_csv, as_html, as_latex, as_markdown, formatter

NASTY = Table.of(
    "Risk in % & more_or_less",
    ["set", "50 %", "a|b"],
    [["<script>alert(1)</script>", "0.5 [0.4, 0.6]", 'say "so"'], ["x_1 $y$ \\z", "[0.1]", "#~^{}"]],
)


def test_csv_is_read_back_as_it_was():
    assert list(csv.reader(io.StringIO(as_csv(NASTY)))) == [list(NASTY.columns), *map(list, NASTY.rows)]


def test_every_line_of_markdown_has_as_many_cells_and_no_raw_tag():
    lines = as_markdown(NASTY).splitlines()[2:]
    assert len(lines) == 2 + len(NASTY.rows)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<script" not in as_markdown(NASTY)
    assert len({len(line) for line in lines}) == 1, "the bars stand below each other"


def test_latex_escapes_every_special_sign_and_keeps_its_rows():
    text = as_latex(NASTY)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert body.count(r"\\") == 2
    for line in body.strip().splitlines()[1:]:
        bare = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater)\{\}", "", line)
        bare = bare.replace(r"\\", "").replace("{}[", "[")
        assert not re.search(r"(?<!\\)[%$#_{}~^]", bare), line
        assert len(re.findall(r"(?<!\\)&", bare)) == 2
    assert r"\begin{tabular}{lrr}" in text
    assert "{}[0.1]" in text, "a bracket after \\\\ would be taken for its argument"


class _Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_html_has_no_element_of_the_data_and_every_text():
    parser = _Cells()
    parser.feed(as_html(NASTY))
    assert set(parser.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert parser.texts == [NASTY.title, *NASTY.columns, *(cell for row in NASTY.rows for cell in row)]


def test_a_format_that_is_not_known_is_refused_by_name():
    assert {formatter(name) for name in FORMATS} == set(FORMATS.values())
    with pytest.raises(SettingError, match="markdown, csv, latex, got 'word'"):
        formatter("word")


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\r\n=1",
        "\n=1",
        "\uff1d1+1",
    ],
)
def test_no_text_is_a_formula_to_a_spreadsheet(cell):
    table = Table.of("", [cell, "b"], [[cell, cell]])
    for row in csv.reader(io.StringIO(as_csv(table), newline="")):
        assert row[0] == "'" + cell.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("cell", [-0.25, "-1", "+3.5e-2", "-0.0100 [-0.0200, 0.0300]", "", "-inf", "α 0.1"])
def test_numbers_and_words_stay_as_they_are(cell):
    assert list(csv.reader(io.StringIO(as_csv(Table.of("", ["a", "b"], [[cell, 0]])))))[1] == [str(cell), "0"]
