"""Nothing damaged or lost in a results file is taken for a result: it is named, and computed again."""

import os
import random

import numpy as np
import pytest
import torch

from sfumato.errors import DataError, SfumatoError
from sfumato.studies.design import make_design
from sfumato.studies.run import Watch, run_study
from sfumato.studies.sealed import sealed
from sfumato.studies.store import FILE, Current, Member, Store, load_results, mend
from sfumato.studies.todo import plan_study
from study_rows import edited, rows_of

DESIGN = make_design(
    {
        "data": {"images": 60},
        "model": {"epochs": 1, "batch_size": 500},
        "grid": {"alpha": [0, 0.4], "beta": [0, 0.5]},
        "votes": {"n": 10},
        "certification": {"beta": [0.5], "plan": "fixed(10,50)", "images": 4},
    }
)


def run(folder, watch=None):
    return run_study(DESIGN, folder, device="cpu", watch=watch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    run(folder)
    yield folder, (folder / FILE).read_bytes(), rows_of(folder), load_results(folder)
    torch.set_num_threads(threads)


@pytest.fixture
def study(finished):
    folder, content, rows, _ = finished
    for left in folder.glob(f"*{FILE}*"):
        left.unlink()
    (folder / FILE).write_bytes(content)
    return folder, rows


def test_a_study_can_be_read_where_nothing_can_be_written(study, finished, monkeypatch):
    folder, _ = study
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert rows_of(folder) == finished[2]
    assert load_results(folder).cells.keys() == finished[3].cells.keys()
    assert {path.name for path in folder.glob(f"{FILE}*")} == {FILE}, "nothing was written beside it"
    (folder / f"{FILE}-wal").write_bytes(b"not yet in the file")
    with Store(folder / FILE, read_only=True):
        pass


def test_a_seal_knows_any_change_of_one_value_and_no_order():
    drawn = np.random.default_rng(0)
    rows = [tuple(row) for row in drawn.integers(-1, 1000, size=(50, 7)).tolist()]
    seal = sealed(rows)
    assert sealed(rows[::-1]) == seal
    assert sealed(rows[:30]) + sealed(rows[30:]) == seal
    assert seal - sealed(rows[30:]) == sealed(rows[:30])
    for place in range(50):
        for column in range(7):
            for bit in (0, 5, 40, 62):
                changed = list(rows)
                row = list(rows[place])
                row[column] ^= 1 << bit
                changed[place] = tuple(row)
                assert sealed(changed) != seal
    assert sealed([(1, 2)]) != sealed([(2, 1)])
    assert sealed([("a", 1.5)]) != sealed([("a", 1.25)])


DAMAGE = {
    "a prediction": ("UPDATE images SET predicted = 1 - predicted WHERE cell = 2 AND example = 7", "risk at"),
    "votes": ("UPDATE images SET votes = votes + 1 WHERE cell = 5 AND example = 0", "risk at alpha 0.4"),
    "a row is lost": ("DELETE FROM images WHERE cell = 1 AND example = 59", "risk at alpha 0, beta 0,"),
    "a cell is lost": ("DELETE FROM images WHERE cell = 1", "risk at alpha 0, beta 0,"),
    "a row is moved": ("UPDATE images SET example = 60 WHERE cell = 1 AND example = 3", "risk at"),
    "a certificate": ("UPDATE certificates SET radius = radius + 0.25", "certificates at"),
    "a certificate is lost": ("DELETE FROM certificates WHERE example = 0", "certificates at"),
    "a model": ("UPDATE models SET weights_sha256 = 'f' || substr(weights_sha256, 2)", "a row of models"),
    "a model is lost": ("DELETE FROM models WHERE alpha = 0.4", "a row of models"),
    "a member": ("UPDATE members SET alpha = 0.5 WHERE alpha = 0.4 AND beta = 0.5", "a row of members"),
    "a member is lost": ("DELETE FROM members WHERE beta = 0.5", "a row of members"),
    "a key": ("UPDATE cells SET key = 'x' || key WHERE id = 3", "a row of cells"),
    "a key is lost": ("DELETE FROM cells WHERE id = 3", "a row of cells"),
    "the settings": ("UPDATE current SET images = 59", "a row of current"),
    "the settings are lost": ("DELETE FROM current", "a row of current"),
    "a seal": ("UPDATE seals SET digest = digest + 1 WHERE name = 'images' AND part = '[1]'", "a seal"),
    "a seal is lost": ("DELETE FROM seals WHERE name = 'images' AND part = '[1]'", "a seal"),
    "seal and cell are lost": (
        "DELETE FROM seals WHERE name = 'images' AND part = '[1]'; DELETE FROM images WHERE cell = 1",
        "a seal",
    ),
    "the seal of seals": ("DELETE FROM seals WHERE name = 'seals'", "a seal"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_named_and_computed_again(study, finished, damage):
    folder, rows = study
    statements, words = DAMAGE[damage]
    edited(folder, *statements.split(";"))
    damaged = (folder / FILE).read_bytes()
    with pytest.raises(DataError, match=r"results.sqlite: is damaged \(.*sfumato study run computes again"):
        load_results(folder)
    assert (folder / FILE).read_bytes() == damaged
    warnings, work = [], []
    run(folder, Watch(on_warning=warnings.append, on_work=lambda done, note: work.append(done)))
    assert any(words in line for line in warnings), warnings
    assert sum(work) < 248, "what is sound is kept: 4 cells of 60 images and 2 of 4"
    assert rows_of(folder) == rows
    assert (folder / f"{FILE}.damaged").read_bytes() == damaged
    quiet = []
    run(folder, Watch(on_warning=quiet.append))
    assert quiet == []


def test_a_dry_run_counts_what_is_damaged_and_writes_nothing(study):
    folder, _ = study
    edited(folder, DAMAGE["votes"][0])
    before = (folder / FILE).read_bytes()
    assert plan_study(DESIGN, folder, device="cpu").images == {Member("risk", 0.4, 0.5, 0): 60}
    assert (folder / FILE).read_bytes() == before


@pytest.mark.parametrize("table", ["path", "proposals"])
def test_what_cannot_be_found_out_again_is_refused(study, table):
    folder, _ = study
    with Store(folder / FILE) as store:
        store.keep_proposal("search", 0.3)
    edited(folder, f"UPDATE {table} SET alpha = alpha + 0.25")
    with pytest.raises(DataError, match=f"is damaged beyond repair .a row of {table}.*move it away"):
        run(folder)


def test_forty_flipped_bits_and_four_lost_pages_give_the_same_results_or_are_named(study, finished):
    folder, rows = study
    content = (folder / FILE).read_bytes()
    drawn, found = random.Random(0), {"unused": 0, "named": 0, "refused": 0}
    damages = [("bit", drawn.randrange(8 * len(content))) for _ in range(40)]
    damages += [("page", 4096 * drawn.randrange(1, len(content) // 4096)) for _ in range(4)]
    for kind, place in damages:
        changed = bytearray(content)
        if kind == "bit":
            changed[place // 8] ^= 1 << place % 8
        else:
            changed[place : place + 4096] = bytes(4096)
        for left in folder.glob(f"*{FILE}*"):
            left.unlink()
        (folder / FILE).write_bytes(changed)
        try:
            load_results(folder)
            assert mend(folder / FILE) == []
            assert rows_of(folder) == rows
            found["unused"] += 1
        except SfumatoError as error:
            messages = [str(error)]
            warnings = []
            try:
                run(folder, Watch(on_warning=warnings.append))
            except DataError as error:
                messages.append(str(error))
                found["refused"] += 1
            else:
                assert warnings
                assert rows_of(folder) == rows
                found["named"] += 1
            assert not any("\n" in message for message in messages)
    assert found["named"] >= 4, found


def test_a_mending_that_was_killed_leaves_nothing_and_is_done_again(study):
    folder, rows = study
    edited(folder, DAMAGE["a cell is lost"][0])
    (folder / f".{FILE}.0123.mended").write_bytes(b"half")
    (folder / f".{FILE}.0123.mended-wal").write_bytes(b"half")
    assert mend(folder / FILE) == ["risk at alpha 0, beta 0, seed 0"]
    assert not list(folder.glob("*mended*"))
    assert mend(folder / FILE) == []
    run(folder)
    assert rows_of(folder) == rows


def test_the_log_of_a_damaged_file_is_not_taken_for_that_of_the_mended(study):
    """As a killed process leaves it: the last transaction in the log alone, then damage."""
    folder, rows = study
    store = Store(folder / FILE)
    store.begin(Current("s", "d", "u", 1, 1))
    log = (folder / f"{FILE}-wal").read_bytes()
    content = (folder / FILE).read_bytes()
    store.close()
    (folder / FILE).write_bytes(content)
    edited_log = folder / f"{FILE}-wal"
    edited(folder, DAMAGE["a cell is lost"][0])
    edited_log.write_bytes(log)
    run(folder)
    assert rows_of(folder) == rows
