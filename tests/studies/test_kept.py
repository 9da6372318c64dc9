"""Rows of other settings are listed, and dropped only where they are named."""

import pytest

from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError, OutputError, SettingError
from sfumato.files import locked
from sfumato.studies.kept import chosen, drop_settings, kept_settings, others
from sfumato.studies.run import LOCK_FILE
from sfumato.studies.store import FILE, Current, Member, Store, load_results
from study_rows import rows_of, votes

NOW, BEFORE, RACE = "a1" * 32, "a2" * 32, "b3" * 32
SHARED, OWN = Member("risk", 0.1, 0.5, 0), Member("risk", 0.4, 0.5, 0)
RACED = Member("certificates", 0.1, 0.5, 0)


@pytest.fixture
def folder(tmp_path):
    """Two settings that share a cell, and the certificates of a race."""
    with Store(tmp_path / FILE) as store:
        store.begin(Current(NOW, "digits", "unit", 100, 3))
        cells = store.open_cells(NOW, {SHARED: "shared"})
        cells |= store.open_cells(BEFORE, {SHARED: "shared", OWN: "own"})
        for cell in cells.values():
            store.add_images(cell, votes([3, 3, 0]))
        (cell,) = store.open_cells(RACE, {RACED: "raced"}).values()
        store.add_certificates(cell, [Certificate(0, 3, 3, 0.25, 0.1, 50, plan="decide(0.25)")])
        store.keep_model("model", 0.4, 0, "sha")
    return tmp_path


def test_all_settings_are_listed_those_in_use_first(folder):
    kept = kept_settings(folder)
    assert [(one.name, one.kind, one.present) for one in kept] == [
        (NOW, "risk", True),
        (RACE, "certificates", False),
        (BEFORE, "risk", False),
    ]
    before = kept[2]
    assert (before.alphas, before.betas, before.seeds) == ((0.1, 0.4), (0.5,), (0,))
    assert (before.cells, before.images, before.plans) == (2, 6, ("up to 60 votes",))
    assert kept[1].plans == ("decide(0.25)",)
    assert others(kept) == [BEFORE, RACE]
    assert len(kept.to_frame()) == 3


def test_what_is_dropped_is_gone_and_what_is_shared_or_shown_stays(folder):
    shown = repr(load_results(folder))
    (gone,) = drop_settings(folder, ["a2a2"])
    assert gone.name == BEFORE
    assert repr(load_results(folder)) == shown
    assert [one.name for one in kept_settings(folder)] == [NOW, RACE]
    images, members, models, _, certificates = rows_of(folder)
    assert {row[0] for row in images} == {"shared"}
    assert len(members) == 2
    assert len(models) == 1, "models stay"
    assert len(certificates) == 1
    with Store(folder / FILE) as store:
        assert store.missing("own", "risk", 3) == [0, 1, 2]
        store.open_cells(BEFORE, {OWN: "own"})
    assert len(kept_settings(folder)) == 3, "the same can be measured again"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a1a1", "those of the study's last run, which it shows; they cannot be dropped"),
        (
            "a2",
            "by at least 4 digits that only one of them begins with, got 'a2'; those .*: a2a2a2a2, b3b3b3b3",
        ),
        ("ffff", "got 'ffff'"),
        ("", "got ''"),
    ],
)
def test_what_cannot_be_dropped_is_refused_and_nothing_is_lost(folder, name, words):
    before = rows_of(folder)
    with pytest.raises(SettingError, match=words):
        drop_settings(folder, ["b3b3", name])
    assert rows_of(folder) == before


def test_names_that_fit_several_settings_are_refused(folder):
    with Store(folder / FILE) as store:
        store.open_cells("a2a2" + "0" * 60, {OWN: "third"})
    with pytest.raises(SettingError, match="only one of them begins with, got 'a2a2'"):
        chosen(kept_settings(folder), ["a2a2"])


def test_nothing_is_dropped_while_a_run_holds_the_folder_or_where_there_is_no_study(folder, tmp_path):
    with locked(folder, folder / LOCK_FILE), pytest.raises(OutputError, match="another run"):
        drop_settings(folder, [RACE])
    with pytest.raises(DataError, match="no such file; give a folder"):
        kept_settings(tmp_path / "none")
