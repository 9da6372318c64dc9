"""Other noises on the command line: certify, its table and its settings, train, report and plot."""

import json

import pytest

from sfumato.certification.table import read_rows
from sfumato.models import load_model


def certify(sfumato, model, out, *options):
    common = ("--model", model, "--beta", "0.3", "--first", "6", "--device", "cpu", "--out", out)
    return sfumato("certify", *common, *options)


@pytest.mark.parametrize(
    ("noise", "largest", "words"),
    [
        ("uniform", 0.5197, "uniform noise on [-0.5196, 0.5196], standard deviation 0.3"),
        ("laplace", 1.3, "Laplace noise of scale 0.2121, standard deviation 0.3"),
    ],
)
def test_certify_says_the_norm_and_records_the_noise(sfumato, digits_model, tmp_path, noise, largest, words):
    out = tmp_path / "t.tsv"
    code, shown, error = certify(sfumato, digits_model, out, "--noise", noise, "--n", 2000)
    assert code == 0, error
    assert "radius (L1)" in shown
    assert "L2" not in shown
    assert words in " ".join(shown.split())
    rows = read_rows(out)
    assert 0.0 < max(row.radius for row in rows) < largest
    settings = json.loads((tmp_path / "t.tsv.json").read_text())
    assert (settings["noise"], settings["norm"], settings["beta"]) == (noise, "L1", 0.3)
    code, _, error = certify(sfumato, digits_model, out, "--n", 2000)
    assert code == 2
    assert f"noise {noise} instead of gaussian" in error


def test_json_names_noise_and_norm(sfumato, digits_model, tmp_path):
    plan = ("--plan", "curve(0.1,0.2,n_max=2000)", "--json")
    code, shown, error = certify(sfumato, digits_model, tmp_path / "t.tsv", "--noise", "laplace", *plan)
    assert code == 0, error
    found = json.loads(shown)
    assert (found["noise"], found["norm"], found["beta"]) == ("laplace", "L1", 0.3)


def test_a_table_from_before_other_noises_is_gaussian_and_goes_on(sfumato, digits_model, tmp_path):
    out, record = tmp_path / "t.tsv", tmp_path / "t.tsv.json"
    certify(sfumato, digits_model, out, "--plan", "vote(20)")
    whole = [line.split("\t")[:5] for line in out.read_text().splitlines()]
    settings = json.loads(record.read_text())
    old = {name: value for name, value in settings.items() if name not in ("noise", "norm", "seal")}
    record.write_text(json.dumps(old))
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:4]))
    code, _, error = certify(sfumato, digits_model, out, "--plan", "vote(20)")
    assert code == 0, error
    assert [line.split("\t")[:5] for line in out.read_text().splitlines()] == whole
    code, _, error = certify(sfumato, digits_model, out, "--plan", "vote(20)", "--noise", "uniform")
    assert (code, "noise gaussian instead of uniform" in error) == (2, True)


def test_train_draws_the_noise_and_the_checkpoint_names_it(sfumato, tmp_path):
    digests = set()
    for noise in ("gaussian", "uniform"):
        out = tmp_path / f"{noise}.safetensors"
        settings = ("--alpha", "0.3", "--epochs", "1", "--device", "cpu", "--out", out)
        code, shown, error = sfumato("train", *settings, "--noise", noise)
        assert code == 0, error
        assert ("uniform noise on" in " ".join(shown.split())) == (noise == "uniform")
        record = load_model(out)[1]
        assert record.noise == noise
        digests.add(record.weights_sha256)
    assert len(digests) == 2


@pytest.mark.parametrize(
    "command", [["certify", "--model", "MODEL", "--beta", "0.3"], ["train", "--alpha", "0.3"]]
)
def test_an_unknown_noise_is_refused(refused, digits_model, command):
    arguments = [digits_model if part == "MODEL" else part for part in command]
    words = "noise must be one of gaussian, uniform, laplace, anisotropic, discretised, got 'cauchy'"
    refused([*arguments, "--noise", "cauchy", "--out", "out"], words)


def test_reports_and_figures_label_l1_and_keep_norms_apart(sfumato, digits_model, tmp_path):
    ours, other = tmp_path / "uniform.tsv", tmp_path / "gaussian.tsv"
    certify(sfumato, digits_model, ours, "--noise", "uniform", "--n", 500)
    certify(sfumato, digits_model, other, "--n", 500)
    svg = tmp_path / "radii.svg"
    code, _, error = sfumato("plot", "certified", ours, "--out", svg)
    assert code == 0, error
    code, shown, error = sfumato("table", "certified", ours)
    assert "Certified accuracy by L1 radius" in shown, error
    for command in (("plot", "radii", ours, other, "--out", svg), ("table", "certified", ours, other)):
        code, _, error = sfumato(*command)
        assert code == 2
        assert "has L1 radii and" in error
        assert "give certificates of one norm" in error
    page = tmp_path / "report.html"
    code, _, error = sfumato("report", ours, other, "--out", page)
    assert code == 0, error
    html = page.read_text()
    assert "Certified accuracy against L1 radius" in html
    assert "Certified accuracy against L2 radius" in html
    assert "--noise uniform" in html
