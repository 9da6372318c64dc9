"""A checkpoint of the user's own architecture: a command runs the code that its options name, no other."""

import json
import sys
from pathlib import Path

import pytest

NET = """
from pathlib import Path
import torch
from beside import flat

with Path("RAN").open("a") as ran:
    ran.write("x")

class Net(torch.nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layer = torch.nn.Linear(64, classes)
    def forward(self, x):
        import late_import
        return self.layer(flat(x))
"""


@pytest.fixture
def sfumato(tmp_path, monkeypatch, sfumato):
    """A function that runs a command in a folder with the modules net, beside and late_import."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "moved.py").write_text("from net import Net\n")
    (tmp_path / "beside.py").write_text("def flat(x): return x.flatten(1)\n")
    (tmp_path / "late_import.py").write_text("")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    def run(*arguments):
        for name in ("net", "moved", "beside", "late_import"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        said = sfumato(*arguments)
        assert sys.path == before
        return said

    return run


def ran() -> bool:
    """Return whether net.py has run since this was last asked."""
    there = Path("RAN").exists()
    Path("RAN").unlink(missing_ok=True)
    return there


def test_every_command_needs_the_factory_named_and_then_runs_it(sfumato):
    code, _, errors = sfumato("train", "--model", "net:Net", "--alpha", "0.3", "--epochs", "1", "--out", "m")
    assert code == 0, errors
    assert ran()
    plain = [
        ["certify", "--model", "m", "--beta", "0.3", "--n0", "10", "--n", "50", "--first", "2"],
        ["risk", "m", "--beta", "0.3", "--n", "10", "--first", "5"],
        ["advise", "--model", "m", "--beta", "0.3", "--points", "200", "--images", "5"],
    ]
    for command in plain:
        code, _, errors = sfumato(*command)
        assert code == 2
        said = errors.splitlines()[-1]
        assert said.startswith("error: m: was built by 'net:Net', whose code a file alone cannot run")
        assert not ran()
        code, _, errors = sfumato(*command, "--model-factory", "net:Net")
        assert (code, "is used as" in errors) == (0, False), errors
        assert ran()
    code, out, errors = sfumato("inspect", "m")
    assert (code, json.loads(out)["architecture"], ran()) == (0, "net:Net", False)
    assert errors.startswith("note: built by 'net:Net', which was not run")
    code, out, errors = sfumato("inspect", "m", "--model-factory", "net:Net")
    assert (code, json.loads(out)["architecture"], errors, ran()) == (0, "net:Net", "", True)


def test_another_factory_is_said_and_makes_another_run(sfumato):
    sfumato("train", "--model", "net:Net", "--alpha", "0.3", "--epochs", "1", "--out", "m")
    certify = ["certify", "--model", "m", "--beta", "0.3", "--n0", "10", "--n", "50"]
    code, _, errors = sfumato(*certify, "--first", "2", "--model-factory", "moved:Net")
    assert code == 0
    assert "warning: m: was trained as 'net:Net' and is used as 'moved:Net': the weights fit" in errors
    code, _, errors = sfumato(*certify, "--first", "3", "--model-factory", "net:Net")
    assert code == 2
    assert "belongs to another run, with factory" in errors


def test_a_factory_that_nothing_needs_is_refused_and_not_run(sfumato, digits_model):
    for command in (["risk", digits_model, "--beta", "0.3"], ["inspect", digits_model]):
        code, _, errors = sfumato(*command, "--model-factory", "net:Net")
        assert (code, errors.count("\n"), ran()) == (2, 1, False)


def test_a_study_runs_the_factory_of_its_file_with_workers_too_and_its_report_does_not(sfumato, monkeypatch):
    study = ["--model", "net:Net", "--alpha", "0.2,0.4", "--beta", "0.3", "--epochs", "1", "--images", "20"]
    code, _, errors = sfumato("study", "run", *study, "--n", "20", "--out", "s", "--workers", "1")
    assert code == 0, errors
    assert ran()
    report = ["report", "s", "--gallery", "2", "--draws", "20", "--out", "r.html"]
    code, _, errors = sfumato(*report)
    assert code == 0, errors
    assert not ran()
    assert "no --model-factory names what may run" in Path("r.html").read_text()
    code, _, errors = sfumato(*report, "--model-factory", "net:Net")
    assert code == 0, errors
    assert ran()
    assert "no --model-factory names what may run" not in Path("r.html").read_text()
