"""A study as a whole on the digits: what it measures, what it computes again, and what a kill costs."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from oracles import noise_of_votes
from sfumato.errors import DataError, OutputError, SettingError, SfumatoError
from sfumato.models import load_model
from sfumato.studies import keys, schedule
from sfumato.studies.design import make_design
from sfumato.studies.run import STUDY_FILE, Watch, run_study
from sfumato.studies.store import FILE, load_results
from sfumato.studies.todo import plan_study
from study_rows import rows_of

SMALL = {
    "data": {"images": 60},
    "model": {"epochs": 2, "batch_size": 100},
    "grid": {"alpha": [0, 0.4], "beta": [0, 0.5]},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """These networks are too small to share out, and a busy machine makes threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def votes_by_hand(model, image, example, beta, n):
    """Return the classes of the n noisy copies of one image, from the keys of the noise alone."""
    noise = torch.from_numpy(beta * noise_of_votes(0, example, 0, n, tuple(image.shape))).float()
    with torch.inference_mode():
        return model(image + noise).argmax(dim=1).numpy()


def test_a_study_under_the_former_noise_is_read_but_not_continued(tmp_path, monkeypatch):
    design = study(grid={"alpha": [0.4]}, model={"epochs": 1})
    monkeypatch.setattr(keys, "_NOISE", {})
    run(design, tmp_path)
    monkeypatch.undo()
    before = load_results(tmp_path)
    with pytest.raises(OutputError, match=r": was begun by a version of Sfumato that draws other noise"):
        run(design, tmp_path)
    assert load_results(tmp_path).cells.keys() == before.cells.keys()


def test_predictions_are_the_majority_of_all_votes_image_by_image(digits, finished):
    _, folder = finished
    results = load_results(folder)
    model, record = load_model(next((folder / "models").glob("alpha-0.4-*.safetensors")))
    assert record.alpha == 0.4
    cell = results.cells[0.4, 0.5, 0]
    hits = 0
    for example in range(0, 797, 8):
        found = votes_by_hand(model, torch.from_numpy(digits.test.x[example]), example, 0.5, 40)
        counts = np.bincount(found, minlength=10)
        assert cell.predicted[example] == counts.argmax()
        assert 20 <= cell.votes[example] <= 40
        first = int(cell.first_votes[example])
        assert first == 20
        hits += cell.first_hits[example] == (found[:first] == digits.test.y[example]).sum()
    assert hits == len(range(0, 797, 8))
    plain = results.cells[0.4, 0.0, 0]
    with torch.inference_mode():
        expected = model(torch.from_numpy(digits.test.x)).argmax(dim=1).numpy()
    assert np.array_equal(plain.predicted, expected)
    assert np.array_equal(plain.labels, digits.test.y)
    assert set(plain.votes) == {1}


def test_every_rule_predicts_the_same_and_the_curtailed_ones_spend_less(finished, tmp_path):
    design, folder = finished
    curtailed = load_results(folder).cells[0.4, 0.5, 0]
    changed = {"grid": {"alpha": (0.4,), "beta": (0.5,)}, "certification": None}
    cells = {}
    for rule in ("all", "sequential"):
        votes = design.votes.model_copy(update={"rule": rule, "error": 1e-3})
        other = design.model_copy(
            update={
                "votes": votes,
                "grid": design.grid.model_copy(update=changed["grid"]),
                "certification": None,
            }
        )
        cells[rule] = run(other, folder)[0].cells[0.4, 0.5, 0]
    run(design, folder)
    assert np.array_equal(cells["all"].predicted, curtailed.predicted)
    assert set(cells["all"].votes) == {40}
    # with probability below 0.001 each
    assert (cells["sequential"].predicted != curtailed.predicted).sum() <= 4
    assert cells["sequential"].votes.mean() < curtailed.votes.mean() < 40
    assert set(cells["sequential"].first_votes) == {16}
    # three unbiased estimates of one number, the first from all the votes
    exact = cells["all"].soft_risk
    for cell in (curtailed, cells["sequential"]):
        assert cell.soft_risk == pytest.approx(exact, abs=0.02)
        assert (cell.first_hits <= cell.first_votes).all()


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
    todo = plan_study(study(model=warm, grid={"alpha": [0, 0.2, 0.4]}), tmp_path, device="cpu")
    assert [(m.alpha, m.epochs, m.warm_from) for m in todo.models] == [
        (0.0, 2, None),
        (0.2, 1, 0.0),
        (0.4, 1, 0.2),
    ]
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


def test_interrupted_after_every_step_it_ends_with_the_rows_of_an_unbroken_run(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "SHARD", 25)
    design = study(
        model={"warm_start": "nearest"}, certification={"beta": [0.5], "radii": [0.1], "images": 3}
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
    # two models of two epochs, four cells of three shards, two certified cells
    assert stops == len(steps) == 2 * 2 + 4 * 3 + 2, steps
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")


def test_the_work_announced_is_the_work_done(tmp_path):
    announced, done = [], []
    watch = Watch(on_start=announced.append, on_work=lambda work, note: done.append(work))
    run_study(study(data={"images": 70}), tmp_path, device="cpu", watch=watch)
    assert announced == [sum(done)]
    # an epoch passes 1,000 images forward and backward: as much work as 50 votes on 60 images
    assert sorted(done) == [60] * 4 + [70] * 4


def test_a_second_process_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from sfumato.files import locked\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "with locked(folder, folder / '.lock'): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=rf"another run \(process {holder.pid}\) holds it"):
            run_study(study(), tmp_path, device="cpu")
        holder.kill()
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
import json, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from sfumato.studies.design import make_design
from sfumato.studies.run import Watch, run_study
import sfumato.studies.schedule as module
module.SHARD = 100
design = make_design(json.loads(sys.argv[2]))
run_study(design, Path(sys.argv[1]), device="cpu", watch=Watch(on_start=lambda _: print("go", flush=True)))
"""


def test_a_model_that_fails_only_when_it_votes_is_one_line_and_stays_trained(tmp_path, monkeypatch):
    (tmp_path / "fails_late.py").write_text(
        "import torch\n"
        "from pathlib import Path\n"
        f"MODELS = Path({str(tmp_path / 'study' / 'models')!r})\n"
        "class Late(torch.nn.Module):\n"
        "    def __init__(self, shape, classes):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(64, classes)\n"
        "    def forward(self, x):\n"
        "        if list(MODELS.glob('*.safetensors')):\n"
        "            raise KeyError('late')\n"
        "        return self.layer(x.flatten(1))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    design = study(model={"architecture": "fails_late:Late"}, grid={"alpha": [0.4], "beta": [0.5]})
    with pytest.raises(SfumatoError, match="KeyError: 'late'"):
        run(design, tmp_path / "study")
    assert len(list((tmp_path / "study" / "models").glob("*.safetensors"))) == 1


@pytest.mark.slow
def test_killed_at_20_random_moments_it_ends_with_the_rows_of_an_unbroken_run(tmp_path, monkeypatch):
    tables = {
        "data": {"images": 797},
        "model": {"epochs": 4, "warm_start": "nearest", "batch_size": 32},
        "grid": {"alpha": [0, 0.2, 0.4], "beta": [0, 0.3, 0.6]},
        "certification": {"beta": [0.3], "radii": [0.1], "images": 10},
    }
    run(make_design(tables), tmp_path / "whole")
    expected = rows_of(tmp_path / "whole")
    rng = random.Random(0)
    kills, folder = 0, tmp_path / "0"
    while kills < 20:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), json.dumps(tables)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        try:
            process.wait(timeout=rng.uniform(0, 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
        if process.returncode == 0:
            assert rows_of(folder) == expected
            folder = Path(tmp_path / str(kills))
        else:
            assert process.returncode == -signal.SIGKILL
    run(make_design(tables), folder)
    assert rows_of(folder) == expected
