"""Networks of timm and torchvision by name, with stand-ins for the libraries, and their absence."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from sfumato.datasets import load_dataset
from sfumato.errors import MissingPackageError, ModelError
from sfumato.models import build_model, load_model
from sfumato.models.checkpoint import read_record
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

NORMAL = {"mean": [0.5], "std": [0.5]}


def network(channels, size, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * size[0] * size[1], classes))


@pytest.fixture
def timm(monkeypatch):
    """A stand-in that has two networks, one of them for a size that it has to be told."""
    calls = []

    def create_model(name, *, pretrained, num_classes, in_chans, img_size=(8, 8)):
        calls.append((name, pretrained, num_classes, in_chans, img_size))
        return network(in_chans, img_size, num_classes)

    module = ModuleType("timm")
    module.list_models = lambda: ["resnet18", "vit_tiny"]
    module.get_pretrained_cfg = lambda name, allow_unregistered: SimpleNamespace(
        fixed_input_size=name.startswith("vit")
    )
    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    return calls


@pytest.fixture
def torchvision(monkeypatch):
    calls = []
    models = ModuleType("torchvision.models")
    models.list_models = lambda module: ["resnet18"] if module is models else ["ssd"]
    models.get_model = lambda name, **settings: calls.append((name, settings)) or network(3, (8, 8), 4)
    module = ModuleType("torchvision")
    module.models = models
    monkeypatch.setitem(sys.modules, "torchvision", module)
    return calls


def test_timm_is_asked_for_random_weights_and_told_channels_classes_and_size(timm):
    for name in ("resnet18", "resnet18.a1_in1k", "vit_tiny"):
        shape = (2, 12, 10) if name == "vit_tiny" else (2, 8, 8)
        assert build_model(f"timm:{name}", shape, 5, **NORMAL)(torch.zeros(3, *shape)).shape == (3, 5)
    assert timm == [
        ("resnet18", False, 5, 2, (8, 8)),
        ("resnet18.a1_in1k", False, 5, 2, (8, 8)),
        ("vit_tiny", False, 5, 2, (12, 10)),
    ]


def test_torchvision_is_asked_for_random_weights(torchvision):
    assert build_model("torchvision:resnet18", (3, 8, 8), 4, **NORMAL)(torch.zeros(1, 3, 8, 8)).shape == (
        1,
        4,
    )
    assert torchvision == [("resnet18", {"weights": None, "num_classes": 4})]
    with pytest.raises(ModelError, match="for images of 3 channels, the data have 1"):
        build_model("torchvision:resnet18", (1, 8, 8), 4, **NORMAL)
    with pytest.raises(
        ModelError, match=r"torchvision has no network .* called 'resnet19'; near are resnet18"
    ):
        build_model("torchvision:resnet19", (3, 8, 8), 4, **NORMAL)


@pytest.mark.parametrize("name", ["resnet81", "hf-hub:somebody/model", "", "../resnet18", "local-dir:/tmp"])
def test_what_timm_does_not_have_is_refused_and_not_fetched(timm, name):
    with pytest.raises(ModelError, match="timm has no network for image classes called"):
        build_model(f"timm:{name}", (3, 8, 8), 4, **NORMAL)
    assert timm == []


def test_an_absent_library_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(MissingPackageError, match=r"^timm:resnet18 needs timm: pip install timm$"):
        build_model("timm:resnet18", (3, 8, 8), 4, **NORMAL)


def test_a_library_that_lacks_torchvision_says_so(tmp_path, monkeypatch):
    (tmp_path / "timm.py").write_text("import torchvision.ops_that_are_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(ModelError, match=r"timm cannot be imported \(.*torchvision.* belongs to your torch$"):
        build_model("timm:resnet18", (3, 8, 8), 4, **NORMAL)


def test_a_checkpoint_names_its_network_and_is_loaded_where_the_user_names_it(timm, tmp_path, sfumato):
    data, path = load_dataset("digits"), tmp_path / "m.safetensors"
    train(data, TrainingSettings(alpha=0.1, architecture="timm:resnet18", epochs=1), path, device="cpu")
    assert read_record(path).architecture == "timm:resnet18"
    with pytest.raises(ModelError, match="timm:resnet18"):
        load_model(path)
    assert load_model(path, factory="timm:resnet18")[0](torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    command = ["risk", "--data", "digits", "--beta", "0.1", "--first", "5", "--n", "10"]
    code, _, error = sfumato(*command, path, "--model-factory", "timm:resnet18")
    assert code == 0, error
    code, _, error = sfumato(*command, "timm:resnet18")
    assert (code, "is a network with random weights; train it" in error) == (2, True)
