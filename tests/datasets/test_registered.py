"""A data set from outside the package: known by its name, and looked at as any file is."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.datasets import Dataset, Split, dataset_names, load_dataset, register_dataset
from sfumato.datasets.registry import DATASETS
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.studies.design import make_design
from sfumato.studies.todo import study_data

MOONS = Dataset(
    "whatever",
    Split(np.zeros((4, 2)), np.array([0, 1, 1, 0])),
    Split(np.ones((2, 2)), np.array([1, 0])),
    ("new", "full"),
    "radii of the moon",
    "drawn",
)


@pytest.fixture(autouse=True)
def _registry_of_its_own(monkeypatch):
    for name in dataset_names():
        monkeypatch.setitem(DATASETS, name, DATASETS[name])
    monkeypatch.delitem(DATASETS, "moons", raising=False)
    yield
    DATASETS.pop("moons", None)


def test_it_is_loaded_by_name_everywhere(tmp_path):
    asked = []

    def load(data_dir, fetch):
        asked.append((data_dir, fetch))
        return MOONS

    register_dataset("moons", load)
    found = load_dataset("moons", tmp_path, fetch=False)
    assert asked == [(tmp_path, False)]
    assert (found.name, found.unit, found.checksum()) == ("moons", MOONS.unit, MOONS.checksum())
    study = make_design({"data": {"name": "moons"}, "grid": {"alpha": [0.1], "beta": [0.5]}})
    assert study_data(study).checksum() == MOONS.checksum()
    with pytest.raises(DataError, match="accepted are digits, mnist, fashion-mnist, cifar10, moons, a path"):
        load_dataset("mons")


def test_a_name_is_given_once():
    def load(data_dir, fetch):
        return MOONS

    register_dataset("moons", load)
    register_dataset("moons", load)
    for name in ("moons", "digits", "mnist"):
        with pytest.raises(SettingError, match=f"a data set '{name}' is registered already"):
            register_dataset(name, lambda data_dir, fetch: MOONS)
    assert load_dataset("digits").num_classes == 10


@pytest.mark.parametrize("name", ["", "a/b", "moons.npz", "..", "two words", "-moons", "moons\n"])
def test_a_name_that_could_be_a_path_is_refused(name):
    with pytest.raises(SettingError, match="name must be of letters, digits, - and _"):
        register_dataset(name, lambda data_dir, fetch: MOONS)


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        (MOONS.train, "moons: its loader must return a Dataset, got Split"),
        (replace(MOONS, class_names=("new",)), r"moons \(train\): label 1 is outside 0..0"),
        (replace(MOONS, test=Split(np.full((2, 2), np.nan), [0, 1])), r"moons \(test\)"),
        (replace(MOONS, test=Split(np.ones((2, 3)), [0, 1])), r"shape \(2,\) but test examples \(3,\)"),
        (replace(MOONS, test=Split(np.ones((3, 2)), [0, 1])), "x has 3 examples but y has 2"),
    ],
)
def test_what_it_loads_is_looked_at(loaded, words):
    register_dataset("moons", lambda data_dir, fetch: loaded)
    with pytest.raises(DataError, match=words):
        load_dataset("moons")


def test_a_loader_that_fails_is_one_line():
    def fail(data_dir, fetch):
        raise KeyError("craters")

    register_dataset("moons", fail)
    with pytest.raises(ModelError, match=r"moons: the data set cannot be loaded \(KeyError: 'craters', at"):
        load_dataset("moons")


def test_the_help_and_the_commands_know_it(sfumato):
    register_dataset("moons", lambda data_dir, fetch: MOONS)
    for command in ("data", "train", "certify"):
        _, shown, _ = sfumato(command, "--help")
        assert "cifar10, moons, a .npz" in " ".join(shown.replace("│", " ").split())
    code, shown, _ = sfumato("data", "moons")
    assert (code, "radii of the moon" in shown) == (0, True)
