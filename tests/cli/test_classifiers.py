"""Several models, and a denoiser, as the one classifier that a command certifies."""

import json

import pytest
import torch

from sfumato.models.checkpoint import load_model
from sfumato.models.classifier import Classifier
from sfumato.models.denoised import denoised
from sfumato.models.denoiser import load_denoiser
from sfumato.models.ensemble import ensemble
from sfumato.smoothing.risk import measure_risk
from sfumato.training.denoising import DenoiserSettings, train_denoiser
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

CERTIFY = ["certify", "--beta", "0.25", "--first", "5", "--plan", "fixed(10,100)", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """Two seeds of one alpha, a model of other settings, and a denoiser."""
    place = tmp_path_factory.mktemp("seeds")
    settings = TrainingSettings(alpha=0.25, epochs=1, batch_size=250)
    for name, one in {
        "seed-0": settings,
        "seed-1": settings.replace(seed=1),
        "other-0": settings.replace(batch_size=300),
        "other-1": settings.replace(seed=1),
    }.items():
        train(digits, one, place / f"{name}.safetensors", device="cpu")
    small = DenoiserSettings(alpha=0.25, epochs=1, depth=2, width=2)
    train_denoiser(digits, small, place / "denoiser.safetensors", device="cpu")
    return place


def networks(folder):
    return [load_model(folder / f"seed-{seed}.safetensors")[0] for seed in (0, 1)]


def test_several_models_or_a_pattern_are_certified_as_one_classifier(folder, sfumato, tmp_path):
    files = [folder / f"seed-{seed}.safetensors" for seed in (0, 1)]
    checksum = ensemble(networks(folder)).checksum()
    for number, models in enumerate((files, [folder / "seed-*.safetensors"])):
        out = tmp_path / f"{number}.tsv"
        code, _, err = sfumato(*CERTIFY, *(w for name in models for w in ("--model", name)), "--out", out)
        assert code == 0, err
        about = json.loads((tmp_path / f"{number}.tsv.json").read_text())
        assert about["weights_sha256"] == checksum
        assert about["model"] == f"mean of {files[0]} and {files[1]}"


def test_the_risk_of_an_ensemble_is_that_of_the_mean_logits(folder, digits, sfumato):
    files = [folder / f"seed-{seed}.safetensors" for seed in (0, 1)]
    asked = [
        "--beta",
        "0.6",
        "--n",
        "20",
        "--first",
        "100",
        "--device",
        "cpu",
        "--batch-size",
        "64",
        "--json",
    ]
    code, out, err = sfumato("risk", *files, *asked, "--ensemble")
    assert code == 0, err
    (found,) = json.loads(out)["risks"]
    one, two = networks(folder)

    class ByHand(torch.nn.Module):
        def forward(self, x):
            return (one(x) + two(x)) / 2

    split = type(digits.test)(digits.test.x[:100], digits.test.y[:100])
    assert found["errors"] == measure_risk(ByHand(), split, 0.6, n=20, device="cpu").errors
    assert len(json.loads(sfumato("risk", *files, *asked)[1])["risks"]) == 2


def test_a_denoiser_is_a_part_of_what_is_certified_and_of_its_identity(folder, sfumato, tmp_path):
    model, front, out = folder / "seed-0.safetensors", folder / "denoiser.safetensors", tmp_path / "t.tsv"
    command = [*CERTIFY, "--model", model, "--out", out]
    assert sfumato(*command, "--denoiser", front)[0] == 0
    expected = denoised(Classifier.of(networks(folder)[0]), load_denoiser(front)[0])
    assert json.loads((tmp_path / "t.tsv.json").read_text())["weights_sha256"] == expected.checksum()
    code, _, err = sfumato(*command)
    assert code == 2
    assert "belongs to another run" in err
    attack = ["attack", "--model", model, "--denoiser", front, "--beta", "0.25", "--radius", "0.25"]
    quick = ["--first", "2", "--steps", "1", "--draws", "2", "--restarts", "1", "--n-max", "200"]
    code, _, err = sfumato(*attack, *quick, "--device", "cpu", "--out", tmp_path / "a.json")
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "{}/other-*.safetensors"], "a pattern takes the seeds of one training, but"),
        (["--model", "{}/none-*.safetensors"], "no file matches this pattern"),
        (["--model", "{}/seed-0.safetensors", "--denoiser", "{}/seed-1.safetensors"], "is no denoiser"),
        (["--model", "{}/denoiser.safetensors"], "has no Sfumato record"),
    ],
)
def test_what_makes_no_classifier_is_refused(folder, refused, arguments, words):
    refused([*CERTIFY, *(argument.format(folder) for argument in arguments)], words)


def test_a_denoiser_is_trained_for_a_model(folder, sfumato, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train-denoiser", "--alpha", "0.25", "--epochs", "1", "--depth", "2", "--width", "2"]
    code, out, err = sfumato(*command, "--loss", "stability", "--model", folder / "seed-0.safetensors")
    assert code == 0, err
    assert "and loss stability" in out
    record = load_denoiser(tmp_path / "denoiser.safetensors")[1]
    assert json.loads(sfumato("inspect", "denoiser.safetensors")[1])["mse"] == record.mse
    assert record.training["classifier"] == load_model(folder / "seed-0.safetensors")[1].weights_sha256


def test_training_starts_from_weights_and_freezes_some(folder, sfumato, tmp_path):
    out = tmp_path / "m.safetensors"
    command = ["train", "--alpha", "0.1", "--epochs", "1", "--out", out, "--device", "cpu"]
    code, _, err = sfumato(*command, "--from", folder / "seed-0.safetensors", "--freeze", "1.*")
    assert code == 0, err
    training = load_model(out)[1].training
    before = load_model(folder / "seed-0.safetensors")
    assert (training["warm_start"], training["freeze"]) == (before[1].weights_sha256, "1.*")
    weights = [model.state_dict()["1.1.weight"] for model in (before[0], load_model(out)[0])]
    assert torch.equal(*weights)
