"""What happens to a table while it is written: full disks, folders that go away, other models, other runs."""

import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from sfumato import Fixed, SmoothedClassifier
from sfumato.certification.file import settings_path
from sfumato.certification.recorded_answers import answers, difference
from sfumato.certification.run import Certification, certify_to_file
from sfumato.certification.table import read_rows
from sfumato.errors import ModelError, OutputError, WriteError
from sfumato.execution.local import Processes
from sfumato.models.classifier import load_classifier

PLAN = Fixed(10, 50)


def run(digits, model, out, examples=range(4), mean=None, std=None, **options):
    classifier = load_classifier(str(model), digits.input_shape, digits.num_classes, mean, std)
    smoothed = SmoothedClassifier(classifier, 0.5, batch_size=100, device="cpu")
    return certify_to_file(smoothed, digits, Certification(examples, PLAN), out, **options)


def test_a_full_disk_leaves_whole_rows_and_the_run_goes_on_after_it(digits, digits_model, tmp_path, limited):
    out = tmp_path / "t.tsv"
    run(digits, digits_model, tmp_path / "whole.tsv", range(40))
    record = settings_path(tmp_path / "whole.tsv").stat().st_size
    limited(record + 1000)
    with pytest.raises(WriteError, match=r"t\.tsv: cannot be written \(File too large\)"):
        run(digits, digits_model, out, range(40))
    limited(resource.RLIM_INFINITY)
    assert out.read_bytes().endswith(b"\n")
    kept = read_rows(out)
    assert 0 < len(kept) < 40
    rows = run(digits, digits_model, out, range(40))
    whole = read_rows(tmp_path / "whole.tsv")
    assert rows == whole
    assert rows[: len(kept)] == kept


def test_a_disk_that_workers_read_from_and_is_full_is_what_is_said(digits, digits_model, tmp_path, limited):
    with Processes(1) as executor:
        limited(5000)
        with pytest.raises(WriteError, match=r"cannot be written \(File too large\)"):
            executor.share("the model", torch.zeros(100_000))
        limited(resource.RLIM_INFINITY)


def replace_by_a_copy(out):
    copy = out.with_name("copy")
    copy.write_bytes(out.read_bytes())
    copy.replace(out)


def replace_folder(out):
    out.parent.rename(out.parent.with_name("moved"))
    out.parent.mkdir()
    out.write_text("mine")


def add(out):
    with out.open("a") as table:
        table.write("mine\n")


@pytest.mark.parametrize("last", [False, True], ids=["in the midst", "after the last row"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out: shutil.rmtree(out.parent), "was removed or replaced while it was written"),
        (lambda out: out.unlink(), "was removed or replaced"),
        (replace_by_a_copy, "was removed or replaced"),
        (replace_folder, "was removed or replaced"),
        (lambda out: os.truncate(out, 0), "was changed by another program"),
        (add, "was changed by another program"),
        (lambda out: settings_path(out).unlink(), r"t\.tsv\.json: was removed while"),
    ],
)
def test_a_table_that_is_gone_or_changed_meanwhile_is_a_failure(
    digits, digits_model, tmp_path, change, words, last
):
    out = tmp_path / "folder" / "t.tsv"

    def disturb(row):
        if row.idx == (3 if last else 1):
            change(out)

    with pytest.raises(WriteError, match=words) as failed:
        run(digits, digits_model, out, on_certificate=disturb)
    assert failed.value.exit_code == 1
    assert "\n" not in str(failed.value)


class Box:
    """A black box of the digits; its answers are its owner's secret."""

    def __init__(self, answer, fingerprint=None):
        self.answer = answer
        if fingerprint is not None:
            self.fingerprint = fingerprint

    def __call__(self, x):
        return self.answer(x.flatten(1))


def first(x):
    return x[:, :10]


def flat(x):
    return first(x.flatten(1))


def shares(x):
    return np.eye(10)[x[:, :10].argmax(1).numpy()]


@pytest.mark.parametrize(
    ("box", "other", "words"),
    [
        (Box(first), Box(lambda x: -first(x)), r"another model with this name \(its outputs for input"),
        (Box(first), Box(lambda x: x[:, 1:11]), "another model with this name"),
        (Box(first), Box(lambda x: 1.01 * first(x)), "another model with this name"),
        (Box(first), Box(shares), "another model with this name"),
        (Box(first), Box(lambda x: first(x.clamp(0, 1))), "another model with this name"),
        (Box(first), Box(lambda x: first(x).flip(1)), "another model with this name"),
        (Box(shares), Box(lambda x: np.eye(10)[first(x).argmin(1).numpy()]), "another model with this name"),
        (Box(first, "v1"), Box(first, "v2"), "with fingerprint v1 instead of v2"),
        (Box(first, "v1"), Box(first), "with fingerprint v1 instead of None"),
        (Box(first), flat, "with model Box instead of flat"),
        (Box(first), Box(lambda x: 1.000001 * first(x)), None),  # rounding
        (Box(first, "v1"), Box(lambda x: -first(x), "v1"), None),  # its owner's word counts
    ],
)
def test_a_black_box_is_known_by_its_word_or_else_by_its_answers(digits, tmp_path, box, other, words):
    out = tmp_path / "t.tsv"

    def certified(model, count):
        smoothed = SmoothedClassifier(model, 0.5, batch_size=100, device="cpu")
        return certify_to_file(smoothed, digits, Certification(range(count), PLAN), out)

    certified(box, 2)
    before = out.read_bytes()
    if words is None:
        assert len(certified(other, 3)) == 3
    else:
        with pytest.raises(OutputError, match=words):
            certified(other, 3)
        assert out.read_bytes() == before


MODULE = """
import torch
class Net(torch.nn.Module):
    def __init__(self, k):
        super().__init__()
        self.linear = torch.nn.Linear(64, k)
    def forward(self, x):
        return self.linear(x.flatten(1)){rest}
def box(shape, classes):
    return Net(classes)
"""


def test_a_network_of_the_same_weights_and_other_code_does_not_go_on_with_the_table(
    digits, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    out = tmp_path / "t.tsv"
    for rest, accepted in (("", True), (".flip(1)", False), (".relu()", False), ("", True)):
        (tmp_path / "changing.py").write_text(MODULE.format(rest=rest))
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        monkeypatch.delitem(sys.modules, "changing", raising=False)
        if accepted:
            run(digits, "changing:box", out, range(3))
        else:
            with pytest.raises(OutputError, match="of another model with this name"):
                run(digits, "changing:box", out, range(3))


def test_answers_are_the_same_on_each_call_and_allow_for_rounding(digits, digits_model):
    classifier = load_classifier(str(digits_model), digits.input_shape, digits.num_classes)
    found = [
        answers(SmoothedClassifier(classifier.model, 0.5, batch_size=size, device="cpu"), digits.test.x)
        for size in (1, 100)
    ]
    assert len(found[0]) == 32
    assert difference(found[0], found[1]) is None
    assert difference(found[0][1:], found[1]) == "its answers are not recorded"
    assert difference("text", found[1]) == "its answers are not recorded"
    assert difference([None, *found[0][1:]], found[1]).startswith("its outputs for input 1 of 32 were None")
    assert difference(["inf nan 1"], ["inf nan 1"]) is None
    assert difference(["inf nan 1"], ["inf 1 1"]) is not None


def test_a_table_never_names_other_weights_than_those_that_voted(digits, digits_model, tmp_path):
    loaded = load_classifier(str(digits_model), digits.input_shape, digits.num_classes)
    smoothed = SmoothedClassifier(loaded, 0.5, batch_size=100, device="cpu")
    with torch.no_grad():
        next(loaded.model.parameters()).mul_(2)
    with pytest.raises(ModelError, match="its weights have changed since it was loaded"):
        certify_to_file(smoothed, digits, Certification(range(2), PLAN), tmp_path / "t.tsv")
    assert list(tmp_path.iterdir()) == []


def test_another_spelling_of_a_table_that_is_written_is_told(digits, digits_model, tmp_path, monkeypatch):
    out = tmp_path / "folder" / "t.tsv"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "other.tsv").symlink_to("folder/t.tsv")
    refused = []

    def second(row):
        for spelling in ("folder/t.tsv", "folder/../folder/t.tsv", "link/t.tsv", "other.tsv"):
            with pytest.raises(OutputError, match="another process is writing it; wait for it") as told:
                run(digits, digits_model, tmp_path / spelling)
            refused.append(told.value.exit_code)

    run(digits, digits_model, out, range(2), on_certificate=second)
    assert refused == [2] * 8
    assert len(run(digits, digits_model, tmp_path / "link" / "t.tsv", range(3))) == 3


def test_the_lock_of_a_killed_process_is_gone(digits, digits_model, tmp_path):
    out = tmp_path / "t.tsv"
    run(digits, digits_model, out, range(2))
    code = (
        "import fcntl, os, signal, sys\nfile = open(sys.argv[1], 'ab')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert len(run(digits, digits_model, out, range(3))) == 3


@pytest.mark.parametrize("name", ["a" * 300, "a" * 252, "fifo"])
def test_names_that_can_be_no_table_are_refused(digits, digits_model, tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match=r"bytes; at most 255|is not a regular file"):
        run(digits, digits_model, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["fifo"]
