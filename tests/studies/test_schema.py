"""The views of a results file say what Sfumato itself reads; files without them are read as before."""

import sqlite3

import pytest

from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError
from sfumato.studies.schema import VERSION
from sfumato.studies.store import FILE, Current, Member, Store, load_results
from study_rows import edited, votes

CURRENT = Current("now", "digits", "pixels in [0, 1]", 100, 4, "certified now", 2)
ROWS = (
    Certificate(0, 3, 3, 0.25, 0.1, 200, "radius", 0.9, 0.1, 0.999, "curve(0.25)", "10|3=32"),
    Certificate(1, 3, -1, 0.0, 0.2, 400, "votes", confidence=0.999, plan="curve(0.25)"),
)
VIEWS = ("predictions", "risks", "best_alphas", "certified", "kept")


@pytest.fixture
def folder(tmp_path):
    """Two alphas, two seeds, one beta; a cell that is not complete, rows of other settings."""
    predictions = {
        Member("risk", 0.1, 0.5, 0): [3, 3, 3, 0],
        Member("risk", 0.1, 0.5, 1): [3, 3, 0, 0],
        Member("risk", 0.4, 0.5, 0): [3, 3, 3, 3, 7],
        Member("risk", 0.4, 0.5, 1): [3, 3, 3, 0],
        Member("risk", 0.7, 0.5, 0): [3, 3],
    }
    with Store(tmp_path / FILE) as store:
        store.begin(CURRENT)
        for member, cell in store.open_cells("now", {one: str(one) for one in predictions}).items():
            store.add_images(cell, votes(predictions[member]))
        (old,) = store.open_cells("before", {Member("risk", 0.1, 0.5, 0): "of before"}).values()
        store.add_images(old, votes([0, 0, 0, 0]))
        (cell,) = store.open_cells("certified now", {Member("certificates", 0.1, 0.5, 0): "c"}).values()
        store.add_certificates(cell, ROWS)
    return tmp_path


def asked(folder, query):
    with sqlite3.connect(folder / FILE) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def test_the_risks_are_those_of_the_complete_cells_of_the_last_run(folder):
    results = load_results(folder)
    found = asked(folder, "SELECT alpha, beta, seed, images, errors, risk, soft_risk, votes FROM risks")
    assert {row[:3] for row in found} == set(results.cells)
    for *place, images, errors, risk, soft, spent in found:
        cell = results.cells[tuple(place)]
        assert (images, errors, risk) == (4, cell.errors, cell.risk)
        assert (soft, spent) == (pytest.approx(cell.soft_risk), cell.votes.mean())


def test_the_best_alpha_has_the_lowest_mean_risk(folder):
    assert asked(folder, "SELECT * FROM best_alphas") == [(0.5, 0.4, 0.125, 2)]


def test_certificates_have_a_column_for_each_number(folder):
    (first, second) = asked(
        folder, "SELECT alpha, beta, seed, example, correct, radius, plan, counts, p_lower FROM certified"
    )
    assert first == (0.1, 0.5, 0, 0, 1, 0.25, "curve(0.25)", "10|3=32", 0.9)
    assert second[4:6] == (0, 0.0)
    (share,) = asked(folder, "SELECT avg(correct AND radius >= 0.25) FROM certified")
    assert share == (0.5,)


def test_votes_are_of_the_images_of_the_last_run_and_kept_is_all(folder):
    assert asked(folder, "SELECT count(*), sum(wrong) FROM predictions") == [(4 * 4 + 2, 4)]
    kept = asked(folder, "SELECT settings, kind, images, present FROM kept WHERE alpha = 0.1 AND seed = 0")
    assert sorted(kept) == [
        ("before", "risk", 4, 0),
        ("certified now", "certificates", 2, 1),
        ("now", "risk", 4, 1),
    ]


def test_a_file_of_version_4_is_read_as_it_is_and_gets_the_views_when_it_is_written_to(folder):
    before = load_results(folder)
    edited(folder, *(f"DROP VIEW {name}" for name in VIEWS), "PRAGMA user_version = 4")
    content = (folder / FILE).read_bytes()
    with Store(folder / FILE, read_only=True) as store:
        assert store.version == 4
    assert repr(load_results(folder)) == repr(before)
    assert (folder / FILE).read_bytes() == content, "reading changes nothing"
    with Store(folder / FILE) as store:
        assert store.version == VERSION
    assert repr(load_results(folder)) == repr(before)
    assert len(asked(folder, "SELECT * FROM certified")) == 2


def test_another_view_under_the_name_is_no_view_of_ours(folder):
    edited(folder, "DROP VIEW risks", "CREATE VIEW risks AS SELECT 1 AS risk")
    with pytest.raises(DataError, match="its tables are not as they were made"):
        load_results(folder)
