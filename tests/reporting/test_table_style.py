"""The numbers of a table in the style that is asked for, and what a written form cannot have."""

import pytest

from sfumato.answers.best import RiskPoint
from sfumato.errors import SettingError
from sfumato.reporting.answer_tables import risk_table
from sfumato.reporting.table_form import TableForm
from sfumato.reporting.table_style import TableStyle
from sfumato.reporting.tables import Table


def test_shares_have_four_decimals_or_two_in_per_cent_or_as_many_as_wanted():
    assert TableStyle().estimate(0.12345, 0.1, 0.2) == "0.1235 [0.1000, 0.2000]"
    assert TableStyle(percent=True, intervals=False).estimate(0.12345, 0.1, 0.2) == "12.35"
    assert TableStyle(places=0, percent=True).share(0.555) == "56"
    assert (TableStyle(percent=True).named("Risk"), TableStyle().named("Risk")) == ("Risk in %", "Risk")


@pytest.mark.parametrize(("places", "words"), [(-1, "at least 0, got -1"), (9, "at most 8, got 9")])
def test_decimals_out_of_range_are_refused(places, words):
    with pytest.raises(SettingError, match=words):
        TableStyle(places=places)


def test_all_that_look_as_good_as_the_best_are_in_bold():
    style = TableStyle(bold=True, places=2)
    assert style.best([0.101, 0.099, 0.2, None], largest=False) == [0, 1]
    assert style.best([None, None], largest=True) == []
    assert TableStyle().best([0.1], largest=True) == [], "not asked for"


def test_the_lowest_risk_has_a_star_or_is_in_bold():
    points = {
        0.5: [
            RiskPoint(alpha, 1, 4, risk, 0.0, 1.0, 0.5, 0.4, 0.6) for alpha, risk in ((0.1, 0.3), (0.2, 0.1))
        ],
        1.0: [RiskPoint(0.2, 1, 4, 0.25, 0.0, 1.0, 0.5, 0.4, 0.6)],
    }
    plain = risk_table(points, "here")
    assert (plain.rows[1][1], plain.rows[0][2], plain.bold) == ("*0.1000 [0.0000, 1.0000]", "", frozenset())
    styled = risk_table(points, "", style=TableStyle(intervals=False, bold=True))
    assert styled.rows == (("0.1", "0.3000", ""), ("0.2", "0.1000", "0.2500"))
    assert styled.bold == {(1, 1), (1, 2)}


def test_a_form_writes_its_caption_and_turns_the_table():
    table = Table.of("Risk", ["alpha", "risk"], [["0.1", "0.2"]])
    assert TableForm(caption="Mine", transpose=True).write(table).startswith("Mine\n\n|      |  0.1 |\n")
    assert TableForm("csv").write(table) == "alpha,risk\n0.1,0.2\n"
    assert r"\label{a}" in TableForm("latex", label="a").write(table)


def test_a_form_that_is_not_known_is_refused_by_name():
    with pytest.raises(SettingError, match="format must be one of markdown, csv, latex, got 'word'"):
        TableForm("word")
