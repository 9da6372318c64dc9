"""What verify finds in a study: rows behind the seals, models, settings, and votes that were never cast."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.certification.verify import AtHand
from sfumato.models.checkpoint import load_model, save_model
from sfumato.studies.design import make_design, write_design
from sfumato.studies.run import STUDY_FILE, run_study
from sfumato.studies.store import Store
from sfumato.studies.verify import verify_study
from study_rows import edited

pytestmark = pytest.mark.usefixtures("one_thread")

TABLES = {
    "data": {"images": 30},
    "model": {"epochs": 1, "batch_size": 100},
    "grid": {"alpha": [0.4], "beta": [0, 0.5]},
    "votes": {"n": 40},
    "certification": {"beta": [0.5], "radii": [0.1, 0.2], "images": 8},
}


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "study"
    run_study(make_design(TABLES), folder, device="cpu")
    return folder


@pytest.fixture
def study(origin, tmp_path):
    return shutil.copytree(origin, tmp_path / "study")


def verified(folder, redraw=0):
    return verify_study(folder, AtHand(redraw=redraw, seed=0, device="cpu"))


def test_a_study_of_a_file_that_is_seen_from_another_folder_is_verified_with_data(
    digits, tmp_path, monkeypatch, sfumato
):
    monkeypatch.chdir(tmp_path)
    np.savez("shapes.npz", x=digits.test.x[:200], y=digits.test.y[:200])
    run_study(
        make_design(TABLES | {"data": {"name": "shapes.npz", "images": 10}}), tmp_path / "st", device="cpu"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, out, _ = sfumato("verify", "../st", "--device", "cpu")
    assert code == 0
    assert "(shapes.npz: no such file; give an existing one); give --data\n" in out
    code, out, _ = sfumato("verify", "../st", "--device", "cpu", "--data", "../shapes.npz")
    assert (code, "not checked" in out) == (0, False)
    code, _, errors = sfumato("study", "run", "../st", "--device", "cpu")
    assert (code, errors.splitlines()[-1]) == (
        2,
        "error: shapes.npz: no such file; give an existing one, with --data",
    )
    code, _, errors = sfumato("study", "run", "../st", "--device", "cpu", "--data", "../shapes.npz")
    assert code == 0, errors


def test_a_study_of_a_folder_of_images_is_verified_with_the_size_that_it_states(tmp_path):
    folders = tmp_path / "photos"
    for label in ("dark", "light"):
        (folders / label).mkdir(parents=True)
        for number in range(30):
            grey = number + 100 * (label == "light")
            Image.new("L", (10, 10), grey).save(folders / label / f"{number}.png")
    data = {"name": str(folders), "size": 8, "images": 8}
    run_study(make_design(TABLES | {"data": data}), tmp_path / "st", device="cpu")
    assert verified(tmp_path / "st").differences == []


def test_nothing_is_found_in_a_sound_study(study):
    found = verified(study, redraw=3)
    assert (found.differences, found.unchecked) == ([], [])
    assert "68 rows match their checksums" in found.checked
    assert sum("drawn again from the seed" in line for line in found.checked) == 3
    assert any("8 certificates derived from their counts" in line for line in found.checked)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE certificates SET radius = radius + 0.05 WHERE example = 3",
        "UPDATE certificates SET counts = '10|3=32' WHERE example = 3",
        "UPDATE images SET predicted = 1 - predicted % 2 WHERE example = 3",
        "DELETE FROM images WHERE example = 3",
        "DELETE FROM certificates WHERE example = 7",
        "UPDATE models SET weights_sha256 = 'x'",
        "UPDATE cells SET key = key || '0'",
    ],
)
def test_a_change_behind_the_seals_is_found(study, statement):
    edited(study, statement)
    assert any("checksum" in line for line in verified(study).differences)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"votes": {"n": 40, "seed": 1}}, "settings"),
        ({"certification": TABLES["certification"] | {"confidence": 0.99}}, "settings"),
        ({"certification": TABLES["certification"] | {"radii": [0.1, 0.3]}}, "settings"),
        ({"model": {"epochs": 2, "batch_size": 100}}, "settings"),
    ],
)
def test_changed_settings_are_found(study, changes, words):
    write_design(make_design(TABLES | changes), study / STUDY_FILE)
    assert any(line.startswith(f"{words}:") for line in verified(study).differences)


def test_a_changed_model_is_found(study):
    (path,) = (study / "models").glob("*.safetensors")
    model, record = load_model(path)
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    path.unlink()
    save_model(model, record, path)
    assert any(line.startswith("model:") for line in verified(study).differences)


def test_a_certificate_that_does_not_follow_from_its_counts_is_found_under_a_right_seal(study, monkeypatch):
    plain = Store.certificates

    def forged(self, cell, limit):
        return [
            row if row.idx != 5 else type(row)(**(vars(row) | {"radius": row.radius + 0.1}))
            for row in plain(self, cell, limit)
        ]

    monkeypatch.setattr(Store, "certificates", forged)
    found = verified(study)
    assert any("image 5" in line and "derived" in line for line in found.differences)


def test_the_command_takes_a_folder(study, sfumato):
    code, out, _ = sfumato("verify", study, "--redraw", 0)
    assert (code, out.splitlines()[-1].endswith("no difference found")) == (0, True)
