"""The file of a run: the same whatever the batch size or interruption, and never mixed with another's."""

import itertools
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import norm

from processes import kill
from sfumato import Fixed, SmoothedClassifier
from sfumato.certification import run as certification_run
from sfumato.certification.file import read_settings, settings_path
from sfumato.certification.run import Certification, certify_to_file
from sfumato.certification.table import OURS, read_rows
from sfumato.certification.without_noise import WHOLE_TEST_SET
from sfumato.datasets import Split
from sfumato.errors import OutputError, SfumatoError
from sfumato.execution.local import Processes
from sfumato.models.classifier import load_classifier
from sfumato.plans import Curve, Predict, Vote, parse_plan

PLAN = Fixed(100, 500)


@pytest.fixture(scope="module")
def workers():
    with Processes(2) as executor:
        yield executor


def run(digits, model, out, *, seed=0, batch_size=100, beta=0.5, examples=range(8), plan=PLAN, **options):
    classifier = load_classifier(str(model), digits.input_shape, digits.num_classes)
    smoothed = SmoothedClassifier(classifier, beta, seed=seed, batch_size=batch_size, device="cpu")
    named = {name: options.pop(name) for name in ("confidence", "label_known") if name in options}
    return certify_to_file(smoothed, digits, Certification(examples, plan, **named), out, **options)


def stated_without_noise(path):
    settings = read_settings(settings_path(path))
    return settings["clean_accuracy"], settings["clean_of"]


def test_the_accuracy_without_noise_is_that_of_the_images_at_hand(digits, digits_model, tmp_path):
    inverted = replace(digits, test=Split(1 - digits.test.x, digits.test.y), name="inverted")
    plan, few = Vote(1), range(0, 40, 2)
    run(inverted, digits_model, tmp_path / "other.tsv", plan=plan, examples=few)
    share, of = stated_without_noise(tmp_path / "other.tsv")
    assert (share < 0.5, of) == (True, "these images")
    every = range(len(digits.test))
    run(inverted, digits_model, tmp_path / "all.tsv", plan=plan, examples=every)
    assert stated_without_noise(tmp_path / "all.tsv")[1] == "100 of these images"
    # the record is of its own test set, whole
    run(digits, digits_model, tmp_path / "own.tsv", plan=plan, examples=few)
    assert stated_without_noise(tmp_path / "own.tsv")[1] == "these images"
    assert run(digits, digits_model, str(tmp_path / "own.tsv"), plan=plan, examples=few), "a path as text"
    record = load_classifier(str(digits_model), digits.input_shape, digits.num_classes).record
    run(digits, digits_model, tmp_path / "own.tsv", plan=plan, examples=range(0, 60, 2))
    right = 30 * stated_without_noise(tmp_path / "own.tsv")[0]
    assert right == pytest.approx(round(right)), "of the 30 images that the table now has"
    run(digits, digits_model, tmp_path / "whole.tsv", plan=plan, examples=every)
    assert stated_without_noise(tmp_path / "whole.tsv") == (record.clean_accuracy, WHOLE_TEST_SET)


def without_time(path):
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [row[:5] + row[6:] for row in rows]


@pytest.mark.parametrize("plan", [PLAN, Curve((0.1, 0.2, 0.3, 0.5))], ids=["fixed", "curve"])
def test_the_batch_size_changes_nothing(digits, digits_model, tmp_path, plan):
    tables = []
    for batch_size in (37, 100, 1000):
        out = tmp_path / f"{batch_size}.tsv"
        run(digits, digits_model, out, batch_size=batch_size, plan=plan, examples=range(8))
        tables.append(without_time(out))
    assert tables[0] == tables[1] == tables[2]
    assert tables[0][0] == ["idx", "label", "predict", "radius", "correct", *OURS]
    assert len({row[3] for row in tables[0]}) > 3


@pytest.mark.parametrize(
    "text", ["decide(0.1)", "precision(0.2,n_max=2000)", "two_class(50,300)", "vote(90)"]
)
def test_every_row_says_what_was_spent_and_on_what_it_rests(digits, digits_model, tmp_path, text):
    plan = parse_plan(text)
    rows = run(digits, digits_model, tmp_path / "t.tsv", plan=plan)
    # assert_equal, as NaN is not equal to itself
    np.testing.assert_equal(
        [asdict(row) | {"seconds": 0} for row in read_rows(tmp_path / "t.tsv")],
        [asdict(row) | {"seconds": 0} for row in rows],
    )
    for row in rows:
        assert row.plan == plan.name
        assert row.votes >= plan.least_votes
        assert row.stopped_by
        if isinstance(plan, Vote):
            assert np.isnan(row.confidence)
        else:
            assert row.confidence == 0.999
        if row.radius > 0:
            assert row.radius <= 0.25 * (norm.ppf(row.p_lower) - norm.ppf(row.p_upper)) + 1e-12


def test_a_known_label_is_all_that_is_tested(digits, digits_model, tmp_path):
    plan = Curve((0.1, 0.3))
    blind = run(digits, digits_model, tmp_path / "blind.tsv", plan=plan, examples=range(60))
    known = run(digits, digits_model, tmp_path / "known.tsv", plan=plan, examples=range(60), label_known=True)
    wrong = replace(digits, test=replace(digits.test, y=(digits.test.y + 1) % 10))
    mistaken = run(wrong, digits_model, tmp_path / "wrong.tsv", plan=plan, label_known=True)
    assert all(row.predict in (-1, row.label) for row in known + mistaken)
    assert any(row.correct for row in known)
    assert not any(row.correct for row in mistaken[:8])
    assert sum(row.votes for row in known) < sum(row.votes for row in blind)
    with pytest.raises(OutputError, match="label_known False instead of True"):
        run(digits, digits_model, tmp_path / "blind.tsv", plan=plan, examples=range(60), label_known=True)


class Killed(Exception):
    pass


@pytest.mark.parametrize("plan", [Fixed(100, 5000), Curve((0.2, 0.5), chunk=1024)], ids=["fixed", "curve"])
def test_an_interrupted_run_continues_even_from_half_a_line(digits, digits_model, tmp_path, plan):
    whole, broken = tmp_path / "whole.tsv", tmp_path / "broken.tsv"
    run(digits, digits_model, whole, plan=plan)

    def kill(row):
        if row.idx == 4:
            raise Killed

    with pytest.raises(Killed):
        run(digits, digits_model, broken, plan=plan, on_certificate=kill)
    assert broken.read_text().count("\n") == 6
    with broken.open("a") as table:
        table.write("5\t3\t3\t0.")
    seen = []
    rows = run(digits, digits_model, broken, plan=plan, on_certificate=lambda row: seen.append(row.idx))
    assert without_time(broken) == without_time(whole)
    assert seen == list(range(8))
    assert len(rows) == 8


def test_a_killed_process_continues_to_the_same_table(digits, digits_model, tmp_path):
    command = [sys.executable, "-m", "sfumato", "certify", "--model", str(digits_model), "--beta", "0.5"]
    command += ["--n", "2000", "--first", "40", "--device", "cpu"]
    whole, broken = tmp_path / "whole.tsv", tmp_path / "broken.tsv"
    process = subprocess.Popen([*command, "--out", str(broken)], stdout=subprocess.DEVNULL)
    while not broken.exists() or broken.read_text().count("\n") < 5:
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert broken.read_text().count("\n") < 41
    for out in (broken, whole):
        run(digits, digits_model, out, plan=Fixed(100, 2000), examples=range(40))
    assert without_time(broken) == without_time(whole)


def test_a_clock_that_jumps_changes_no_row(digits, digits_model, tmp_path, monkeypatch):
    whole, jumping = tmp_path / "whole.tsv", tmp_path / "jumping.tsv"
    run(digits, digits_model, whole)
    times = itertools.cycle([0.0, 4e9, -1.0, 1.7e9])  # 1970, 2096, 1969, 2023
    asked = []

    def jump():
        asked.append(next(times))
        return asked[-1]

    monkeypatch.setattr(time, "time", jump)
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * jump()))

    def stop(row):
        time.time()
        if row.idx == 4:
            raise Killed

    with pytest.raises(Killed):
        run(digits, digits_model, jumping, on_certificate=stop)
    run(digits, digits_model, jumping)
    assert len(set(asked)) > 1
    assert without_time(jumping) == without_time(whole)
    assert all(row.seconds >= 0.0 for row in read_rows(jumping))


def test_a_table_of_the_former_noise_is_read_but_not_continued(digits, digits_model, tmp_path):
    out = tmp_path / "t.tsv"
    rows = run(digits, digits_model, out, examples=range(2))
    record = settings_path(out)
    settings = json.loads(record.read_text())
    del settings["noise_version"]
    record.write_text(json.dumps(settings))
    content = out.read_bytes()
    with pytest.raises(
        OutputError, match=r"t\.tsv: was begun by a version of Sfumato that draws other noise"
    ):
        run(digits, digits_model, out, examples=range(4))
    assert out.read_bytes() == content
    assert [(row.predict, row.radius) for row in read_rows(out)] == [
        (row.predict, row.radius) for row in rows
    ]


class Failing:
    """A black box that answers so many times and is gone then, as a device that is lost."""

    fingerprint, left = "box", 10**9

    def __call__(self, x):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the device is gone")
        return x.flatten(1)[:, :10]


def test_what_was_certified_before_a_device_is_lost_is_kept(digits, tmp_path):
    box, out = Failing(), tmp_path / "t.tsv"

    def certified(path):
        smoothed = SmoothedClassifier(box, 0.5, batch_size=32, device="cpu")
        return certify_to_file(smoothed, digits, Certification(range(8), PLAN), path)

    whole = certified(tmp_path / "whole.tsv")
    box.left = 100
    with pytest.raises(SfumatoError, match="the device is gone"):
        certified(out)
    kept = out.read_text().count("\n") - 1
    assert 0 < kept < 8
    box.left = 10**9
    assert certified(out) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta": 0.6}, "beta 0.5 instead of 0.6"),
        ({"seed": 1}, "seed 0 instead of 1"),
        ({"plan": Predict()}, r"plan fixed\(100,500\) instead of predict\(\)"),
        ({"confidence": 0.99}, "confidence 0.999 instead of 0.99"),
        ({"examples": range(7)}, "holds 8 images already, more than the 7 asked for"),
        ({"examples": range(0, 40, 4)}, r"t\.tsv:3: is about image 1, where this run has image 4"),
    ],
)
def test_another_runs_output_is_left_alone(digits, digits_model, tmp_path, change, words):
    out = tmp_path / "t.tsv"
    run(digits, digits_model, out)
    before = (out.read_bytes(), settings_path(out).read_bytes())
    with pytest.raises(OutputError, match=words):
        run(digits, digits_model, out, **change)
    assert (out.read_bytes(), settings_path(out).read_bytes()) == before


@pytest.mark.parametrize("content", ["[]", "{", '"text"'])
def test_a_record_that_is_none_is_refused(digits, digits_model, tmp_path, content):
    out = tmp_path / "t.tsv"
    run(digits, digits_model, out, examples=range(2))
    settings_path(out).write_text(content)
    with pytest.raises(OutputError, match=r"t\.tsv\.json: .*choose another output"):
        run(digits, digits_model, out, examples=range(2))


def test_more_images_cost_only_themselves(digits, digits_model, tmp_path, monkeypatch):
    whole, grown = tmp_path / "whole.tsv", tmp_path / "grown.tsv"
    run(digits, digits_model, whole, examples=range(0, 16, 2))
    run(digits, digits_model, grown, examples=range(0, 6, 2))
    certified = []
    plain = certification_run.certify_images

    def watched(smoothed, plan, x, examples, *rest, **options):
        certified.extend(examples)
        return plain(smoothed, plan, x, examples, *rest, **options)

    monkeypatch.setattr(certification_run, "certify_images", watched)
    run(digits, digits_model, grown, examples=range(0, 16, 2))
    assert certified == [6, 8, 10, 12, 14]
    assert without_time(grown) == without_time(whole)
    assert read_settings(settings_path(grown)) | {"seal": 0} == read_settings(settings_path(whole)) | {
        "seal": 0
    }


def test_a_checkpoint_may_move(digits, digits_model, tmp_path):
    moved, out = tmp_path / "moved.safetensors", tmp_path / "t.tsv"
    moved.write_bytes(digits_model.read_bytes())
    run(digits, digits_model, out, examples=range(2))
    rows = run(digits, moved, out, examples=range(3))
    assert [row.idx for row in rows] == [0, 1, 2]


def test_a_table_of_unknown_origin_is_left_alone(digits, digits_model, tmp_path):
    out = tmp_path / "t.tsv"
    out.write_text("mine\n")
    with pytest.raises(OutputError, match="exists, but no run with these settings wrote it"):
        run(digits, digits_model, out)
    assert out.read_text() == "mine\n"
    assert not settings_path(out).exists()


MEMORY = """
import resource, torch
from sfumato import Fixed, SmoothedClassifier
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
x = torch.rand(1, 1, 28, 28)
SmoothedClassifier(model, 0.5, batch_size=1000, device="cpu").certify(x, Fixed(100, {n}))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_votes():
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", MEMORY.format(n=n)], capture_output=True, text=True, check=True
            ).stdout
        )
        for n in (10_000, 1_000_000)
    ]
    assert abs(peaks[1] - peaks[0]) < 50


@pytest.mark.parametrize("label_known", [False, True])
def test_workers_write_the_same_file(digits, digits_model, tmp_path, workers, label_known):
    one, two, seen, notes = tmp_path / "one.tsv", tmp_path / "two.tsv", [], []
    options = {"plan": Curve((0.1, 0.2, 0.3)), "examples": range(3, 33), "label_known": label_known}
    run(digits, digits_model, one, **options)
    # a run that was killed in half a line is gone on with by workers
    two.write_text("".join(one.read_text().splitlines(keepends=True)[:12]) + "14\t3\t3\t0.")
    unsealed = {name: value for name, value in read_settings(settings_path(one)).items() if name != "seal"}
    settings_path(two).write_text(json.dumps(unsealed))
    watch = {"on_certificate": lambda row: seen.append(row.idx), "on_pace": notes.append}
    run(digits, digits_model, two, executor=workers, **watch, **options)
    assert without_time(two) == without_time(one)
    assert seen == list(options["examples"])
    assert "votes/s" in notes[-1]


def test_killed_workers_lose_no_row_and_change_none(digits, digits_model, tmp_path):
    one, two, killed = tmp_path / "one.tsv", tmp_path / "two.tsv", []
    options = {"plan": Fixed(100, 2000), "examples": range(60)}

    def kill_workers(row):
        if row.idx in (0, 20):
            for worker in multiprocessing.active_children():
                kill(worker.pid)
                killed.append(worker.pid)

    run(digits, digits_model, one, **options)
    with Processes(2) as executor:
        run(digits, digits_model, two, executor=executor, on_certificate=kill_workers, **options)
    assert len(killed) >= 2
    assert without_time(two) == without_time(one)
