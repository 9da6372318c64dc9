import json

import numpy as np
import pytest


@pytest.fixture
def run(monkeypatch, tmp_path, sfumato):
    monkeypatch.chdir(tmp_path)
    return sfumato


def save(path, x, y):
    np.savez(path, x=np.asarray(x, dtype=np.float32), y=np.asarray(y))
    return path


def two_discs(path):
    generator = np.random.default_rng(0)
    x = generator.uniform([-1.5, -1.5], [4.5, 1.5], (1500, 2))
    y = (np.hypot(*x.T) <= 1) | (np.hypot(x[:, 0] - 3, x[:, 1]) <= 1)
    return save(path, x, y.astype(int))


def test_the_interference_of_two_discs_is_printed_and_as_json(run, tmp_path):
    data = two_discs(tmp_path / "discs.npz")
    code, out, err = run("interference", "--data", data, "--subsamples", "5")
    assert code == 0
    assert "low interference" in out
    assert "outside [0, 1]" in err
    code, out, err = run("interference", "--data", data, "--subsamples", "5", "--json")
    disc = json.loads(out)["classes"][1]
    assert (code, err) == (0, "")
    assert disc["components"] == 2
    assert 1.0 <= disc["zeta"] <= 1.3
    assert disc["regime"] == "low interference"


def test_geometry_bounds_are_printed_and_as_json(run):
    code, out, _ = run("geometry", "--beta", "0.5,1")
    assert code == 0
    assert "every classifier errs on more than 1%" in out
    code, out, _ = run("geometry", "--beta", "0.5,1", "--json")
    low, high = (row["least_soft_risk"] for row in json.loads(out)["betas"])
    assert 0 < low < high < 0.5


def test_the_surrogate_of_digits_begins_to_lose_near_six_tenths(run):
    code, out, _ = run("surrogate", "--json")
    found = json.loads(out)
    assert code == 0
    assert 0.4 <= found["harmless_alpha"] <= 0.7
    assert "largest harmless alpha" in run("surrogate")[1]
    assert "no harm up to alpha = 0.2" in run("surrogate", "--alpha", "0,0.2")[1]


def test_advice_traces_each_number_to_its_estimator(run, digits_model):
    code, out, _ = run("advise", "--beta", "0.5", "--model", digits_model, "--images", "100")
    assert code == 0
    assert out.startswith("beta = 0.5: train with alpha about ")
    for words in ("rule of thumb", "kappa rule", "risk to expect", "cannot say"):
        assert words in out
    code, out, _ = run("advise", "--beta", "0.3,0.5", "--json")
    pages = json.loads(out)["advice"]
    assert [page["beta"] for page in pages] == [0.3, 0.5]
    assert pages[0]["estimates"][0]["estimator"] == "rule of thumb"
    assert pages[0]["same_cost"] is None


def test_a_black_box_is_advised_on_like_a_network(run, tmp_path):
    (tmp_path / "box_for_advice.py").write_text(
        "import numpy as np\n"
        "def make(shape, classes):\n"
        "    from sklearn.datasets import load_digits\n"
        "    x, y = load_digits(return_X_y=True)\n"
        "    means = np.stack([x[y == c].mean(axis=0) / 16 for c in range(classes)])\n"
        "    return lambda batch: -((batch.numpy().reshape(len(batch), 1, -1) - means) ** 2).sum(axis=2)\n"
    )
    box = ("--model", "box_for_advice:make", "--images", "100", "--points", "300")
    code, _, err = run("advise", "--beta", "0.5", *box)
    assert code == 2
    assert "box_for_advice:make does not state its training noise; give --alpha0" in err
    code, out, _ = run("advise", "--beta", "0.5", *box, "--alpha0", "0.3")
    assert code == 0
    assert "kappa rule" in out


def test_a_radius_asks_for_the_beta_of_a_network_and_what_is_recorded(run, digits_model):
    asked = ("advise", "--radius", "0.25", "--model", digits_model, "--images", "8", "--points", "200")
    code, out, _ = run(*asked, "--beta", "0.05,0.3,0.6")
    assert code == 0
    assert out.startswith(f"radius 0.25, {digits_model} (alpha 0.3): smooth it with beta = 0.3: ")
    for words in (
        "beta 0.05 cannot certify this radius",
        "another alpha: cannot say: no recorded study of digits",
        "sfumato study search STUDY --radius 0.25 --budget 6",
        "a beta below 0.0656 cannot certify radius 0.25",
    ):
        assert words in out
    code, out, _ = run(*asked, "--beta", "0.3", "--json")
    (page,) = json.loads(out)["advice"]
    (network,) = page["networks"]
    assert code == 0
    assert (network["beta"], network["alpha0"], network["images"]) == (0.3, 0.3, 8)
    assert network["low"] < network["accuracy"] < network["high"] or network["accuracy"] == 1
    assert network["other"]["verdict"] == "cannot say"


def test_a_radius_without_a_network_shows_what_is_recorded_and_what_nobody_can_do(run):
    code, out, _ = run("advise", "--radius", "1,7", "--points", "500")
    assert code == 0
    first, second = out.split("radius 7: ")
    assert "published tables of Cohen et al. 2019" in first
    assert "benchmarks/results/radius_studies.md" in first
    assert "cannot say for digits" in first
    assert "recorded on" not in second
    assert "no classifier is right and certified there on more than " in second
    code, out, _ = run("advise", "--radius", "0.5", "--beta", "0.25", "--points", "200", "--json")
    (page,) = json.loads(out)["advice"]
    assert [(one["data"], one["best"]) for one in page["recorded"]] == [("mnist", [0.5, 0.25])]
    assert page["networks"] == []


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.random.default_rng(0).random((50, 3)), np.zeros(50, int), "of one class (0)"),
        (np.random.default_rng(0).random((16, 3)), np.arange(16) % 2, "no class has 10 points"),
    ],
)
def test_data_that_say_nothing_are_refused_in_one_line(run, tmp_path, x, y, words):
    code, out, err = run("interference", "--data", save(tmp_path / "few.npz", x, y))
    assert (code, out) == (2, "")
    assert words in err
    assert len([line for line in err.splitlines() if line.startswith("error")]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("advise", "--beta", "0"), "beta must be a positive finite number, got 0"),
        (("advise", "--beta", "0.5", "--alpha0", "0.2"), "alpha0 has 1 values for 0 models"),
        (("advise",), "--beta is missing; give the smoothing noise, or --radius for certified accuracy"),
        (("advise", "--radius", "-1"), "radius must be a finite number of at least 0, got -1"),
        (("advise", "--radius", "nan"), "radius must be a finite number of at least 0, got nan"),
        (("advise", "--radius", "wide"), "radius must be numbers separated by commas"),
        (("advise", "--radius", "3", "--beta", "0.1"), "it takes a beta of at least 0.79"),
        (("advise", "--radius", "1", "--images", "5000"), "images must be at most the 797 test images"),
        (("surrogate", "--alpha", "0.3,0.2"), "alphas must increase, got 0.3, 0.2"),
        (("interference", "--confidence", "1"), "confidence must lie strictly between 0 and 1, got 1"),
        (("geometry", "--points", "0"), "points must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(run, arguments, words):
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
