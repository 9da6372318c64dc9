"""Tables in other programs' forms: read back, they say the same."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from sfumato.reporting.tables import Table, as_csv, as_html, as_markdown

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


def test_cells_in_bold_are_so_in_markdown_and_html_and_nowhere_else():
    table = Table.of("Risk", ["alpha", "risk"], [["0.1", "0.2"], ["0.3", "0.2 *"]], [(1, 1)])
    assert as_markdown(table).splitlines()[-2:] == ["| 0.1   |        0.2 |", r"| 0.3   | **0.2 \*** |"]
    assert as_html(table).count("<b>") == 1
    assert "<td><b>0.2 *</b></td>" in as_html(table)
    assert as_csv(table) == "alpha,risk\n0.1,0.2\n0.3,0.2 *\n"


def test_a_transposed_table_has_its_rows_side_by_side_and_the_same_cells_in_bold():
    table = Table.of("", ["set", "0.25", "0.5"], [["a", "1", "2"], ["b", "3", "4"]], [(0, 2), (1, 1)])
    turned = table.transposed()
    assert (turned.columns, turned.rows) == (("", "a", "b"), (("0.25", "1", "3"), ("0.5", "2", "4")))
    assert {turned.rows[row][column] for row, column in turned.bold} == {"2", "3"}


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
