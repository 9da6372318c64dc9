"""``sfumato normalize``, ``--normalization``, and the warning where statistics do not fit the noise."""

import json
import shlex
import sys

import numpy as np
import pytest
import torch

from sfumato.certification.table import read_rows
from sfumato.models import load_model
from sfumato.models.checkpoint import read_record
from sfumato.smoothing.batch_norms import normalize_at, some_images

pytestmark = pytest.mark.usefixtures("one_thread")

OWN = """
import torch
from torch import nn

def scores(input_shape, classes):
    return lambda x: torch.zeros(len(x), classes)

def network(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, classes)).eval()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module with a black box and a network of one's own in the current folder."""
    (tmp_path / "own_norms.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_norms", raising=False)


def test_normalize_writes_another_checkpoint_that_says_so(sfumato, digits_with_batch_norms, tmp_path):
    path, digits = digits_with_batch_norms
    out = tmp_path / "at.safetensors"
    code, said, err = sfumato("normalize", path, "--beta", "0.5", "--images", "200", "--out", out)
    assert (code, err) == (0, "")
    assert "21 batch norms with the statistics of 200 training images of digits" in said
    model, record = load_model(out)
    before = read_record(path)
    assert record.normalization.noise == {"noise": "gaussian", "beta": 0.5}
    assert record.normalization.source_sha256 == before.weights_sha256 != record.weights_sha256
    expected = normalize_at(load_model(path)[0], some_images(digits.train.x, 200), 0.5, device="cpu")
    for name, value in expected.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    code, _, err = sfumato("normalize", path, "--beta", "0.5", "--out", out)
    assert (code, "exists already" in err) == (2, True)


def test_the_default_output_is_named_by_the_noise(sfumato, digits_model, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(digits_model.read_bytes())
    code, said, _ = sfumato("normalize", path, "--beta", "0.25")
    assert code == 0
    # without batch norms it is the same network
    assert "has no batch norms; it is written as it was" in said
    assert (tmp_path / "mine-at-0.25.safetensors").read_bytes() == path.read_bytes()


def test_risk_warns_of_what_does_not_fit_and_measures_what_does(sfumato, digits_with_batch_norms, tmp_path):
    path, _ = digits_with_batch_norms
    asked = ("--beta", "0.1,1", "--first", "30", "--n", "5", "--device", "cpu")
    code, _, err = sfumato("risk", path, *asked)
    assert code == 0
    (line,) = (line for line in err.splitlines() if "batch norms" in line)
    assert line.startswith("warning: ")
    for words in (
        "1 the statistics stored in",
        "batch norms (1.",
        "--normalization at-beta",
        f"sfumato normalize {path} --data digits --beta 1",
    ):
        assert words in line
    code, said, err = sfumato("risk", path, *asked, "--normalization", "at-beta", "--json")
    assert (code, err) == (0, "")
    found = json.loads(said)
    assert found["normalization"] == "at-beta"
    out = tmp_path / "at.safetensors"
    assert sfumato("normalize", path, "--beta", "1", "--out", out)[0] == 0
    code, said, err = sfumato("risk", out, *asked[:1], "1", *asked[2:], "--json")
    assert (code, err) == (0, "")
    assert json.loads(said)["risks"][0]["errors"] == found["risks"][1]["errors"]


def test_the_repair_that_is_named_runs_as_it_is_printed(sfumato, own, tmp_path):
    from PIL import Image

    draw = np.random.default_rng(0)
    for place in ("train/dark", "train/light", "test/dark", "test/light"):
        folder = tmp_path / "my photos" / place
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = draw.integers(0, 128, (10, 12)) + (100 if "light" in place else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    data = ("--data", "my photos", "--size", "8", "--device", "cpu")
    out = tmp_path / "my model.safetensors"
    own_network = ("--alpha", "0", "--epochs", "3", "--augmentation", "none", "--out", out)
    assert sfumato("train", "--model", "own_norms:network", *own_network, *data)[0] == 0
    asked = ("--network", "own_norms:network", "--beta", "0.71234567", "--n", "5")
    code, _, err = sfumato("risk", out, *asked, *data)
    assert code == 0, err
    (line,) = (line for line in err.splitlines() if "batch norms" in line)
    program, *arguments = shlex.split(line.partition("in a new file: ")[2])
    code, _, err = sfumato(*arguments)
    assert (program, code) == ("sfumato", 0), err
    made = read_record(tmp_path / "my model-at-0.712346.safetensors")
    assert made.normalization.noise["beta"] == 0.71234567


@pytest.mark.parametrize(
    ("noise", "named"),
    [(("--noise", "uniform"), True), (("--noise", "anisotropic", "--scales", "2"), False)],
)
def test_no_repair_is_named_that_takes_more_than_normalize_knows(
    noise, named, sfumato, digits_with_batch_norms, tmp_path
):
    path, _ = digits_with_batch_norms
    asked = ("--beta", "1", "--first", "2", "--plan", "fixed(10,50)", "--out", tmp_path / "t.tsv")
    code, _, err = sfumato("certify", "--model", path, *asked, *noise, "--data-dir", tmp_path)
    assert code == 0, err
    assert "--normalization at-beta" in err
    assert (f"sfumato normalize {path} --data digits --data-dir {tmp_path} --beta 1 --noise" in err) == named


def test_no_repair_is_named_without_training_images(sfumato, digits_with_batch_norms, tmp_path):
    from PIL import Image

    path, _ = digits_with_batch_norms
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.new("L", (8, 8), 60 * number).save(pictures / f"{number}.png")
    asked = ("--beta", "1", "--first", "2", "--plan", "fixed(10,50)", "--out", tmp_path / "t.tsv")
    code, _, err = sfumato("certify", "--model", path, "--data", pictures, *asked)
    assert code == 0, err
    assert "re-estimating them takes training images, which " in err
    assert "at-beta" not in err


def test_certificates_of_re_estimated_statistics_are_those_of_the_checkpoint(
    sfumato, digits_with_batch_norms, tmp_path
):
    path, _ = digits_with_batch_norms
    out, table = tmp_path / "at.safetensors", tmp_path / "rows.tsv"
    asked = ("--beta", "0.5", "--noise", "uniform")
    certify = ("certify", *asked, "--first", "3", "--plan", "fixed(10,50)", "--out", table, "--device", "cpu")
    code, said, err = sfumato(*certify, "--model", path, "--normalization", "at-beta")
    assert (code, "batch norms" in err) == (0, False)
    assert "what is certified has its batch norms at-beta" in said
    settings = json.loads((tmp_path / "rows.tsv.json").read_text())
    assert settings["normalization"]["noise"] == {"noise": "uniform", "beta": 0.5}
    assert settings["normalization"]["source_sha256"] == read_record(path).weights_sha256
    assert sfumato("normalize", path, *asked, "--out", out)[0] == 0
    assert read_record(out).weights_sha256 == settings["weights_sha256"]
    # the same run, which goes on: nothing is left to do
    rows = read_rows(table)
    assert sfumato(*certify, "--model", out)[0] == 0
    assert [row.votes for row in read_rows(table)] == [row.votes for row in rows]
    code, _, err = sfumato(*certify, "--model", path)
    assert (code, "another run" in err) == (2, True)


def test_advice_warns_and_re_estimates(sfumato, own):
    asked = ("advise", "--model", "own_norms:network", "--alpha0", "0", "--beta", "0.5", "--device", "cpu")
    asked += ("--images", "20", "--points", "50")
    code, _, err = sfumato(*asked)
    assert (code, "--normalization at-beta" in err) == (0, True)
    code, said, err = sfumato(*asked, "--normalization", "at-beta")
    assert (code, "batch norms" in err) == (0, False)
    assert "beta = 0.5: train with alpha" in said


def test_advice_at_a_radius_re_estimates_too(sfumato, own):
    asked = ("advise", "--model", "own_norms:network", "--alpha0", "0", "--radius", "0.1", "--beta", "0.5")
    asked += ("--images", "20", "--points", "50", "--device", "cpu")
    code, _, err = sfumato(*asked)
    assert (code, "--normalization at-beta" in err) == (0, True)
    code, said, err = sfumato(*asked, "--normalization", "at-beta")
    assert (code, "batch norms" in err) == (0, False)
    assert "smooth it with beta = 0.5" in said


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("frozen", "is a FrozenBatchNorm, whose statistics are fixed"),
        ("shared", "batch norm '1.1' is used in more than one place"),
        ("without_statistics", "batch norm '1.1'"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("risk", "MODEL", "--beta", "0.5"),
        ("certify", "--model", "MODEL", "--beta", "0.5", "--first", "2"),
        ("advise", "--model", "MODEL", "--alpha0", "0", "--beta", "0.5", "--points", "50"),
        ("advise", "--model", "MODEL", "--alpha0", "0", "--radius", "0.1", "--points", "50"),
    ],
)
def test_norms_that_cannot_be_re_estimated_are_one_line_in_every_command(
    sfumato, tmp_path, monkeypatch, command, network, words
):
    monkeypatch.chdir(tmp_path)
    name = f"batch_norm_factory:{network}"
    given = [name if word == "MODEL" else word for word in command]
    code, out, err = sfumato(*given, "--normalization", "at-beta", "--device", "cpu")
    assert (code, out) == (2, "")
    *notes, line = err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert all(note.startswith(("note: ", "warning: ")) for note in notes), notes
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["risk", "own_norms:scores", "--beta", "0.5", "--normalization", "at-beta"], "is a black box"),
        (
            ["certify", "--model", "own_norms:scores", "--beta", "0.5", "--normalization", "at-beta"],
            "is a black box",
        ),
        (
            [
                *["advise", "--model", "own_norms:scores", "--alpha0", "0", "--beta", "0.5"],
                *["--points", "50", "--normalization", "at-beta"],
            ],
            "is a black box",
        ),
        (["normalize", "own_norms:network", "--beta", "0.5"], "is no checkpoint"),
        (
            ["risk", "own_norms:network", "--beta", "0.5", "--normalization", "clean"],
            "trained or at-beta, got",
        ),
        (["normalize", "MODEL", "--beta", "-1"], "beta"),
        (["normalize", "MODEL", "--beta", "0.5", "--images", "1"], "images must be"),
        (["normalize", "MODEL", "--beta", "0.5", "--batch-size", "0"], "batch_size must be"),
        (["normalize", "MODEL", "--beta", "0.5", "--data", "other.npz"], "is for inputs (1, 8, 8)"),
    ],
)
def test_bad_input_is_one_line(sfumato, own, digits_with_batch_norms, tmp_path, arguments, words):
    x = np.random.default_rng(0).random((40, 1, 9, 9), dtype=np.float32)
    y = np.arange(40) % 10
    np.savez(tmp_path / "other.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    given = [str(digits_with_batch_norms[0]) if word == "MODEL" else word for word in arguments]
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = sfumato(*given)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == before


def test_a_network_of_ones_own_is_re_estimated_too(sfumato, own):
    asked = ("risk", "own_norms:network", "--beta", "0.5", "--first", "20", "--n", "3", "--device", "cpu")
    code, _, err = sfumato(*asked)
    assert code == 0
    assert "own_norms:network: at beta = 0.5 the statistics stored in 1 batch norms" in err
    code, said, err = sfumato(*asked, "--normalization", "at-beta")
    assert (code, err) == (0, "")
    assert "batch norms at-beta" in said


def test_without_batch_norms_a_note_says_that_nothing_changes(sfumato, digits_model):
    asked = ("risk", digits_model, "--beta", "0.3", "--first", "20", "--n", "3", "--device", "cpu")
    code, _, err = sfumato(*asked)
    assert (code, err) == (0, "")
    code, _, err = sfumato(*asked, "--normalization", "at-beta")
    assert code == 0
    assert err.startswith("note: ")
    assert "has no batch norms" in err
