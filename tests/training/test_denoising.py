"""Training a denoiser: both losses by hand, and what it does for a classifier of clean images."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.errors import ModelError, OutputError, SettingError
from sfumato.models.checkpoint import load_model, read_safetensors
from sfumato.models.classifier import Classifier
from sfumato.models.denoised import denoised
from sfumato.models.denoiser import ResidualDenoiser, load_denoiser
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.training.denoising import DenoiserSettings, train_denoiser
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path

SMALL = DenoiserSettings(alpha=0.25, epochs=2, batch_size=250, depth=3, width=8)


@pytest.fixture(scope="module")
def plain(digits, tmp_path_factory):
    """A classifier of digits that was trained without noise."""
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    train(digits, TrainingSettings(alpha=0.0, epochs=12), path, device="cpu")
    return load_model(path)[0]


@pytest.mark.parametrize("first", [False, True])
def test_the_losses_by_hand(first):
    torch.manual_seed(0)
    x, network, denoiser = (
        torch.rand(5, 1, 3, 3),
        nn.Sequential(nn.Flatten(), nn.Linear(9, 4)),
        nn.Conv2d(1, 1, 1),
    )
    noise = np.empty((5, 1, 3, 3), dtype=np.float32)
    Gaussian(0.3).draw(torch.from_numpy(noise), Stream(Use.TRAINING_NOISE, 1, Span(0)))
    # a convolution 1 x 1 is a line
    clean = denoiser.weight.item() * (x.numpy() + noise) + denoiser.bias.item()
    weight, bias = (value.detach().numpy().astype(float) for value in network[1].parameters())

    def logits(images):
        return images.reshape(5, 9) @ weight.T + bias

    settings = SMALL.replace(loss="stability", mse_epochs=int(first))
    method = settings.training(Classifier.of(network)).method.at_epoch(0)
    loss = method.loss(denoiser, x, torch.zeros(5), Gaussian(0.3), Stream(Use.TRAINING_NOISE, 1, Span(0)))
    by_hand = ((clean - x.numpy()) ** 2).mean()
    if not first:
        found = logits(clean)
        target = logits(x.numpy()).argmax(1)
        by_hand = (np.log(np.exp(found).sum(1)) - found[np.arange(5), target]).mean()
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    loss.backward()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("loss", ["mse", pytest.param("stability", marks=pytest.mark.slow)])
def test_a_classifier_trained_without_noise_certifies_more_behind_a_denoiser(digits, plain, tmp_path, loss):
    x, labels = torch.from_numpy(digits.test.x[:150]), digits.test.y[:150]

    def certified(classifier):
        rows = SmoothedClassifier(classifier, beta=0.25, device="cpu").certify(x, "decide(0.25)")
        return sum(row.prediction == label for row, label in zip(rows, labels, strict=True))

    settings = DenoiserSettings(alpha=0.25, loss=loss, epochs=60, learning_rate=4e-3, depth=4, width=16)
    path = tmp_path / "d.safetensors"
    if loss == "mse":
        record = train_denoiser(digits, settings, path, device="cpu")
        assert record.mse < 0.35 * 0.25**2
    else:
        settings = settings.replace(mse_epochs=20)
        record = train_denoiser(digits, settings, path, classifier=plain, device="cpu")
    # measured: 119 without, 127 with mse and 126 with stability
    assert certified(denoised(plain, load_denoiser(path)[0])) >= certified(plain) + 4


def test_the_classifier_of_the_loss_is_left_as_it_was(digits, plain, tmp_path):
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    settings = SMALL.replace(loss="stability", epochs=1)
    train_denoiser(digits, settings, tmp_path / "d.safetensors", classifier=plain, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert all(parameter.requires_grad for parameter in plain.parameters())


def test_an_interrupted_training_ends_with_the_same_denoiser(digits, plain, tmp_path):
    settings = SMALL.replace(loss="stability", mse_epochs=1)
    whole = train_denoiser(digits, settings, tmp_path / "whole.safetensors", classifier=plain, device="cpu")
    path = tmp_path / "broken.safetensors"

    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_denoiser(digits, settings, path, classifier=plain, device="cpu", on_epoch=stop)
    with pytest.raises(OutputError, match="with method stability, not mse"):
        train_denoiser(digits, SMALL, path, device="cpu")
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(OutputError, match="with classifier"):
        train_denoiser(digits, settings, path, classifier=other, device="cpu")
    record = train_denoiser(digits, settings, path, classifier=plain, device="cpu")
    assert record.weights_sha256 == whole.weights_sha256
    assert record.training["classifier"] == Classifier.of(plain).checksum()
    assert not state_path(path).exists()


def test_a_denoised_classifier_is_identified_by_both_parts():
    box, front = lambda x: x, ResidualDenoiser(1, 2, 2)
    other = ResidualDenoiser(1, 2, 2)
    assert denoised(box, front).fingerprint is None  # then its answers are compared
    named = Classifier("box", box, fingerprint="version 1")
    words = [denoised(named, part).fingerprint for part in (front, other)]
    assert words[0] != words[1]
    assert all(word.startswith("version 1 behind ") for word in words)
    network = nn.Linear(2, 2)
    assert len({denoised(network, part).checksum() for part in (front, other)}) == 2
    changed = [
        Classifier("box", box, "a" * 64, fingerprint="v"),
        Classifier("box", box, "b" * 64, fingerprint="v"),
    ]
    assert denoised(changed[0], front).fingerprint != denoised(changed[1], front).fingerprint


def test_bad_input(digits, plain, tmp_path):
    output = tmp_path / "d.safetensors"
    stability = SMALL.replace(loss="stability")
    for settings, given, error, words in (
        (stability, None, SettingError, "stability needs the classifier"),
        (SMALL, plain, SettingError, "mse uses no classifier"),
        (SMALL.replace(mse_epochs=2), None, SettingError, "mse_epochs is for the loss stability, got 2"),
        (stability, lambda x: x, ModelError, "needs gradients, which a black box does not give"),
    ):
        with pytest.raises(error, match=words):
            train_denoiser(digits, settings, output, classifier=given, device="cpu")
    flat = [replace(part, x=part.x.reshape(len(part), 64)) for part in (digits.train, digits.test)]
    with pytest.raises(ModelError, match=r"a denoiser is for images .*, got input shape \(64,\)"):
        train_denoiser(replace(digits, train=flat[0], test=flat[1]), SMALL, output, device="cpu")
    with pytest.raises(SettingError, match="alpha must be greater than 0, got 0"):
        SMALL.replace(alpha=0.0)


def test_a_denoisers_file_is_verified(digits, digits_model, tmp_path):
    path = tmp_path / "d.safetensors"
    train_denoiser(digits, SMALL.replace(epochs=1), path, device="cpu")
    with pytest.raises(ModelError, match="is no denoiser; give a file written by sfumato train-denoiser"):
        load_denoiser(digits_model)
    tensors, metadata = read_safetensors(path)
    changed = {name: value + 1 for name, value in tensors.items()}
    save_file(changed, path, metadata)
    with pytest.raises(ModelError, match="weights have checksum"):
        load_denoiser(path)
    record = json.loads(metadata["sfumato_denoiser"])
    for change, words in (
        ({"depth": 4}, "does not fit its record"),
        ({"depth": "x"}, "record not understood"),
    ):
        save_file(tensors, path, {"sfumato_denoiser": json.dumps(record | change)})
        with pytest.raises(ModelError, match=words):
            load_denoiser(path)
