"""A table of certify answers for further radii; what cannot is refused as before."""

import pytest

from planted_changes import make
from sfumato.certification.file import settings_path


@pytest.fixture
def table(digits, digits_model, tmp_path, monkeypatch):
    make(tmp_path, digits, digits_model)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "curve.tsv"


def test_radii_that_the_plan_was_not_asked_about_are_answered_from_the_counts(table, sfumato):
    code, out, err = sfumato("table", "certified", "curve.tsv", "--radii", "0.1,0.25,0.3", "--format", "csv")
    assert code == 0, err
    shares = [float(cell.split()[0]) for cell in out.splitlines()[-1].split(",") if cell.startswith("0.")][:3]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0


def test_without_settings_they_are_refused(table, sfumato):
    settings_path(table).unlink()
    code, _, err = sfumato("table", "certified", "curve.tsv", "--radii", "0.25")
    assert (code, "radius 0.25 was not certified" in err) == (2, True)
