"""Whatever a model's own code does in training, one line says what it was."""

import sys
import types

import pytest
import torch
from torch import nn

from sfumato.errors import ModelError, OutputError, SfumatoError
from sfumato.models.checkpoint import read_safetensors
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("no words")


class Ending(BaseException):
    pass


class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.flat, self.layer = nn.Flatten(), nn.Linear(64, classes)

    def forward(self, x):
        return self.layer(self.flat(x))


@pytest.fixture
def architecture(monkeypatch):
    """A function that makes a factory known and returns its name."""

    def known(factory):
        module = types.ModuleType("users_own")
        module.factory = factory
        monkeypatch.setitem(sys.modules, "users_own", module)
        return "users_own:factory"

    return known


def trained(digits, architecture, path, **settings):
    settings = {"alpha": 0.2, "epochs": 1, "batch_size": 500, "architecture": architecture} | settings
    return train(digits, TrainingSettings(**settings), path, device="cpu")


RAISED = [
    ValueError("height 8\nis not 224"),
    AssertionError(),
    TypeError("no"),
    KeyError("stem"),
    AttributeError("no"),
    IndexError("no"),
    NotImplementedError("no"),
    ZeroDivisionError("no"),
    StopIteration("no"),
    RecursionError("no"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
    Unreadable(),
    SystemExit(3),
    Ending("no"),
    OSError("no service"),
    MemoryError("no room"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["forward", "factory", "state_dict"])
def test_what_a_model_raises_is_one_line_with_its_type(digits, architecture, tmp_path, where, error):
    def fail(*arguments, **named):
        raise error

    def factory(shape, classes):
        if where == "factory":
            fail()
        net = Net(shape, classes)
        setattr(net, where, fail)
        return net

    name = architecture(factory)
    with pytest.raises(SfumatoError, match=type(error).__name__) as caught:
        trained(digits, name, tmp_path / "m.safetensors", epochs=2)
    assert "\n" not in str(caught.value)
    failed = isinstance(error, OSError | MemoryError) and where != "factory"
    assert caught.value.exit_code == (1 if failed else 2)


def test_an_interruption_by_the_keyboard_stays_one(digits, architecture, tmp_path):
    class Interrupted(Net):
        def forward(self, x):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(digits, architecture(Interrupted), tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda net, x: (net.layer(net.flat(x)),), "AttributeError: 'tuple'"),
        (lambda net, x: net.layer(net.flat(x))[:, :3], "IndexError: Target . is out of bounds"),
        (lambda net, x: net.layer(net.flat(x)).detach(), "RuntimeError: element 0 .* does not require grad"),
        (lambda net, x: None, "AttributeError: 'NoneType'"),
        (lambda net, x: net.layer(net.flat(x))[:7], "ValueError: Expected input batch_size"),
    ],
)
def test_what_a_model_returns_wrongly_is_one_line(digits, architecture, tmp_path, forward, words):
    name = architecture(type("Own", (Net,), {"forward": forward}))
    with pytest.raises(ModelError, match=words):
        trained(digits, name, tmp_path / "m.safetensors")


def test_a_model_without_weights_is_refused(digits, architecture, tmp_path):
    with pytest.raises(ModelError, match="in training, failed \\(ValueError: optimizer got an empty"):
        trained(digits, architecture(lambda shape, classes: nn.Flatten()), tmp_path / "m.safetensors")


def test_a_model_that_cannot_be_copied_is_trained(digits, architecture, tmp_path):
    class Guarded(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, classes))

        def forward(self, x):
            return self.layers(x)

        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle '_thread.lock' object")

    assert trained(digits, architecture(Guarded), tmp_path / "m.safetensors").clean_accuracy > 0


def test_a_training_that_diverges_stops_and_keeps_its_last_good_state(digits, architecture, tmp_path):
    class Diverging(Net):
        steps = 0

        def forward(self, x):
            if self.training:
                Diverging.steps += 1
            # 1,000 training images are 2 steps per epoch: the third step is the second epoch's first
            return super().forward(x) * (float("nan") if Diverging.steps > 2 else 1.0)

    path = tmp_path / "m.safetensors"
    with pytest.raises(
        SfumatoError,
        match=r"alpha 0.2 diverged: its loss is nan at step 3 of 6 \(epoch 2\), .* below 0.002; ",
    ) as caught:
        trained(digits, architecture(Diverging), path, epochs=3)
    assert caught.value.exit_code == 1
    assert not path.exists()
    tensors, _ = read_safetensors(state_path(path))
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


class Stopped(Exception):
    pass


def unfinished(digits, architecture, path):
    """Leave the state after the first of two epochs."""

    def stop(report):
        raise Stopped

    settings = TrainingSettings(alpha=0.2, epochs=2, batch_size=500, architecture=architecture)
    with pytest.raises(Stopped):
        train(digits, settings, path, device="cpu", on_epoch=stop)


def test_a_state_of_another_network_of_the_same_name_is_refused(digits, architecture, tmp_path):
    """The code of a factory can change under its name."""
    path = tmp_path / "m.safetensors"
    unfinished(digits, architecture(Net), path)
    deeper = architecture(lambda shape, classes: nn.Sequential(Net(shape, 64), nn.Linear(64, classes)))
    with pytest.raises(OutputError, match=r"unfinished training of another network \('1\.\w+.*' is"):
        trained(digits, deeper, path, epochs=2)


def test_weights_that_layers_share_are_saved_and_go_on(digits, architecture, tmp_path):
    class Tied(Net):
        def __init__(self, shape, classes):
            super().__init__(shape, classes)
            self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.layer(self.second(self.first(x.flatten(1)).relu()).relu())

    path, name = tmp_path / "m.safetensors", architecture(Tied)
    unfinished(digits, name, path)
    assert {"model/1.first.weight", "model/1.second.weight"} <= set(read_safetensors(state_path(path))[0])
    assert trained(digits, name, path, epochs=2).training["epochs"] == 2
