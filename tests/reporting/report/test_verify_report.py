"""What verify finds in a report: a changed page, and sources that are not what they were."""

import shutil

import pytest

from planted_changes import make, reseal
from sfumato.certification.verify import AtHand
from sfumato.errors import DataError
from sfumato.reporting.report.verify import verify_report


@pytest.fixture
def report(digits, digits_model, tmp_path, monkeypatch, sfumato):
    make(tmp_path, digits, digits_model)
    monkeypatch.chdir(tmp_path)
    code, _, err = sfumato("report", "fixed.tsv", "curve.tsv", "--gallery", 0, "--out", "r.html")
    assert code == 0, err
    return tmp_path / "r.html"


def test_a_sound_report_is_verified_with_its_sources_from_wherever_it_is_looked_at(report, monkeypatch):
    at_hand = AtHand(model=str(report.with_name("model.safetensors")), redraw=1, device="cpu")
    monkeypatch.chdir("/")
    found = verify_report(report, at_hand)
    assert found.differences == []
    assert found.checked[0] == "the page matches its checksum"
    assert {line.split(":")[0] for line in found.checked[1:]} == {"fixed.tsv", "curve.tsv"}


def test_a_changed_page_and_changed_sources_are_found(report, sfumato):
    text = report.read_text()
    report.write_text(text.replace("Certificates", "Certified", 1))
    assert verify_report(report, AtHand(redraw=0)).differences == [
        "checksum: the page was changed after it was written"
    ]
    report.write_text(text)
    table = report.with_name("fixed.tsv")
    table.write_text(table.read_text().replace("0:00", "0:01", 1))
    reseal(table)
    found = verify_report(report, AtHand(redraw=0)).differences
    assert found == ["fixed.tsv: source: its rows are not those that the report was made from"]
    shutil.move(table, report.with_name("elsewhere"))
    assert "fixed.tsv: is not here" in verify_report(report, AtHand(redraw=0)).unchecked
    assert sfumato("verify", report, "--redraw", 0)[0] == 0


def test_a_page_of_something_else_is_refused(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><p>Hello")
    with pytest.raises(DataError, match="does not say what it was made from"):
        verify_report(page)
