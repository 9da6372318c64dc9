"""Shared fixtures: small real things, and where the official data lie if they are there."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from command_line import call
from ray_cluster import cluster_of
from sfumato.datasets import Dataset, Split, load_dataset
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings
from support import SHARED_DATA

# the same examples in every run: a test fails because of a change, not of a draw
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _no_data_from_the_environment(monkeypatch, tmp_path_factory):
    monkeypatch.delenv("SFUMATO_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    if not (SHARED_DATA / "mnist").is_dir():
        pytest.skip(f"the official MNIST files are not in {SHARED_DATA / 'mnist'}")
    return load_dataset("mnist", SHARED_DATA)


@pytest.fixture(scope="session")
def digits_model(digits, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "digits.safetensors"
    train(digits, TrainingSettings(alpha=0.3, epochs=12), path, device="cpu")
    return path


@pytest.fixture
def linear():
    """Two classes split by the hyperplane x[0] = 0 in the plane: the distance to it is |x[0]|."""
    model = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    return model


@pytest.fixture
def limited():
    """Let no file grow beyond so many bytes: the system then refuses to write, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def sfumato(capsys):
    """A function that runs a command and returns its exit code, standard output and standard error."""
    return lambda *arguments: call(capsys, *arguments)


@pytest.fixture
def refused(sfumato, monkeypatch, tmp_path):
    """A function that requires a command run in ``tmp_path`` to be refused in one line, changing no file."""

    def check(arguments, words):
        monkeypatch.chdir(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        code, out, err = sfumato(*arguments)
        assert code == 2, err
        *notes, error = err.splitlines()
        assert error.startswith("error: ")
        assert words in error
        assert (out, all(line.startswith("note: ") for line in notes)) == ("", True)
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert {path: text for path, text in after.items() if "__pycache__" not in path.parts} == before

    return check


@pytest.fixture(scope="module")
def one_thread():
    """One thread: small networks are not shared out, and on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of a head that takes no tasks and two other nodes; this process is a driver of it."""
    with cluster_of(2) as cluster:
        yield cluster


@pytest.fixture
def ray_executor(cluster):
    """An executor on the cluster."""
    from sfumato.execution.ray import RayExecutor

    with RayExecutor() as executor:
        yield executor


@pytest.fixture(scope="session")
def digits_with_batch_norms(digits, tmp_path_factory):
    """A residual network trained on digits for a moment, and the data."""
    path = tmp_path_factory.mktemp("models") / "resnet.safetensors"
    few = [Split(split.x[:200], split.y[:200]) for split in (digits.train, digits.test)]
    settings = TrainingSettings(alpha=0.1, epochs=1, batch_size=16, architecture="resnet20")
    train(replace(digits, train=few[0], test=few[1]), settings, path, device="cpu")
    return path, digits
