"""The precision of votes: the warning that bfloat16 is slow here, and what ``auto`` stands for."""

import json

import pytest
from torch import nn

from sfumato import devices
from sfumato.certification.table import read_rows
from sfumato.cli.vote_precision import chosen_precision, warn_if_slow
from sfumato.models.classifier import Classifier


@pytest.mark.parametrize(
    ("slowdown", "precisions", "warned"),
    [
        (4.0, ("float32", "bf16"), True),
        (4.0, ("float32", "float32"), False),
        (1.2, ("bf16",), False),
        (0.5, ("bf16",), False),
    ],
)
def test_it_is_said_where_bf16_is_asked_for_and_slow(monkeypatch, capsys, slowdown, precisions, warned):
    monkeypatch.setattr(devices, "bf16_slowdown", lambda device: slowdown)
    monkeypatch.setattr(devices, "_TOLD", set())
    warn_if_slow("cpu", *precisions)
    printed = capsys.readouterr()
    assert printed.out == ""
    expected = "warning: this processor lacks instructions for bfloat16: products take 4.0 times as long"
    assert printed.err.startswith(expected) if warned else printed.err == ""
    warn_if_slow("cpu", *precisions)
    assert capsys.readouterr().err == "", "once in a process"


@pytest.mark.parametrize(("pays", "expected"), [(True, "bf16"), (False, "float32")])
def test_auto_takes_bf16_where_it_pays_and_says_so(monkeypatch, capsys, pays, expected):
    monkeypatch.setattr(devices, "pays_in_bf16", lambda device: pays)
    assert chosen_precision("auto", "cpu", [Classifier.of(nn.Linear(2, 2))]) == expected
    assert f"precision {expected}: " in capsys.readouterr().err


def test_auto_leaves_a_black_box_as_it_is(monkeypatch, capsys):
    monkeypatch.setattr(devices, "pays_in_bf16", lambda device: True)
    boxes = [Classifier.of(nn.Linear(2, 2)), Classifier("box", lambda x: x)]
    assert chosen_precision("auto", "cpu", boxes) == "float32"
    assert "box is no torch module" in capsys.readouterr().err


def test_a_run_is_continued_in_the_precision_it_began_with(monkeypatch, sfumato, digits_model, tmp_path):
    monkeypatch.setattr("sfumato.devices.slow_bf16", lambda *asked: None)
    out = tmp_path / "t.tsv"
    common = ("certify", "--model", digits_model, "--beta", "0.3", "--plan", "decide(0.1)", "--out", out)
    for pays, images in ((True, 3), (False, 6)):
        monkeypatch.setattr(devices, "pays_in_bf16", lambda device, pays=pays: pays)
        code, said, error = sfumato(*common, "--precision", "auto", "--first", images, "--device", "cpu")
        assert (code, "what is certified is the bf16 network" in said) == (0, True), error
        assert "precision bf16" in error
    assert json.loads((tmp_path / "t.tsv.json").read_text())["precision"] == "bf16"
    assert len(read_rows(out)) == 6


def test_risk_names_the_precision_that_auto_chose(monkeypatch, sfumato, digits_model):
    monkeypatch.setattr(devices, "pays_in_bf16", lambda device: True)
    monkeypatch.setattr("sfumato.devices.slow_bf16", lambda *asked: None)
    asked = ("risk", digits_model, "--beta", "0.3", "--first", "20", "--n", "10", "--precision", "auto")
    code, said, error = sfumato(*asked, "--json")
    assert (code, json.loads(said)["precision"]) == (0, "bf16"), error


@pytest.mark.parametrize("command", ["certify", "risk"])
def test_a_precision_that_is_not_known_is_refused(sfumato, digits_model, command):
    model = ("--model", digits_model) if command == "certify" else (digits_model,)
    code, _, error = sfumato(command, *model, "--beta", "0.3", "--precision", "fp8")
    assert code == 2
    assert error.strip().endswith("precision must be one of auto, float32, bf16, got 'fp8'")


def test_auto_is_refused_with_workers(sfumato, digits_model, tmp_path):
    asked = ("certify", "--model", digits_model, "--beta", "0.3", "--out", tmp_path / "t.tsv")
    code, _, error = sfumato(*asked, "--precision", "auto", "--workers", "2")
    assert (code, "--precision auto is for one process; leave it out" in error) == (2, True)
