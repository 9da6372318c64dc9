"""A user's own weights on the command line: with the network they are certified, alone it is said how."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sfumato as sf

MODULE = """
import torch
from torch import nn

def build(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

def clipped(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Hardtanh(-5.5, -1.5), nn.Linear(64, num_classes))

ready = build((1, 8, 8), 10)
ready.load_state_dict(torch.load("raw.pt", weights_only=True))
labels = lambda shape, classes: lambda x: ready(x).argmax(1)
small = lambda shape, classes: nn.Linear(3, classes)
"""
DECIDE = ("--beta", "0.3", "--plan", "decide(0.1)", "--first", "20")


@pytest.fixture(scope="module")
def trained():
    """The digits as a user's loop learns them: from pixels, and from pixels - 4, clipped to -5.5 to -1.5."""
    data = sf.load_dataset("digits")
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    found = []
    for shift in (0.0, 4.0):
        torch.manual_seed(0)
        clip = [nn.Hardtanh(-5.5, -1.5)] if shift else []
        model = nn.Sequential(nn.Flatten(), *clip, nn.Linear(64, 10))
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(150):
            noisy = x + 0.3 * torch.randn_like(x)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(noisy - shift), y).backward()
            optimizer.step()
        found.append(model)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MODULE)
    raw, normalised = trained
    torch.save(raw.state_dict(), "raw.pt")
    torch.save({"state_dict": nn.DataParallel(normalised).state_dict(), "epoch": 3}, "normalised.pt")
    monkeypatch.delitem(__import__("sys").modules, "mine", raising=False)
    return tmp_path


def rows(path="certificates.tsv"):
    return [(one.predict, one.radius) for one in sf.Certificates.from_tsv(path)]


def test_weights_with_their_network_are_certified_like_the_module_itself(folder, sfumato, trained):
    code, out, errors = sfumato("certify", "--model", "raw.pt", "--network", "mine:build", *DECIDE)
    assert code == 0, errors
    data = sf.load_dataset("digits")
    expected = sf.SmoothedClassifier(trained[0], 0.3, device="cpu").certify(
        data.test.x[:20], "decide(0.1)", examples=range(20)
    )
    assert rows() == [(one.predict, one.as_written().radius) for one in expected]
    assert out.startswith("without noise the model is right about")
    settings = json.loads(Path("certificates.tsv.json").read_text())
    assert (settings["model"], settings["factory"]) == ("raw.pt", "mine:build")
    # the same once more continues it; a module of that name needs no file
    assert sfumato("certify", "--model", "raw.pt", "--network", "mine:build", *DECIDE)[0] == 0
    assert sfumato("certify", "--model", "mine:ready", *DECIDE, "--out", "ready.tsv")[0] == 0
    assert rows("ready.tsv") == rows()
    assert sfumato("certify", "--model", "mine:labels", *DECIDE, "--out", "labels.tsv")[0] == 0
    same = [a[0] == b[0] for a, b in zip(rows("labels.tsv"), rows(), strict=True)]
    assert sum(same) >= 18


def test_a_file_of_weights_alone_gets_the_line_that_says_how(folder, sfumato):
    from safetensors.torch import save_file

    save_file(torch.load("raw.pt", weights_only=True), "raw.safetensors")
    for name in ("raw.pt", "raw.safetensors"):
        for command in (
            ("certify", "--model", name, *DECIDE),
            ("risk", name, "--beta", "0.3"),
            ("inspect", name),
        ):
            code, _, errors = sfumato(*command)
            assert (code, len(errors.splitlines())) == (2, 1)
            assert "take such weights with --network package.module:name" in errors
    code, _, errors = sfumato(
        "risk", "raw.safetensors", "--network", "mine:build", "--beta", "0.3", "--n", "5"
    )
    assert code == 0, errors
    code, _, errors = sfumato("certify", "--model", "raw.pt", "--network", "mine:small", *DECIDE)
    assert code == 2
    assert "do not fit the network: 'weight' is missing, expected floating point (10, 3)" in errors


def test_forgotten_mean_and_std_are_hinted_at_before_any_vote(folder, sfumato):
    own = ("certify", "--model", "normalised.pt", "--network", "mine:clipped", *DECIDE)
    _, out, errors = sfumato(*own)
    assert "give --mean and --std if the model expects normalised inputs" in errors
    assert int(out.split("right about ")[1].split()[0]) <= 6
    _, out, errors = sfumato(*own, "--mean", "4", "--std", "1", "--out", "right.tsv", "--json")
    assert "guessing" not in errors
    found = json.loads(out)["without_noise"]
    assert found["images"] == 20
    assert found["right"] >= 17


def test_forgotten_mean_and_std_are_hinted_at_by_risk_too(folder, sfumato):
    own = ("risk", "normalised.pt", "--network", "mine:clipped", "--beta", "0.3", "--n", "5", "--first", "20")
    code, _, errors = sfumato(*own)
    assert code == 0, errors
    assert "give --mean and --std if the model expects normalised inputs" in errors
    assert "guessing" not in sfumato(*own, "--mean", "4", "--std", "1")[2]


def test_another_std_is_named_and_not_the_checksum_that_depends_on_it(folder, sfumato):
    own = ("certify", "--model", "normalised.pt", "--network", "mine:clipped", *DECIDE, "--mean", "4")
    assert sfumato(*own, "--std", "1")[0] == 0
    code, _, errors = sfumato(*own, "--std", "2")
    assert code == 2
    assert "belongs to another run, with std [1.0] instead of [2.0]" in errors
    record = Path("certificates.tsv.json")
    before = json.loads(record.read_text())
    del before["mean"], before["std"], before["seal"]
    record.write_text(json.dumps(before))  # as a version that did not name them
    assert sfumato(*own, "--std", "1")[0] == 0


def test_guessing_is_told_from_knowing():
    from sfumato.certification.without_noise import CleanAccuracy

    guesses = [(0, 20, 10), (2, 20, 10), (10, 20, 2), (50, 100, 2)]
    knows = [(7, 20, 10), (16, 20, 2), (62, 100, 2), (30, 100, 10)]
    assert all(CleanAccuracy(*counts).at_chance() for counts in guesses)
    assert not any(CleanAccuracy(*counts).at_chance() for counts in knows)
    assert [CleanAccuracy(*few, 10).at_chance() for few in ((0, 6), (0, 7), (1, 9))] == [False, True, False]


def test_unlabelled_images_do_not_count():
    from sfumato.certification.without_noise import accuracy_without_noise

    x = np.eye(4, dtype=np.float32)

    class Data:
        num_classes = 4

        class test:
            pass

    Data.test.x, Data.test.y = x, np.array([0, -1, 2, 1])
    found = accuracy_without_noise(sf.SmoothedClassifier(lambda z: z, 0.1, device="cpu"), Data, range(4))
    assert (found.right, found.images) == (2, 3)
