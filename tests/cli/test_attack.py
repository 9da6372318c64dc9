"""``sfumato attack``, and its result beside certificates in figures and reports."""

import json
import sys

import pytest

from command_line import call
from sfumato.attacks.file import read_attack

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ("--steps", "2", "--draws", "4", "--restarts", "1", "--n-max", "300", "--first", "8")


@pytest.fixture(scope="module")
def made(digits_model, tmp_path_factory):
    """A table and an attack of one network, on the same images."""
    folder = tmp_path_factory.mktemp("attack")

    def run(capsys):
        files = folder / "c.tsv", folder / "a.json"
        if not files[1].exists():
            of = ("--model", digits_model, "--beta", "0.3")
            for command in (
                ("certify", *of, "--first", "8", "--plan", "curve(0.25,0.5)", "--out", files[0]),
                ("attack", *of, "--radius", "0.5,1.5", *FAST, "--out", files[1]),
            ):
                code, _, err = call(capsys, *command)
                assert code == 0, err
        return files

    return run


def test_the_attack_is_drawn_beside_the_certificates(made, capsys, sfumato, tmp_path):
    table, attack = made(capsys)
    out = tmp_path / "band.png"
    code, said, err = sfumato("plot", "certified", table, "--attack", attack, "--out", out)
    assert (code, said.strip()) == (0, str(out)), err
    assert f"{attack}: of 8 images of" in err
    assert "no wrong answer was found within a certified radius" in err
    page = tmp_path / "r.html"
    code, _, err = sfumato("report", table, "--attack", attack, "--out", page, "--gallery", 0)
    assert code == 0, err
    text = page.read_text()
    assert "under attack" in text
    assert "no wrong answer was found within a certified radius" in text


def test_a_contradiction_is_warned_of(made, capsys, sfumato, tmp_path):
    table, attack = made(capsys)
    found = json.loads(attack.read_text())
    found["images"] = [{**row, "distance": 0.01} for row in found["images"]]
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(found))
    code, _, err = sfumato("plot", "certified", table, "--attack", wrong, "--out", tmp_path / "x.png")
    assert code == 0
    assert err.startswith(f"warning: {wrong}: of 8 images of")
    code, _, err = sfumato("report", table, "--attack", wrong, "--out", tmp_path / "x.html", "--gallery", 0)
    assert (code, "a wrong answer was found within the certified radius" in err) == (0, True)


def test_only_certified_accuracy_has_a_band(made, capsys, refused, tmp_path):
    table, attack = made(capsys)
    refused(
        ["plot", "radii", table, "--attack", attack, "--out", "x.png"],
        "only the figure certified takes --attack, radii does not",
    )
    settings, _ = read_attack(attack)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"settings": {**settings, "beta": 0.7}, "images": []}))
    refused(["report", table, "--attack", other], "other.json: attacks another classifier than")


def test_a_black_box_has_no_gradient(tmp_path, monkeypatch, sfumato):
    (tmp_path / "boxes.py").write_text(
        "import torch\ndef scores(shape, classes):\n    return lambda x: torch.zeros(len(x), classes)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "boxes", raising=False)
    code, out, err = sfumato("attack", "--model", "boxes:scores", "--beta", "0.3", "--radius", "0.5", *FAST)
    assert (code, out) == (2, "")
    assert err == (
        "error: boxes:scores: an attack needs gradients, which a black box does not give; hand over a "
        "torch.nn.Module\n"
    )
    assert not (tmp_path / "attack.json").exists()


def test_an_attack_says_where_no_certificate_can_be_compared_with_it(sfumato, digits_model, tmp_path):
    of = ("--model", digits_model, "--beta", "0.3", "--noise", "uniform", "--first", "2")
    attack, table = tmp_path / "a.json", tmp_path / "c.tsv"
    code, _, err = sfumato("attack", *of, "--radius", "0.5", *FAST[:-2], "--out", attack)
    assert code == 0, err
    assert "distances are in L2; certificates under uniform noise are in L1" in " ".join(err.split())
    code, _, err = sfumato("certify", *of, "--plan", "fixed(50,200)", "--out", table)
    assert code == 0, err
    code, _, err = sfumato("plot", "certified", table, "--attack", attack, "--out", tmp_path / "b.png")
    assert code == 2
    assert "measures distances in L2" in " ".join(err.split())
