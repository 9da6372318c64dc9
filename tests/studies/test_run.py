"""A study as a whole on the digits: what it measures, what it computes again, and what a kill costs."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from processes import kill
from sfumato.datasets import Split, load_dataset
from sfumato.errors import DataError, ModelError, OutputError, SettingError
from sfumato.files import locked
from sfumato.models import load_model
from sfumato.smoothing.batch_norms import normalize_at, some_images
from sfumato.smoothing.risk import measure_risk
from sfumato.studies import cells
from sfumato.studies.design import make_design
from sfumato.studies.run import STUDY_FILE, Watch, run_study
from sfumato.studies.store import FILE, load_results
from sfumato.studies.todo import plan_study
from study_rows import rows_of

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "data": {"images": 60},
    "model": {"epochs": 2, "batch_size": 100},
    "grid": {"alpha": [0, 0.4], "beta": [0, 0.5]},
}


def study(**tables):
    return make_design(SMALL, tables)


def run(design, folder, **options):
    """Return the results and the lines said on the way."""
    lines = []
    results = run_study(design, folder, device="cpu", watch=Watch(on_line=lines.append), **options)
    return results, lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study with everything in it."""
    folder = tmp_path_factory.mktemp("study")
    design = study(
        data={"images": 797},
        votes={"n": 40},
        certification={"beta": [0.5], "radii": [0.1, 0.2], "images": 12},
    )
    run(design, folder)
    return design, folder


def test_a_finished_study_computes_nothing_again(finished):
    design, folder = finished
    before = rows_of(folder)
    todo = plan_study(design, folder, device="cpu")
    assert (todo.models, todo.images, todo.cells) == ([], {}, 6)
    _, lines = run(design, folder)
    assert lines == []
    assert rows_of(folder) == before


def test_certificates_are_those_of_certify(digits, finished):
    from sfumato import SmoothedClassifier
    from sfumato.plans import Curve

    _, folder = finished
    model, _ = load_model(next((folder / "models").glob("alpha-0.4-*.safetensors")))
    decisions = SmoothedClassifier(model, 0.5, device="cpu").certify(digits.test.x[:12], Curve((0.1, 0.2)))
    found = load_results(folder).certificates[0.4, 0.5, 0]
    assert [(c.idx, c.label) for c in found] == list(enumerate(digits.test.y[:12]))
    assert [(c.predict, c.radius, c.votes) for c in found] == [
        (d.prediction, d.radius, d.votes) for d in decisions
    ]


def test_what_is_added_later_costs_only_itself(tmp_path):
    _, lines = run(study(), tmp_path)
    assert len([line for line in lines if "trained" in line]) == 2
    results, lines = run(study(grid={"beta": [0, 0.3, 0.5]}), tmp_path)
    assert [line.split(":")[0] for line in lines] == ["alpha 0 beta 0.3 seed 0", "alpha 0.4 beta 0.3 seed 0"]
    assert len(results.cells) == 6
    results, lines = run(study(grid={"alpha": [0, 0.2, 0.4], "seeds": [0]}), tmp_path)
    assert [line.split(":")[0] for line in lines] == [
        "alpha 0.2 seed 0",
        "alpha 0.2 beta 0 seed 0",
        "alpha 0.2 beta 0.5 seed 0",
    ]
    before = results.cells[0.2, 0.5, 0]
    results, lines = run(study(data={"images": 90}), tmp_path)
    grown = results.cells[0.4, 0.5, 0]
    assert len(lines) == 4
    assert len(grown.examples) == 90
    assert (0.2, 0.5, 0) not in results.cells, "it lacks 30 images"
    results, lines = run(study(grid={"alpha": [0, 0.2, 0.4]}), tmp_path)
    assert lines == []
    assert np.array_equal(results.cells[0.2, 0.5, 0].predicted, before.predicted)
    assert np.array_equal(results.cells[0.4, 0.5, 0].predicted, grown.predicted[:60])


def test_a_changed_setting_never_meets_old_rows(tmp_path):
    first, _ = run(study(), tmp_path)
    more_votes, lines = run(study(votes={"n": 30}, grid={"beta": [0.5]}), tmp_path)
    assert [line.split(":")[0] for line in lines] == ["alpha 0 beta 0.5 seed 0", "alpha 0.4 beta 0.5 seed 0"]
    assert list(more_votes.cells) == [(0.0, 0.5, 0), (0.4, 0.5, 0)]
    assert more_votes.votes == 30
    assert max(more_votes.cells[0.4, 0.5, 0].votes) <= 30
    _, lines = run(study(model={"epochs": 3}, grid={"beta": [0.5]}), tmp_path)
    assert len([line for line in lines if "trained" in line]) == 2
    again, lines = run(study(), tmp_path)
    assert lines == []
    assert again.cells.keys() == first.cells.keys()
    assert len(list((tmp_path / "models").glob("*.safetensors"))) == 4


def test_a_warm_start_goes_along_the_path_and_takes_its_own_epochs(tmp_path):
    warm = {"warm_start": "nearest", "warm_epochs": 1}
    run(study(model=warm, grid={"beta": [0]}), tmp_path)
    run(study(model=warm, grid={"alpha": [0, 0.1, 0.4, 0.5], "beta": [0]}), tmp_path)
    records = {
        record.alpha: record
        for record in (load_model(path)[1] for path in (tmp_path / "models").glob("*.safetensors"))
    }
    parents = {0.0: None, 0.4: 0.0, 0.1: 0.0, 0.5: 0.4}
    for alpha, parent in parents.items():
        expected = None if parent is None else records[parent].weights_sha256
        assert records[alpha].training["warm_start"] == expected
        assert records[alpha].training["epochs"] == (2 if parent is None else 1)


class Stopped(Exception):
    pass


def test_a_clock_that_jumps_changes_no_row(tmp_path, monkeypatch):
    tables = {"data": {"images": 20}, "model": {"epochs": 1}, "grid": {"alpha": [0, 0.4], "beta": [0, 0.3]}}
    run(make_design(tables), tmp_path / "whole")
    times = itertools.cycle([0.0, 4e9, -1.0, 1.7e9])  # 1970, 2096, 1969, 2023
    monkeypatch.setattr(time, "time", lambda: next(times))
    with pytest.raises(Stopped):
        run_study(make_design(tables), tmp_path / "jumping", device="cpu", watch=Watch(on_work=stop_at_votes))
    run(make_design(tables), tmp_path / "jumping")
    assert rows_of(tmp_path / "jumping") == rows_of(tmp_path / "whole")


def stop_at_votes(work, note):
    if "beta" in note:
        raise Stopped


def test_interrupted_after_every_step_it_ends_with_the_rows_of_an_unbroken_run(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "SHARD", 25)
    monkeypatch.setattr(cells, "LARGEST_SHARD", 25)
    design = study(
        model={"warm_start": "nearest"},
        grid={"beta": [0, 0.5, 0.7]},
        certification={"beta": [0.5], "radii": [0.1], "images": 3},
    )
    steps = []
    watch = Watch(on_work=lambda work, note: steps.append(note))
    run_study(design, tmp_path / "whole", device="cpu", watch=watch)
    stops = 0

    def stop(work, note):
        raise Stopped

    while True:
        try:
            run_study(design, tmp_path / "broken", device="cpu", watch=Watch(on_work=stop))
        except Stopped:
            stops += 1
            continue
        break
    # two models of two epochs, each with three shards without noise and five of 12 at both betas; certified
    assert stops == len(steps) == 2 * 2 + 2 * (3 + 5) + 2, steps
    assert sum("beta 0.5, 0.7: " in note for note in steps) == 2 * 5, steps
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")


def test_the_work_announced_is_the_work_done(tmp_path):
    announced, done = [], []
    watch = Watch(on_start=announced.append, on_work=lambda work, note: done.append(work))
    run_study(study(data={"images": 70}), tmp_path, device="cpu", watch=watch)
    assert announced == [sum(done)]
    # an epoch passes 1,000 images forward and backward: as much work as 50 votes on 60 images
    assert sorted(done) == [60] * 4 + [70] * 4


def test_a_folder_that_another_run_holds_is_refused(tmp_path):
    with (
        locked(tmp_path, tmp_path / ".lock"),
        pytest.raises(OutputError, match=rf"another run \(process {os.getpid()}\) holds it"),
    ):
        run_study(study(), tmp_path, device="cpu")
    assert not (tmp_path / FILE).exists()
    run(study(grid={"alpha": [0], "beta": [0]}), tmp_path)


def test_what_cannot_be_run_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(
        SettingError, match=r"data.images must be at most the 797 test images of digits, got 900"
    ):
        run_study(study(data={"images": 900}), tmp_path, device="cpu")
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="is damaged"):
        run_study(study(), tmp_path, device="cpu")
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / STUDY_FILE).exists()


KILLED = """
import json, os, sys, torch
from pathlib import Path
torch.set_num_threads(1)
import sfumato.studies.cells as module
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
module.SHARD = module.LARGEST_SHARD = 50
design = make_design(json.loads(sys.argv[1]))
for line in sys.stdin:
    if not (child := os.fork()):
        run_study(design, Path(line.strip()), device="cpu")
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_at_20_random_moments_it_ends_with_the_rows_of_an_unbroken_run(tmp_path):
    """One process imports everything; each run is a copy of it, killed in the first part of its time."""
    tables = {
        "data": {"images": 200},
        "model": {"epochs": 2, "warm_start": "nearest", "batch_size": 100},
        "grid": {"alpha": [0, 0.4], "beta": [0, 0.3]},
        "certification": {"beta": [0.3], "radii": [0.1], "images": 5},
    }
    run(make_design(tables), tmp_path / "whole")
    expected, rng = rows_of(tmp_path / "whole"), random.Random(0)
    kills, folder = 0, tmp_path / "0"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, json.dumps(tables)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as copies:
        while kills < 20:
            copies.stdin.write(f"{folder}\n")
            copies.stdin.flush()
            child = int(copies.stdout.readline())
            time.sleep(rng.uniform(0, 0.6))
            kill(child)
            ended = int(copies.stdout.readline())
            assert ended in (0, -signal.SIGKILL)
            if ended == 0:
                assert rows_of(folder) == expected
                folder = tmp_path / str(kills)
            else:
                kills += 1
        copies.stdin.close()
    run(make_design(tables), folder)
    assert rows_of(folder) == expected


def test_a_study_re_estimates_batch_norms_at_each_beta_or_warns_once(tmp_path):
    tables = {
        "data": {"images": 20},
        "votes": {"n": 8},
        "certification": {"beta": [1], "radii": [0.1], "images": 2},
    }
    tables |= {"grid": {"alpha": [0, 0.4], "beta": [0, 1]}, "model": {"epochs": 1, "batch_size": 100}}
    tables["model"] |= {"architecture": "batch_norm_factory:network"}
    design = make_design(tables)
    warnings = []
    trained = run_study(design, tmp_path, device="cpu", watch=Watch(on_warning=warnings.append))
    assert len(warnings) == 1
    assert "batch norms" in warnings[0]
    assert '"at-beta"' in warnings[0]
    assert warnings[0].endswith(f": sfumato study run {tmp_path} --normalization at-beta")
    again = make_design(tables, {"votes": {"n": 8, "normalization": "at-beta"}})
    assert (plan_study(again, tmp_path, device="cpu").models, plan_study(again, tmp_path).cells) == ([], 6)
    fitted, lines = run(again, tmp_path)
    assert not [line for line in lines if "trained" in line]
    assert fitted.cells.keys() == trained.cells.keys()
    data = load_dataset("digits")
    for alpha in (0.0, 0.4):
        (path,) = (tmp_path / "models").glob(f"alpha-{alpha:g}-*")
        model, _ = load_model(path, factory="batch_norm_factory:network")
        model = normalize_at(model, some_images(data.train.x), 1.0, device="cpu").model
        split = Split(data.test.x[:20], data.test.y[:20])
        expected = measure_risk(model, split, 1.0, n=8, device="cpu").images
        assert fitted.cells[alpha, 1.0, 0].predicted.tolist() == expected.predicted.tolist()
        assert fitted.cells[alpha, 1.0, 0].first_hits.tolist() == expected.first_hits.tolist()
    assert {key: len(rows) for key, rows in fitted.certificates.items()} == {
        (0.0, 1.0, 0): 2,
        (0.4, 1.0, 0): 2,
    }
    assert plan_study(again, tmp_path, device="cpu").images == {}
    assert plan_study(design, tmp_path, device="cpu").images == {}


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("shared", r"batch_norm_factory:shared: batch norm '1.1' is used in more than one place"),
        ("without_statistics", r"batch norm '1.1' has no running statistics"),
        ("frozen", r"'1.1' is a FrozenBatchNorm, whose statistics are fixed"),
    ],
)
def test_norms_that_cannot_be_re_estimated_are_refused_before_any_training(network, words, tmp_path):
    design = study(
        model={"architecture": f"batch_norm_factory:{network}"}, votes={"normalization": "at-beta"}
    )
    with pytest.raises(ModelError, match=words):
        run_study(design, tmp_path / "s", device="cpu")
    assert not list(tmp_path.rglob("*.safetensors*"))


def test_at_beta_without_batch_norms_says_once_that_it_changes_nothing(tmp_path):
    told = []
    design = study(votes={"normalization": "at-beta"}, model={"epochs": 1})
    run_study(design, tmp_path, device="cpu", watch=Watch(on_warning=told.append))
    assert told == ['the network has no batch norms, so that normalization "at-beta" changes nothing']


def test_large_networks_do_not_share_a_task(tmp_path, monkeypatch):
    """A copy for each beta would cost memory, and noise is little of their time."""
    monkeypatch.setattr(cells, "_LARGEST_SHARED", 10)
    notes = []
    design = study(grid={"beta": [0.5, 0.7]})
    run_study(design, tmp_path, device="cpu", watch=Watch(on_work=lambda work, note: notes.append(note)))
    assert sum("beta 0.5: " in note for note in notes) == sum("beta 0.7: " in note for note in notes) == 2
