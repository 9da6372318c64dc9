import gzip
import math
import resource
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError, OutputError, WriteError
from sfumato.studies import sealed
from sfumato.studies import store as module
from sfumato.studies.sealed import VERSION
from sfumato.studies.store import FILE, Current, Member, Store, load_results, mend
from study_rows import edited

CURRENT = Current("s", "digits", "pixels in [0, 1]", 100, 6)
MEMBER = Member("risk", 0.2, 0.5, 1)
VERSION_2 = gzip.decompress(Path(__file__).with_name("results_of_version_2.sqlite.gz").read_bytes())


def rows(*examples, label=3):
    return np.array([[example, label, 3, 51, 50, 49] for example in examples])


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


def filled(path, *shards, current=CURRENT):
    with Store(path) as store:
        store.begin(current)
        cell = store.open_cells(current.settings, {MEMBER: "key"})[MEMBER]
        for shard in shards:
            store.add_images(cell, rows(*shard))
    return cell


def test_complete_cells_are_read_back_as_they_were_written(path):
    filled(path, [3, 4, 5], [0, 1, 2])
    results = load_results(path.parent)
    cell = results.cells[0.2, 0.5, 1]
    assert (results.data, results.votes, results.seeds) == ("digits", 100, [1])
    assert cell.examples.tolist() == [0, 1, 2, 3, 4, 5]
    assert cell.first_hits.tolist() == [49] * 6
    assert cell.risk == 0.0
    assert cell.soft_risk == pytest.approx(1 - 49 / 50)


def test_an_incomplete_cell_is_left_out_and_what_it_lacks_is_known(path):
    filled(path, [0, 1], [4])
    assert load_results(path.parent).cells == {}
    with Store(path) as store:
        assert store.missing("key", "risk", 6) == [2, 3, 5]
        assert store.missing("key", "risk", 2) == []
        assert store.missing("other", "risk", 2) == [0, 1]


def test_nothing_is_counted_twice(path):
    cell = filled(path, [0, 1, 2], [2, 3, 4, 5], [0, 5])
    with Store(path) as store:
        store.add_images(cell, rows(0, label=9))
        assert store.images(cell, 100)[:, :2].tolist() == [[i, 3] for i in range(6)]


def test_rows_of_other_settings_are_not_mixed_in(path):
    filled(path, [0, 1, 2, 3, 4, 5])
    with Store(path) as store:
        store.begin(Current("other", "digits", "unit", 50, 6))
        store.open_cells("other", {MEMBER: "other key"})
    assert load_results(path.parent).cells == {}
    filled(path)
    assert list(load_results(path.parent).cells) == [(0.2, 0.5, 1)]


def test_certificates_are_kept(path):
    certificate = Certificate(0, 3, 3, 0.25, 0.125, 200, "radius", 0.9, 0.1, 0.999, "curve(0.25)")
    current = Current("s", "digits", "unit", 100, 6, "c", 1)
    with Store(path) as store:
        store.begin(current)
        member = Member("certificates", 0.2, 0.5, 1)
        cell = store.open_cells("c", {member: "certificates"})[member]
        store.add_certificates(cell, [certificate])
        store.add_certificates(cell, [certificate])
    assert load_results(path.parent).certificates == {(0.2, 0.5, 1): [certificate]}


def test_the_path_of_trainings_only_grows(path):
    with Store(path) as store:
        store.keep_path("chain", {0.0: None, 0.4: 0.0})
        store.keep_path("chain", {0.0: 0.4, 0.4: None, 0.2: 0.0})
        assert list(store.path_of("chain").items()) == [(0.0, None), (0.4, 0.0), (0.2, 0.0)]
        assert store.path_of("other") == {}


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path):
    filled(path, [0])
    edited(path.parent, f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    for read_only in (True, False):
        with pytest.raises(DataError, match=r"newer Sfumato \(results version 6; this one reads 5\)"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == before


@pytest.fixture
def third(path, monkeypatch):
    """A file as version 3 made it: certificates without counts."""
    with monkeypatch.context() as patch:
        columns = sealed.LARGE["certificates"].removesuffix(", counts")
        patch.setattr(sealed, "VERSION", 3)
        patch.setitem(sealed.LARGE, "certificates", columns)
        made = module._row
        patch.setattr(module, "_row", lambda cell, found: made(cell, found)[:-1])
        filled(path, [0, 1])
        with Store(path) as written:
            (cell,) = written.open_cells("certified", {CERTIFIED: "of certificates"}).values()
            written.add_certificates(cell, FORMER)
    return path, cell


CERTIFIED = Member("certificates", 0.2, 0.5, 1)


def test_a_file_of_version_3_is_read_as_it_is_and_brought_up_when_it_is_written_to(third):
    path, cell = third
    content = path.read_bytes()
    with Store(path, read_only=True) as file:
        assert (file.version, repr(file.certificates(cell, 10))) == (3, repr(FORMER))
    assert path.read_bytes() == content, "reading changes nothing"
    assert mend(path) == []
    with Store(path) as file:
        assert (file.version, repr(file.certificates(cell, 10))) == (VERSION, repr(FORMER))
        file.add_certificates(cell, [Certificate(2, 4, 4, 0.1, 1.0, counts="10|4=32")])
    with Store(path, read_only=True) as file:
        assert [row.counts for row in file.certificates(cell, 10)] == ["", "", "10|4=32"]


def test_what_is_damaged_in_a_file_of_version_3_is_mended(third):
    path, cell = third
    edited(path.parent, "UPDATE certificates SET radius = 0.75 WHERE example = 0")
    (lost,) = mend(path)
    assert "certificates" in lost
    with Store(path) as file:
        assert (file.version, file.certificates(cell, 10)) == (VERSION, [])
        assert len(file.missing("of certificates", "certificates", 2)) == 2


@pytest.fixture
def former(path):
    """A file that was written by version 2: three images, two certificates."""
    path.write_bytes(VERSION_2)
    return path


FORMER = [
    Certificate(0, 3, 3, 0.25, 0.125, 200, "radius", 0.9, 0.1, 0.999, "curve(0.25)"),
    Certificate(1, 4, -1, 0.0, 0.5, 100, "votes", math.nan, math.nan, math.nan, "vote(100)"),
]


def test_a_file_of_version_2_is_read_as_it_is_and_brought_up_when_it_is_written_to(former):
    content = former.read_bytes()
    before = load_results(former.parent)
    assert former.read_bytes() == content, "reading changes nothing"
    with Store(former) as store:
        store.keep_proposal("search", 0.3)
    assert sqlite3.connect(former).execute("PRAGMA user_version").fetchone() == (VERSION,)
    for found in (before, load_results(former.parent)):
        assert found.cells[0.2, 0.5, 1].first_hits.tolist() == [49] * 3
        assert repr(found.certificates[0.2, 0.5, 1]) == repr(FORMER)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE certificates SET row = replace(row, '0.25', '0.75')", "certificates do not match"),
        ("PRAGMA user_version = 1", "older Sfumato, without checksums; move it away and run again"),
    ],
)
def test_a_damaged_file_of_version_2_and_one_of_version_1_are_refused_in_one_line(former, change, words):
    edited(former.parent, change)
    for attempt in (load_results, lambda folder: mend(folder / FILE)):
        with pytest.raises(DataError, match=words) as refused:
            attempt(former.parent)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", ["no database", "a page", "the end"])
def test_a_damaged_file_is_named(path, damage):
    cell = filled(path)
    with Store(path) as store:
        store.add_images(cell, rows(*range(5000)))
    content = bytearray(path.read_bytes())
    if damage == "no database":
        content[:100] = b"x" * 100
    elif damage == "a page":
        content[-8192:-4096] = b"\xff" * 4096
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{FILE}: is damaged .*the models are kept"):
        load_results(path.parent)
    with pytest.raises(DataError, match="is damaged"):
        Store(path)


def test_a_database_of_something_else_is_not_touched(path):
    edited(path.parent, "CREATE TABLE mine (x)")
    with pytest.raises(DataError, match="database of something else"):
        Store(path)


def test_a_full_disk_loses_only_the_shard_in_hand(path, limited):
    cell = filled(path, [0, 1, 2])
    with Store(path) as store:
        limited(20_000)
        with pytest.raises(WriteError, match=r"what was finished is kept: free some space") as caught:
            store.add_images(cell, rows(*range(3, 5000)))
        assert caught.value.exit_code == 1
        limited(resource.RLIM_INFINITY)
        assert store.missing("key", "risk", 6) == [3, 4, 5]
        store.add_images(cell, rows(3, 4, 5))
    assert len(load_results(path.parent).cells) == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_results_whose_folder_is_gone_are_a_failure(path, replaced):
    folder = path.parent / "study"
    with Store(folder / FILE) as store:
        store.begin(CURRENT)
        shutil.rmtree(folder)
        if replaced:
            filled(folder / FILE)
        with pytest.raises(WriteError, match=r"results\.sqlite: was removed or replaced") as caught:
            store.begin(CURRENT)
        assert caught.value.exit_code == 1


def test_results_can_be_read_while_they_are_written(path):
    cell = filled(path, [0, 1, 2])
    with Store(path) as store:
        store.add_images(cell, rows(3, 4, 5))
        assert len(load_results(path.parent).cells) == 1


def test_what_was_written_survives_without_closing(path):
    """The files as a killed process leaves them: the last transactions only in the log beside."""
    cell = filled(path, [0, 1, 2])
    store = Store(path)
    store.add_images(cell, rows(3, 4, 5))
    copy = path.parent / "copy"
    copy.mkdir()
    for file in path.parent.glob(f"{FILE}*"):
        shutil.copy(file, copy)
    store.close()
    assert len(load_results(copy).cells) == 1


def test_a_run_that_was_killed_before_its_first_row_goes_on(path):
    Store(path).close()
    assert mend(path) == []
    with pytest.raises(DataError, match="holds no results yet"):
        load_results(path.parent)
    filled(path, range(6))
    assert len(load_results(path.parent).cells) == 1


def test_an_empty_file_of_version_2_is_no_damage_but_one_of_this_version_without_seals_is(former):
    tables = ("current", "path", "models", "cells", "members", "proposals", "images", "certificates", "seals")
    edited(former.parent, *(f"DELETE FROM {table}" for table in tables))
    assert mend(former) == []
    Store(former).close()
    edited(former.parent, "DELETE FROM seals")
    with pytest.raises(DataError, match="a seal does not match"):
        Store(former)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(DataError, match=r"results.sqlite: no such file; give a folder"):
        load_results(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot be"):
        Store(tmp_path / "file" / FILE)
