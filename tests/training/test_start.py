"""What a training starts from, and what stays as it was."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.errors import ModelError, OutputError, SettingError
from sfumato.models.checkpoint import load_model, read_safetensors, weights_checksum
from sfumato.training.loop import train
from sfumato.training.methods.stability import Stability
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path

STILL = TrainingSettings(
    alpha=0.2,
    epochs=1,
    batch_size=500,
    learning_rate=1e-12,
    weight_decay=0.0,
    architecture=f"{__name__}:network",
)


def network(shape, classes):
    """A small network as somebody else writes it."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes))
    )


@pytest.fixture
def weights():
    torch.manual_seed(3)
    model = network((1, 8, 8), 10)
    model[1].running_mean.fill_(0.25)
    return model.state_dict()


@pytest.mark.parametrize("kind", ["torch", "legacy", "nested", "module", "safetensors"])
def test_training_starts_from_weights_of_elsewhere_known_by_their_content(digits, weights, tmp_path, kind):
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file(weights, path)
    else:
        content = (
            {f"module.{name}": value for name, value in weights.items()} if kind == "module" else weights
        )
        torch.save(
            {"epoch": 3, "state_dict": content} if kind == "nested" else content,
            path,
            _use_new_zipfile_serialization=kind != "legacy",
        )
    output = tmp_path / "m.safetensors"
    record = train(digits, STILL.replace(warm_start=path, freeze="1.*"), output, device="cpu")
    assert record.training["warm_start"] == weights_checksum(weights)
    assert record.training["freeze"] == "1.*"
    assert record.mean == digits.channel_mean
    for name, value in read_safetensors(output)[0].items():
        if name.startswith("1."):
            assert torch.allclose(value, weights[name[2:]], atol=1e-6), name


def test_frozen_parameters_and_their_statistics_stay_and_others_move(digits, weights, tmp_path):
    path, output = tmp_path / "weights.pt", tmp_path / "m.safetensors"
    torch.save(weights, path)
    settings = STILL.replace(warm_start=path, freeze="0.weight,1.*", learning_rate=0.1)
    train(digits, settings, output, device="cpu")
    found = read_safetensors(output)[0]
    same = {name for name, value in weights.items() if torch.equal(found[f"1.{name}"], value)}
    assert same == {"0.weight", *(f"1.{name}" for name in network((1, 8, 8), 10)[1].state_dict())}
    free = tmp_path / "free.safetensors"
    train(digits, settings.replace(freeze="0.*,1.weight"), free, device="cpu")
    assert not torch.allclose(read_safetensors(free)[0]["1.1.running_mean"], weights["1.running_mean"])


def test_the_start_and_what_is_frozen_are_part_of_the_identity(digits, weights, tmp_path):
    path, output = tmp_path / "weights.pt", tmp_path / "m.safetensors"

    def stop(report):
        raise KeyboardInterrupt

    torch.save(weights, path)
    settings = STILL.replace(warm_start=path, freeze="1.*", epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(digits, settings, output, device="cpu", on_epoch=stop)
    with pytest.raises(OutputError, match=r"with freeze 1\.\*, not 0\.\*"):
        train(digits, settings.replace(freeze="0.*"), output, device="cpu")
    with pytest.raises(OutputError, match="with method gaussian, not stability"):
        train(digits, settings.replace(method=Stability()), output, device="cpu")
    path.rename(tmp_path / "renamed.pt")
    torch.save({name: value + 1 for name, value in weights.items()}, path)
    with pytest.raises(OutputError, match="with warm_start"):
        train(digits, settings, output, device="cpu")
    train(digits, settings.replace(warm_start=tmp_path / "renamed.pt"), output, device="cpu")
    assert not state_path(output).exists()


def test_a_checkpoint_of_another_method_is_a_start(digits, digits_model, tmp_path):
    settings = TrainingSettings(alpha=0.5, epochs=1, method=Stability(), warm_start=digits_model)
    record = train(digits, settings, tmp_path / "m.safetensors", device="cpu")
    assert record.training["warm_start"] == load_model(digits_model)[1].weights_sha256


class Unsafe:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Unsafe(), "holds Python objects, not only weights"),
        ([1, 2], "holds a list, not a state dict"),
        (
            {"0.weight": torch.zeros(4, 1, 3, 3), "fc.weight": torch.zeros(2), "4.bias": torch.zeros(3)},
            r"do not fit the network: '0.bias' is missing, expected floating point \(4,\), and 7 more",
        ),
    ],
)
def test_a_file_that_is_no_start_is_refused_in_one_line(digits, tmp_path, capsys, content, words):
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    with pytest.raises(ModelError, match=words):
        train(digits, STILL.replace(warm_start=path), tmp_path / "m.safetensors", device="cpu")
    assert capsys.readouterr().out == ""
    path.unlink()
    with pytest.raises(ModelError, match=r"weights\.pt: no such file"):
        train(digits, STILL.replace(warm_start=path), tmp_path / "m.safetensors", device="cpu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"freeze": "conv*"}, r"freeze pattern 'conv\*' matches no parameter of .*; it has 0.weight, 0.bias"),
        ({"freeze": "0.*,1.*,4.*"}, "leaves no parameter to train"),
        ({"freeze": "0.*", "warm_start": None}, r"starts from random weights; give weights to start from"),
    ],
)
def test_what_cannot_be_frozen_is_refused(digits, weights, tmp_path, change, words):
    path = tmp_path / "weights.pt"
    torch.save(weights, path)
    with pytest.raises(SettingError, match=words):
        train(
            digits, STILL.replace(**{"warm_start": path} | change), tmp_path / "m.safetensors", device="cpu"
        )


def test_another_normalisation_than_the_checkpoints_is_refused(digits, digits_model, tmp_path):
    settings = TrainingSettings(alpha=0.2, epochs=1, warm_start=digits_model, mean=(0.1,), std=(1.0,))
    with pytest.raises(SettingError, match=r"mean must be that of .*digits\.safetensors, .*, got 0\.1"):
        train(digits, settings, tmp_path / "m.safetensors", device="cpu")
