"""``--model-timeout``: a model that hangs ends the command in a line, and no finished row is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sfumato

NET = """
import os
import time
from pathlib import Path

import torch


class Net(torch.nn.Module):
    '''Hangs when the file that HANGS names has more than HANGS_AFTER lines.'''

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, x):
        table = Path(os.environ.get("HANGS", "none"))
        if table.exists() and table.read_text().count("\\n") > int(os.environ["HANGS_AFTER"]):
            HANG
        return self.linear(x.flatten(1))


def build(input_shape, num_classes):
    return Net()
"""


@pytest.fixture
def run(tmp_path):
    def command(*arguments, hangs=None, after=0, how="time.sleep(1e6)"):
        (tmp_path / "net_that_hangs.py").write_text(NET.replace("HANG\n", how + "\n"))
        source = str(Path(sfumato.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": source}
        if hangs:
            environment |= {"HANGS": str(hangs), "HANGS_AFTER": str(after)}
        done = subprocess.run(
            [sys.executable, "-m", "sfumato", "-q", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return command


def rows(path):
    return [cells[:5] + cells[6:] for cells in (line.split("\t") for line in path.read_text().splitlines())]


def test_certify_ends_keeps_its_rows_and_goes_on_to_the_same_table(run, tmp_path):
    model = ("--model", "net_that_hangs:build", "--beta", 0.3, "--device", "cpu", "--batch-size", 40)
    certify = ("certify", *model, "--plan", "fixed(10,30)", "--confidence", 0.9, "--first", 8)
    table, whole = tmp_path / "t.tsv", tmp_path / "whole.tsv"
    code, _, error = run(*certify, "--out", table, "--model-timeout", 3, hangs=table, after=3)
    assert (code, error.count("\n")) == (1, 1), error
    assert "error: the model did not answer within 3 seconds (--model-timeout); the finished rows" in error
    kept = rows(table)
    assert 4 <= len(kept) < 9
    assert run(*certify, "--out", table, "--model-timeout", 60)[0] == 0
    assert run(*certify, "--out", whole)[0] == 0
    assert rows(table)[: len(kept)] == kept
    assert rows(table) == rows(whole)


def test_no_table_is_named_that_does_not_exist(run, tmp_path):
    (tmp_path / "now").write_text("\n")
    certify = ("certify", "--model", "net_that_hangs:build", "--beta", 0.3, "--first", 8, "--device", "cpu")
    code, _, error = run(*certify, "--out", "none.tsv", "--model-timeout", 2, hangs=tmp_path / "now")
    assert code == 1
    assert error.endswith("within 2 seconds (--model-timeout); no row was finished\n")
    assert not (tmp_path / "none.tsv").exists()


def test_risk_ends_in_a_line_where_the_model_never_sleeps(run, tmp_path):
    (tmp_path / "now").write_text("\n")
    code, shown, error = run(
        *("risk", "net_that_hangs:build", "--beta", 0.3, "--first", 5, "--device", "cpu"),
        *("--model-timeout", 2),
        hangs=tmp_path / "now",
        how="while True: pass",
    )
    assert (code, shown, error.count("\n")) == (1, "", 1), error
    assert "did not answer within 2 seconds (--model-timeout); a risk keeps nothing" in error


def test_seconds_and_workers_that_do_not_fit_are_refused(refused, digits_model, tmp_path):
    certify = ("certify", "--model", digits_model, "--beta", 0.3, "--out", tmp_path / "t.tsv")
    for options, expected in (
        (("--model-timeout", 0), "model_timeout must be a positive finite number, got 0"),
        (("--model-timeout", 5, "--workers", 2), "--model-timeout 5.0 is for one process"),
    ):
        refused([*certify, *options], expected)
