"""Ordinary weights of PyTorch: found in what training scripts write, and never executed."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.errors import ModelError
from sfumato.models.state_dict import load_into, read_state_dict


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).eval()


def wrapped(inner: nn.Module, name: str) -> nn.Module:
    outer = nn.Module()
    outer.add_module(name, inner)
    return outer


def files(folder: Path):
    """Yield the files in which training scripts leave the weights of network(0)."""
    state = network().state_dict()
    contents = {
        "plain": state,
        "epochs": {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}},
        "robustness": {"model": state, "best": 0.9},
        "parallel": nn.DataParallel(network()).state_dict(),
        "lightning": {"state_dict": wrapped(network(), "model").state_dict(), "loops": {"fit": 1}},
        "compiled": {f"_orig_mod.module.{name}": value for name, value in state.items()},
        "old": {name: value for name, value in state.items() if "num_batches" not in name},
    }
    for name, content in contents.items():
        path = folder / f"{name}.pt"
        torch.save(content, path)
        yield path
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    yield folder / "legacy.pth"
    save_file(state, folder / "plain.safetensors")
    yield folder / "plain.safetensors"


def test_every_usual_file_gives_back_the_network(tmp_path):
    x = torch.randn(4, 1, 4, 4)
    for path in files(tmp_path):
        for target in (network(1), nn.DataParallel(network(1)), wrapped(network(1), "module")):
            load_into(target, read_state_dict(path), path)
            inner = getattr(target, "module", target)
            assert torch.equal(inner.eval()(x), network()(x)), path


def test_half_precision_weights_are_converted_exactly(tmp_path):
    half = network().half()
    torch.save(half.state_dict(), tmp_path / "half.pt")
    target = network(1)
    load_into(target, read_state_dict(tmp_path / "half.pt"), "half.pt")
    assert target[3].weight.dtype == torch.float32
    assert torch.equal(target[3].weight, half[3].weight.float())


def test_weights_of_another_network_are_refused_and_loaded_nowhere():
    target = network(1)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    state = network().state_dict()
    for change, words in [
        ({"3.bias": torch.zeros(4)}, "'3.bias' is floating point (4,), expected floating point (3,)"),
        ({"4.bias": torch.zeros(4)}, "'4.bias' is floating point (4,), expected none"),
        ({"3.bias": None}, "'3.bias' is missing, expected floating point (3,)"),
        ({"3.bias": torch.zeros(3, dtype=torch.int64)}, "'3.bias' is int64 (3,), expected floating point"),
    ]:
        changed = {n: v for n, v in (state | change).items() if v is not None}
        with pytest.raises(ModelError, match=re.escape(words)):
            load_into(target, changed, "w.pt")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


class Calls:
    def __reduce__(self):
        return Path.touch, (Path("RAN"),)


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": network().state_dict(), "hook": Calls()}, "evil.pt")
    Path("evil.pkl").write_bytes(pickle.dumps(Calls(), protocol=2))
    torch.save(network(), "whole.pt")
    for path, words in [("evil.pt", "could run code"), ("evil.pkl", ""), ("whole.pt", "model.state_dict()")]:
        with pytest.raises(ModelError, match=re.escape(words)):
            read_state_dict(path)
    assert not Path("RAN").exists()


def test_files_without_one_state_dict_are_refused_in_a_line(tmp_path):
    two = {"model": network().state_dict(), "state_dict": network().state_dict()}
    torch.jit.trace(network(), torch.zeros(1, 1, 4, 4)).save(tmp_path / "script.pt")
    torch.save({"model": network().state_dict(), "epoch": 1}, tmp_path / "cut.pt")
    whole = (tmp_path / "cut.pt").read_bytes()
    for name, content, words in [
        ("two.pt", two, "state dicts under 'state_dict' and 'model'"),
        ("list.pt", [torch.zeros(2)], "holds a list"),
        ("other.pt", {"epoch": 3}, "holds 'epoch'; a state dict"),
        ("cut.pt", whole[:-40], "not a whole file of PyTorch"),
        (
            "text.pt",
            b"weights, they say",
            "is neither a PyTorch nor a safetensors file; give a file of weights",
        ),
        ("script.pt", None, "is a TorchScript program"),
        ("none.pt", None, "no such file"),
    ]:
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        elif content is not None:
            torch.save(content, tmp_path / name)
        with pytest.raises(ModelError, match=re.escape(words)):
            read_state_dict(tmp_path / name)
