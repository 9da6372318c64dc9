"""``certify --sound``: what is written, continued and verified; and what cannot be sound."""

import json
from dataclasses import replace

import pytest
import torch

from sfumato import Certificates, DiscretisedGaussian, SmoothedClassifier, at_radii
from sfumato.certification.table import SOUND, read_rows, written_row, written_table
from sfumato.noise import Gaussian

PLAN = ("--plan", "curve(0.1,0.25)", "--device", "cpu")


@pytest.fixture
def certify(sfumato, digits_model):
    def run(out, *arguments, beta=0.3, first=6):
        return sfumato(
            *("certify", "--model", digits_model, "--beta", beta, "--first", first, "--out", out),
            *PLAN,
            *arguments,
        )

    return run


@pytest.fixture
def sound(certify, tmp_path):
    out = tmp_path / "sound.tsv"
    code, shown, error = certify(out, "--sound", "--steps", 16)
    assert code == 0, error
    assert "sound: about images in whole steps" in " ".join(shown.split())
    assert "rounded to steps of 1/16" in " ".join(shown.split())
    return out


def test_the_table_and_its_settings_say_so(sound):
    rows, settings = read_rows(sound), json.loads((sound.parent / "sound.tsv.json").read_text())
    assert sound.read_text().startswith("\t".join(SOUND) + "\n")
    assert (settings["sound"], settings["noise"], settings["steps"], settings["norm"]) == (
        *(True, "discretised", 16),
        "L2",
    )
    assert all(row.sound for row in rows)
    # (16 r)^2 of the radii 0, 0.1 and 0.25 is 0, 2.56 and 16
    assert {(row.radius, row.squared_steps) for row in rows} <= {(0.0, -1), (0.1, 2), (0.25, 15)}
    assert any(row.squared_steps == 15 for row in rows)


def test_a_killed_run_goes_on_and_a_run_of_the_other_mode_is_not_continued(certify, sound, tmp_path):
    whole = sound.read_text()
    sound.write_text("".join(whole.splitlines(keepends=True)[:3]) + "2\t5")
    record = json.loads((sound.parent / "sound.tsv.json").read_text())
    (sound.parent / "sound.tsv.json").write_text(json.dumps({k: v for k, v in record.items() if k != "seal"}))
    assert certify(sound, "--noise", "discretised", "--steps", 16)[0] == 0
    times = [5]  # the column of seconds
    parts = [[line.split("\t") for line in text.splitlines()] for text in (whole, sound.read_text())]
    for old, new in zip(*parts, strict=True):
        assert [c for i, c in enumerate(old) if i not in times] == [
            c for i, c in enumerate(new) if i not in times
        ]
    code, _, error = certify(sound)
    assert (code, "instead of gaussian" in error) == (2, True)
    ordinary = tmp_path / "ordinary.tsv"
    assert certify(ordinary)[0] == 0
    code, _, error = certify(ordinary, "--sound", "--steps", 16)
    assert (code, "noise gaussian instead of discretised" in error) == (2, True)


def test_verify_derives_and_draws_sound_certificates_again(sfumato, sound):
    code, shown, error = sfumato("verify", sound, "--device", "cpu")
    assert code == 0, error + shown
    lines = sound.read_text().splitlines(keepends=True)
    row = next(line for line in lines[1:] if line.rstrip().endswith("\t15"))
    sound.write_text("".join(lines).replace(row, row.rstrip()[:-2] + "16\n"))
    code, shown, error = sfumato("verify", sound, "--device", "cpu")
    assert code == 1
    assert "squared_steps is 16, but its counts give 15" in shown + error


def test_json_says_whether_it_is_sound(certify, tmp_path):
    for name, options in (("a.tsv", ()), ("b.tsv", ("--sound", "--steps", 16))):
        code, shown, error = certify(tmp_path / name, "--json", *options, first=2)
        assert code == 0, error
        assert json.loads(shown)["sound"] == bool(options)


def test_what_cannot_be_sound_is_refused_in_a_line(certify, tmp_path):
    for options, expected in (
        (("--sound",), "not on the grid of 1/255"),  # the digits have 16 steps
        (("--sound", "--noise", "laplace"), "got --noise laplace"),
        (("--steps", 16), "gaussian noise has no steps"),
        (("--sound", "--steps", 0), "steps must be a whole number from 1 to 65535, got 0"),
    ):
        code, shown, error = certify(tmp_path / "t.tsv", *options)
        assert (code, shown, error.count("\n")) == (2, "", 1), error
        assert expected in error
    assert not (tmp_path / "t.tsv").exists()


def test_sound_certificates_from_python_are_written_read_and_asked_for_other_radii(tmp_path):
    model = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    noise = DiscretisedGaussian(0.5)
    smoothed = SmoothedClassifier(model, noise=noise, device="cpu")
    found = smoothed.certify(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "curve(0.25,0.5)")
    assert [(one.prediction, one.radius, one.squared_steps, one.sound) for one in found] == [
        (1, 0.5, 16256, True),  # (255 / 2)^2 = 16256.25
        (-1, 0.0, -1, True),
    ]
    found.to_tsv(tmp_path / "t.tsv")
    assert Certificates.from_tsv(tmp_path / "t.tsv") == found
    narrow = smoothed.certify(torch.tensor([[3.0, 0.0]]), "decide(0.25)")
    (wider,) = at_radii(narrow, [0.3], noise=noise)
    assert [(one.radius, one.squared_steps) for one in (*narrow, wider)] == [(0.25, 4064), (0.3, 5852)]
    ordinary = SmoothedClassifier(model, noise=Gaussian(0.5), device="cpu")
    (one,) = ordinary.certify(torch.tensor([[1.0, 0.0]]), "curve(0.25,0.5)")
    assert (one.sound, one.squared_steps) == (False, None)
    assert "squared_steps" not in written_table([one])
    assert written_row(replace(one, squared_steps=3)) == written_row(one) + "\t3"


def test_votes_that_guarantee_nothing_cover_nothing():
    smoothed = SmoothedClassifier(torch.nn.Linear(2, 2), noise=DiscretisedGaussian(0.5), device="cpu")
    (one,) = smoothed.certify(torch.tensor([[1.0, 0.0]]), "vote(10)")
    assert (one.sound, one.squared_steps) == (True, -1)
