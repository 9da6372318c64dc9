"""Tables of every kind of model are verified by the options that certified them, and by none too many."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import sfumato as sf
from sfumato.certification.file import checksum_of_settings
from sfumato.training.denoising import DenoiserSettings, train_denoiser

MODULE = """
import torch
from torch import nn

def build(input_shape, num_classes):
    return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, num_classes))

def labels(input_shape, num_classes):
    model = build(input_shape, num_classes)
    model.load_state_dict(torch.load("own.pt", weights_only=True))
    model.eval()
    return lambda x: model(x).argmax(1)

def ready(input_shape, num_classes):
    return lambda x: torch.nn.functional.one_hot(x.flatten(1).argmax(1) % 10, 10).float()
"""
OWN = ("--model", "own.pt", "--network", "own:build")
STANDARDISED = ("--mean", "0.3", "--std", "0.4")
CHECKPOINTS = ("--model", "digits.safetensors", "--model", "other.safetensors")
DENOISED = ("--model", "digits.safetensors", "--denoiser", "denoiser.safetensors")
KINDS = {
    "own": OWN,
    "standardised": (*OWN, *STANDARDISED),
    "at-beta": (*OWN, "--normalization", "at-beta"),
    "sound": (*OWN, "--sound", "--steps", "16"),
    "labels": ("--model", "own:labels"),
    "said": ("--model", "own:ready", "--fingerprint", "v1"),
    "mean": CHECKPOINTS,
    "mean-of-own": ("--model", "own.pt", *OWN),
    "denoised": DENOISED,
}
NOT_OF_VERIFY = {"--sound", "--steps", "16", "--normalization", "at-beta"}


@pytest.fixture(scope="module")
def files(digits, digits_model, tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    (place / "own.py").write_text(MODULE)
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10))
    torch.save(network.state_dict(), place / "own.pt")
    shutil.copy(digits_model, place / "digits.safetensors")
    sf.train(digits, sf.TrainingSettings(alpha=0.3, epochs=1), place / "other.safetensors", device="cpu")
    small = DenoiserSettings(alpha=0.3, epochs=1, depth=2, width=2)
    train_denoiser(digits, small, place / "denoiser.safetensors", device="cpu")
    return place


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(files, tmp_path / "own"))
    monkeypatch.delitem(__import__("sys").modules, "own", raising=False)
    return Path.cwd()


@pytest.fixture
def certified(folder, sfumato):
    """A function that certifies five digits into t.tsv by a kind of model."""

    def run(kind):
        plan = ("--beta", "0.3", "--plan", "fixed(10,100)", "--first", "5", "--device", "cpu")
        code, _, errors = sfumato("certify", *KINDS[kind], *plan, "--out", "t.tsv")
        assert code == 0, errors

    return run


@pytest.fixture
def found(sfumato):
    """A function that returns what verify says of t.tsv."""

    def run(*options):
        code, out, errors = sfumato("verify", "t.tsv", *options, "--device", "cpu", "--json")
        assert out, errors
        return code, json.loads(out)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_votes_are_drawn_again_by_the_options_that_certified_them(kind, certified, found):
    certified(kind)
    code, said = found(*(word for word in KINDS[kind] if word not in NOT_OF_VERIFY))
    assert (code, said["differences"], said["unchecked"]) == (0, [], [])
    assert said["checked"][-1].startswith("votes of images ")


@pytest.mark.parametrize(
    ("kind", "options", "help_"),
    [
        ("own", (), "the network is built by own:build; give --network own:build to run it"),
        ("labels", (), "the code own:labels is run only if it is named here; give --model own:labels"),
        ("mean", (), "give --model digits.safetensors --model other.safetensors"),
        ("mean", CHECKPOINTS[:2], "give --model digits.safetensors --model other.safetensors"),
        ("denoised", (), "give --model digits.safetensors --denoiser denoiser.safetensors"),
        ("denoised", DENOISED[:2], "give --model digits.safetensors --denoiser denoiser.safetensors"),
        ("own", (*OWN[:2], "--network", "own:gone"), "has no 'gone'"),
        ("own", OWN[:2], "take such weights with --network package.module:name"),
        ("own", (*OWN, *STANDARDISED), "leave out --mean and --std"),
    ],
)
def test_what_is_not_loaded_is_no_difference_and_the_option_that_helps_is_named(
    kind, options, help_, certified, found
):
    certified(kind)
    code, said = found(*options)
    assert (code, said["differences"]) == (0, [])
    (line,) = said["unchecked"]
    assert line.startswith("alpha, clean_accuracy and votes: ")
    assert help_ in line


def test_mean_and_std_of_the_run_are_in_its_settings(certified, found):
    certified("standardised")
    code, said = found(*OWN)
    assert (code, said["differences"], said["unchecked"]) == (0, [], [])


def test_settings_of_a_version_without_mean_and_std_need_both_named(certified, found):
    certified("standardised")
    record = Path("t.tsv.json")
    settings = json.loads(record.read_text())
    del settings["mean"], settings["std"]
    settings["seal"]["settings_sha256"] = checksum_of_settings(settings)
    record.write_text(json.dumps(settings))
    code, said = found(*OWN)
    assert (code, said["differences"]) == (0, [])
    assert "give --mean and --std as the run had them" in said["unchecked"][0]
    assert found(*OWN, *STANDARDISED)[1]["unchecked"] == []


@pytest.mark.parametrize("kind", ["own", "at-beta", "standardised"])
def test_other_weights_are_a_difference(kind, certified, found):
    certified(kind)
    state = torch.load("own.pt", weights_only=True)
    state["2.bias"][0] += 1
    torch.save(state, "own.pt")
    code, said = found(*OWN)
    assert code == 1
    assert said["differences"] == ["model: own.pt: its weights are others than those that were certified"]


def test_a_file_that_is_no_model_any_more_is_no_difference(certified, found):
    certified("own")
    Path("own.pt").write_text("not weights")
    code, said = found(*OWN)
    assert (code, said["differences"]) == (0, [])
    assert said["unchecked"][0].startswith("alpha, clean_accuracy and votes: own.pt: ")


def test_a_checkpoint_of_other_weights_is_a_difference_though_its_network_cannot_be_built(
    folder, sfumato, found
):
    for seed in (0, 1):
        own = ("train", "--model", "own:build", "--alpha", "0.3", "--epochs", "1", "--device", "cpu")
        assert sfumato(*own, "--seed", seed, "--out", f"{seed}.safetensors")[0] == 0
    certify = (
        "certify",
        "--model",
        "0.safetensors",
        "--network",
        "own:build",
        "--beta",
        "0.3",
        "--first",
        "2",
    )
    assert sfumato(*certify, "--out", "t.tsv", "--device", "cpu", "--plan", "fixed(10,100)")[0] == 0
    assert found()[1]["differences"] == []
    assert found("--model", "1.safetensors")[1]["differences"] == [
        "model: 1.safetensors: its weights are others than those that were certified"
    ]


def test_another_fingerprint_is_a_difference(certified, found):
    certified("said")
    assert found("--model", "own:ready")[1]["differences"] == []
    code, said = found("--model", "own:ready", "--fingerprint", "v2")
    assert code == 1
    assert "its fingerprint is 'v2', and 'v1' was certified" in said["differences"][0]


def test_a_model_handed_over_in_python_is_verified(certified):
    from sfumato.certification.verify import AtHand, verify_table
    from sfumato.models.classifier import load_classifier
    from sfumato.models.ensemble import ensemble

    certified("mean")
    members = [load_classifier(name, (1, 8, 8), 10) for name in CHECKPOINTS[1::2]]
    said = verify_table(Path("t.tsv"), AtHand(model=ensemble(members), device="cpu"))
    assert (said.differences, said.unchecked) == ([], [])
