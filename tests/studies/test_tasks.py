"""What workers do: they train where their folder is seen and else elsewhere; failures are one line."""

import os
import tempfile
import time

import pytest

from sfumato.errors import OutputError, SfumatoError
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from sfumato.studies.tasks import MARK, Place


def test_a_place_is_known_by_its_mark_and_else_one_of_this_machine_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    models, stale = tmp_path / "models", tmp_path / f"{MARK}of-a-killed-driver"
    models.mkdir()
    stale.touch()
    place = Place(tmp_path, f"{MARK}1")
    old = tmp_path / f"sfumato{MARK}old"
    old.mkdir()
    os.utime(old, (0, time.time() - 2 * 24 * 3600))
    with place.marked():
        assert not stale.exists()
        assert place.here(models / "m") == models / "m"
    assert place.here(models / "m") == tmp_path / f"sfumato{MARK}1" / "m"
    assert not old.exists(), "of a run that was killed days ago"
    (tmp_path / f"sfumato{MARK}2").symlink_to(models)
    with pytest.raises(OutputError, match=r"is not a folder of this user; remove it"):
        Place(tmp_path, f"{MARK}2").here(models / "m")


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
    model = {"architecture": "fails_late:Late", "epochs": 1}
    design = make_design({"model": model, "grid": {"alpha": [0.4], "beta": [0.5]}})
    with pytest.raises(SfumatoError, match="KeyError: 'late'"):
        run_study(design, tmp_path / "study", device="cpu")
    assert len(list((tmp_path / "study" / "models").glob("*.safetensors"))) == 1
