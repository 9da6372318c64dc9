"""Trainings, tables and studies of images that are read on demand are those of images held in memory."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.certification.table import read_rows
from sfumato.datasets import load_dataset, on_demand
from sfumato.models import load_model
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::sfumato.errors.DataNote")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 8)):
        for name, low in (("dark", 0), ("light", 128)):
            place = tmp_path / "d" / part / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(low, low + 128, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    return tmp_path / "d"


@pytest.fixture
def twice(monkeypatch):
    """Run a function with the images in memory, and with a bound that lets none be held and few be read."""

    def both(run):
        held = run("held")
        monkeypatch.setattr(on_demand, "HELD_BYTES", 0)
        monkeypatch.setattr(on_demand, "BLOCK_BYTES", 5 * 3 * 16 * 16 * 4)
        return held, run("streamed")

    return both


def test_a_training_on_demand_ends_with_the_same_weights(folder, tmp_path, twice):
    def run(name):
        # the normalisation is given, as its mean is rounded another way
        settings = TrainingSettings(
            alpha=0.1,
            epochs=2,
            batch_size=7,
            architecture="cnn",
            mean=(0.5,),
            std=(0.2,),
            precision="float32",
        )
        record = train(load_dataset(folder), settings, tmp_path / f"{name}.safetensors", device="cpu")
        return record, load_model(tmp_path / f"{name}.safetensors")[0].state_dict()

    (held, weights), (streamed, others) = twice(run)
    assert held.training["augmentation"] == "crop-flip"
    assert (streamed.clean_accuracy, streamed.noisy_accuracy) == (held.clean_accuracy, held.noisy_accuracy)
    assert streamed.data_sha256 != held.data_sha256  # of files, of pixels
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_commands_give_the_same_numbers_on_demand(folder, tmp_path, twice, sfumato, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ["--mean", "0.5", "--std", "0.2", "--model", "cnn", "--epochs", "1", "--precision", "float32"]
    sfumato("train", "--data", folder, "--alpha", "0.1", "--out", "m.safetensors", *model)

    def run(name):
        code, out, error = sfumato("risk", "m.safetensors", "--data", folder, "--beta", "0,0.2", "--json")
        assert code == 0, error
        code, _, error = sfumato(
            *("certify", "--model", "m.safetensors", "--data", folder, "--beta", 0.2, "--out", f"{name}.tsv"),
            *("--plan", "fixed(10,100)"),
        )
        assert code == 0, error
        code, _, error = sfumato(
            *("normalize", "m.safetensors", "--beta", 0.3, "--data", folder, "--out", f"{name}.safetensors")
        )
        assert code == 0, error
        rows = read_rows(tmp_path / f"{name}.tsv")
        votes = [(row.idx, row.label, row.predict, row.radius, row.votes) for row in rows]
        code, _, error = sfumato("advise", "--beta", "0.2", "--data", folder, "--model", "m.safetensors")
        assert code == 0, error
        return json.loads(out)["risks"], votes

    held, streamed = twice(run)
    assert streamed == held
    assert len(held[1]) == 16


def test_a_study_on_demand_has_the_same_rows(folder, tmp_path, twice):
    tables = {
        "data": {"name": str(folder)},
        "grid": {"alpha": [0.0, 0.2], "beta": [0.0, 0.2]},
        "votes": {"n": 20},
        "model": {"architecture": "mlp", "epochs": 2, "mean": [0.5], "std": [0.2], "augmentation": "none"},
        "certification": {"beta": [0.2], "images": 5, "plan": "fixed(5,20)"},
    }

    def run(name):
        results = run_study(make_design(tables), tmp_path / name, device="cpu")
        certificates = {
            cell: [(c.predict, c.radius) for c in found] for cell, found in results.certificates.items()
        }
        return {cell: found.predicted.tolist() for cell, found in results.cells.items()}, certificates

    held, streamed = twice(run)
    assert streamed == held
    assert len(held[0]) == 4


def test_loose_images_are_all_certified(folder, tmp_path, sfumato, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    settings = TrainingSettings(alpha=0.1, epochs=2)
    train(load_dataset(folder), settings, tmp_path / "m.safetensors", device="cpu")
    (tmp_path / "loose").mkdir()
    for index in range(3):
        (folder / "test" / "light" / f"{index}.png").rename(tmp_path / "loose" / f"{index}.png")
    command = ["certify", "--model", "m.safetensors", "--data", "loose", "--beta", "0.1", "--out", "t.tsv"]
    code, out, error = sfumato(*command, "--plan", "fixed(10,100)")
    assert code == 0, error
    assert "Certified share (of any class: there are no labels) of 3 test images" in out
    rows = read_rows(tmp_path / "t.tsv")
    assert [(row.label, row.predict) for row in rows] == [(-1, 1)] * 3
    refused(
        [*command[:-1], "u.tsv", "--plan", "decide(0.1)", "--label-known"],
        "no labels, which label_known needs",
    )
    refused(["risk", "m.safetensors", "--data", "loose", "--beta", "0.1"], "no labels, which risk needs")
    refused(
        ["certify", "--model", "math:sqrt", "--data", "loose", "--beta", "0.1"],
        "is told the number of classes",
    )
    (folder / "train" / "dark").rename(folder / "train" / "black")
    (folder / "test" / "dark").rename(folder / "test" / "black")
    _, _, error = sfumato("risk", "m.safetensors", "--data", folder, "--beta", "0.1", "--n", "10")
    assert "was trained on the classes dark, light, and" in error
    assert "has black, light: a label may not mean the same in both" in error


@pytest.mark.slow
def test_workers_read_the_files_themselves(folder, tmp_path, twice, sfumato):
    model = tmp_path / "m.safetensors"
    train(load_dataset(folder), TrainingSettings(alpha=0.1, epochs=2), model, device="cpu")

    def run(name):
        out = tmp_path / f"{name}.tsv"
        options = ["--beta", "0.2", "--plan", "fixed(10,100)", "--workers", "2", "--out", out]
        code, _, error = sfumato("certify", "--model", model, "--data", folder, *options)
        assert code == 0, error
        return [(row.idx, row.label, row.predict, row.radius, row.votes) for row in read_rows(out)]

    held, streamed = twice(run)
    assert streamed == held
    assert len(held) == 16
