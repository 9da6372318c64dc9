import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sfumato
from sfumato.errors import SettingError
from sfumato.studies.design import make_design
from sfumato.studies.keys import Keys
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.methods.registry import method_class
from sfumato.training.settings import TrainingSettings

PACKAGE = Path(sfumato.__file__).parent


def test_flat_settings_are_read_back_as_the_same_training():
    settings = TrainingSettings(alpha=0.3, epochs=4, mean=(0.5,), method=GaussianAugmentation(draws=3))
    assert TrainingSettings.flat(settings.values()) == settings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"alpha": 0.1, "method": "magic"}, "method must be one of gaussian, stability, .*, got 'magic'"),
        ({"alpha": 0.1, "draws": 0}, "draws must be at least 1, got 0"),
        ({"alpha": 0.1, "drawz": 2}, "unknown key drawz; accepted are alpha"),
        ({"draws": 2}, "alpha is missing"),
        ({"alpha": 0.1, "mean": ["a"]}, "mean must be a valid number, got 'a'"),
    ],
)
def test_a_mistake_names_the_setting_and_the_value(values, words):
    with pytest.raises(SettingError, match=words):
        TrainingSettings.flat(values)


def test_every_field_says_what_it_is():
    for fields in (TrainingSettings.model_fields, method_class("gaussian").model_fields):
        assert all(field.description for field in fields.values())


@pytest.mark.parametrize(
    ("architecture", "asked", "pays", "precision"),
    [
        ("cnn", "auto", True, "bf16"),
        ("resnet20-group", "auto", True, "bf16"),
        ("cnn", "auto", False, "float32"),
        ("mlp", "auto", True, "float32"),
        ("mine:build", "auto", True, "float32"),
        ("cnn", "float32", True, "float32"),
        ("mlp", "bf16", False, "bf16"),
    ],
)
def test_bf16_is_chosen_for_our_convolutional_networks_where_it_pays(
    digits, monkeypatch, architecture, asked, pays, precision
):
    monkeypatch.setattr("sfumato.devices.pays_in_bf16", lambda device: pays)
    settings = TrainingSettings(alpha=0.1, architecture=architecture, precision=asked)
    assert settings.settled(digits, torch.device("cpu")).precision == precision
    designs = [
        make_design({"model": {"architecture": architecture, "precision": p}}) for p in (asked, precision)
    ]
    left_open, named = (Keys.of(design, digits, torch.device("cpu")) for design in designs)
    assert (left_open.model(0.2, 0), left_open.chain) == (named.model(0.2, 0), named.chain)


WITH_IT = """
import sys, tomllib
from pathlib import Path
import torch
from sfumato.cli.main import main
from sfumato.datasets import load_dataset
from sfumato.models import load_model
from sfumato.studies.design import make_design, render
from sfumato.studies.keys import Keys
data = load_dataset("digits")
designs = [make_design({"model": {"warmth": warmth}}) for warmth in (0.5, 0.7)]
keys = [Keys.of(design, data, torch.device("cpu")).model(0.2, 0) for design in designs]
print("key", keys[0] != keys[1])
print("study file", tomllib.loads(render(make_design({"model": {"warmth": 0.7}})))["model"]["warmth"])
print("record", load_model(Path("m.safetensors"))[1].training["warmth"])
sys.argv = ["sfumato", "study", "run", "--help"]
main()
"""


def test_a_setting_is_added_in_one_place_and_found_everywhere(tmp_path):
    """The command line, the record, the study file and its keys are made from the one class."""
    shutil.copytree(PACKAGE, tmp_path / "sfumato", ignore=shutil.ignore_patterns("__pycache__"))
    owner = tmp_path / "sfumato" / "training" / "settings.py"
    text = owner.read_text()
    line = '    warmth: float = Field(default=0.5, ge=0, description="a setting made up by a test")\n'
    place = text.index("    seed: Seed")
    owner.write_text(text[:place] + line + text[place:])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    run(
        "-m",
        "sfumato",
        "train",
        "--alpha",
        "0.1",
        "--epochs",
        "1",
        "--warmth",
        "0.75",
        "--out",
        "m.safetensors",
    )
    found = run("-c", WITH_IT)
    assert found.split("\n")[:3] == ["key True", "study file 0.7", "record 0.75"]
    assert "A setting made up by a test." in " ".join(found.split())
