"""What notebooks show of results: tables whose text is escaped, long lists cut with a word."""

from html.parser import HTMLParser

import pytest

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.notebooks import ROWS, html_list, html_table
from test_frames import FOUND, STUDY

SHOWN = [
    *("certificates", "accuracy", "study", "answer", "pairs", "advice", "advice for a radius"),
    *("risk", "sets", "table"),
]
EVIL = "<script>alert('1')</script>"


class Cells(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("name", SHOWN)
def test_results_are_shown_as_a_table_with_what_they_are(name):
    found = Cells(FOUND[name]._repr_html_())
    assert found.tags[:2] == ["table", "caption"]
    assert found.tags.count("tr") > 1
    assert found.texts[0]


def test_numbers_are_those_of_the_result():
    texts = Cells(FOUND["pairs"]._repr_html_()).texts
    assert texts[0].startswith("vote risk: best is alpha 0.3, beta 0.5 (1.0000,")
    assert texts[5:9] == ["0.3", "0.5", "1.0000", "yes"], "the best first"
    assert "0.2500" in Cells(STUDY._repr_html_()).texts


def test_text_of_data_and_plans_is_no_markup():
    rows = Certificates([Certificate(0, 1, 1, 0.5, 0.1, 9, stopped_by=EVIL, plan=EVIL)])
    study = type(STUDY)(EVIL, EVIL, 1, STUDY.cells, {})
    for shown in (rows, study):
        page = shown._repr_html_()
        assert "<script" not in page
        assert EVIL in "".join(Cells(page).texts)
    assert html_table(EVIL, [EVIL], [[EVIL]], bold={(0, 0)}).count("<b>") == 1


def test_long_lists_are_cut_and_say_so():
    page = html_list("many", ["a"], [[k] for k in range(ROWS + 1234)])
    assert page.count("<tr>") == ROWS + 1
    assert page.endswith("<p>and 1,234 more</p>")
    assert "more" not in html_list("few", ["a"], [[k] for k in range(ROWS)])
