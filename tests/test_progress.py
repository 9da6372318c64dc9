"""Progress in Python: silent in scripts unless it is asked for, one bar at a time."""

import io
import sys
import types

import numpy as np
import pytest
import torch
from rich.console import Console

import sfumato as sf
from sfumato import progress
from sfumato.progress import bar_on, shown_progress

X = np.zeros((40, 2), dtype=np.float32)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Notebook(types.ModuleType):
    """Stands for IPython in the kernel of a notebook."""

    def get_ipython(self):
        return types.SimpleNamespace(kernel=None)


def certified(linear, **options):
    smoothed = sf.SmoothedClassifier(linear, 0.5, device="cpu", batch_size=64)
    return smoothed.certify(X, "fixed(10,50)", examples=range(len(X)), **options)


def test_scripts_are_silent_unless_progress_is_asked_for(linear, capsys):
    plain, asked = certified(linear), certified(linear, progress=False)
    assert capsys.readouterr() == ("", "")
    shown = certified(linear, progress=True)
    assert capsys.readouterr() == ("", "certifying: 40 of 40 after 0 min\n")
    votes = [[row.counts for row in found] for found in (plain, asked, shown)]
    assert votes[0] == votes[1] == votes[2]


def test_a_long_job_without_a_terminal_says_a_line_a_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with shown_progress(True, "reading", None) as bar:
        for _ in range(3):
            now[0] += 61.0
            bar.advance(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"reading: {5 * n} after {n} min" for n in (1, 2, 3)] + lines[-1:]


def test_a_terminal_shows_a_bar():
    out = Terminal()
    with bar_on(Console(file=out, width=80), "certifying", 4, quiet=False) as bar:
        bar.advance(3, "image [2]")
    assert "certifying" in out.getvalue()
    assert "3/4" in out.getvalue()
    assert "image [2]" in out.getvalue()


@pytest.mark.parametrize(("asked", "drawn"), [(None, True), (True, True), (False, False)])
def test_notebooks_show_it_unless_it_is_refused(asked, drawn, linear, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", Notebook("IPython"))
    certified(linear, progress=asked)
    assert ("certifying" in capsys.readouterr().err) == drawn


@pytest.mark.parametrize("outer", [True, False])
def test_what_a_job_does_inside_stays_silent(outer, linear, capsys):
    with shown_progress(outer, "outer", 1) as bar:
        certified(linear, progress=True)
        bar.advance()
    assert capsys.readouterr().err == ("outer: 1 of 1 after 0 min\n" if outer else "")
    certified(linear, progress=True)
    assert "certifying" in capsys.readouterr().err


def test_streams_of_unknown_length_are_counted(linear, capsys):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from torch.from_numpy(X[:6])

    smoothed = sf.SmoothedClassifier(linear, 0.5, device="cpu", batch_size=64)
    smoothed.certify(torch.utils.data.DataLoader(Stream(), batch_size=4), "fixed(10,50)", progress=True)
    assert capsys.readouterr().err == "certifying: 6 after 0 min\n"


def test_trainings_studies_and_risks_show_it(digits, tmp_path, capsys):
    sf.train(digits, sf.TrainingSettings(epochs=1, alpha=0.2), tmp_path / "m.safetensors", progress=True)
    assert "training: 1 of 1 after 0 min; loss " in capsys.readouterr().err
    study = sf.Study(digits, [0.2], [0.3], images=10, votes=10, epochs=1)
    study.run(tmp_path / "study", progress=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("study: ")
    assert "training" not in line.split(";")[0]
    model, _ = sf.load_model(tmp_path / "m.safetensors")
    sf.measure_risk(model, digits.test.part(slice(10)), 0.3, n=10, device="cpu", progress=True)
    assert capsys.readouterr().err == "risk at beta 0.3: 10 of 10 after 0 min\n"
