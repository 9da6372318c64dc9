"""Whether test images are in class order, and the line of every command that takes the first of them."""

import tomllib

import numpy as np
import pytest

from sfumato.datasets.class_order import in_class_order
from support import write_npz


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.1,) * 10])
def test_sorted_labels_are_in_class_order_and_shuffled_ones_are_not(shares):
    rng = np.random.default_rng(0)
    for count in (100, 1000):
        for _ in range(200):
            labels = rng.choice(len(shares), size=count, p=shares)
            assert not in_class_order(labels)
        if count == 1000:
            assert in_class_order(np.sort(labels))


def test_one_class_and_too_few_images_are_in_no_order():
    for labels in ([], [3], [0, 1], [2] * 50, [0, 0, 1, 1]):
        assert not in_class_order(np.array(labels, dtype=np.int64))


def test_the_official_test_sets_are_in_no_class_order(digits, mnist):
    assert not in_class_order(digits.test.y)
    assert not in_class_order(mnist.test.y)


@pytest.fixture
def by_class(digits, tmp_path, monkeypatch):
    """Make an ``.npz`` of digits with its test images sorted by class in the current folder."""
    order = np.argsort(digits.test.y, kind="stable")
    test = {"x_test": digits.test.x[order], "y_test": digits.test.y[order]}
    write_npz(tmp_path / "sorted.npz", x_train=digits.train.x, y_train=digits.train.y, **test)
    monkeypatch.chdir(tmp_path)


MODEL = ("--data", "sorted.npz", "--device", "cpu")
STUDY = ("study", "run", *MODEL, "--alpha", "0.3", "--beta", "0.3", "--epochs", "1", "--n", "5", "--out", "s")


def lines_of(errors):
    return [line for line in errors.splitlines() if "class order" in line]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("risk", "M", "--beta", "0.3", "--n", "3", "--first", "20"), "the 20 taken hold 1 of 10"),
        (("risk", "M", "--beta", "0.3", "--n", "1"), None),
        (("certify", "--model", "M", "--beta", "0.3", "--plan", "vote(3)", "--first", "90"), "hold 2 of 10"),
        (("certify", "--model", "M", "--beta", "0.3", "--plan", "vote(3)", "--skip", "40"), None),
        (
            ("certify", "--model", "M", "--beta", "0.3", "--plan", "vote(3)", "--skip", "40", "--first", "4"),
            "the 4 taken hold 2 of 10",
        ),
        (
            ("attack", "--model", "M", "--beta", "0.3", "--radius", "0.1", "--first", "1", "--steps", "1"),
            "hold 1",
        ),
        (
            ("advise", "--model", "M", "--beta", "0.3", "--images", "9", "--points", "50"),
            "the 9 taken hold 1",
        ),
        (
            *(
                (
                    "advise",
                    "--model",
                    "M",
                    "--radius",
                    "0.05",
                    "--beta",
                    "0.3",
                    "--images",
                    "9",
                    "--points",
                    "50",
                ),
            ),
            "the 9 taken hold 1",
        ),
        (("advise", "--radius", "0.1", "--points", "50"), None),
    ],
)
def test_who_takes_the_first_of_them_is_told_once(sfumato, by_class, digits_model, command, words):
    code, _, errors = sfumato(*(digits_model if part == "M" else part for part in command), *MODEL)
    assert code == 0, errors
    found = lines_of(errors)
    assert [line.startswith("warning: sorted.npz: ") for line in found] == [True] * (words is not None)
    assert all(words in line for line in found)


def test_a_study_is_told_of_the_fewest_images_and_a_race_of_all(sfumato, by_class, tmp_path):
    code, _, errors = sfumato(*STUDY, "--images", "100")
    assert code == 0, errors
    (line,) = lines_of(errors)
    assert "the 100 taken hold 2 of 10 classes" in line
    table = '\n[certification]\nbeta = [0.3]\nplan = "decide(0.05)"\nimages = 7\n'
    text = (tmp_path / "s" / "study.toml").read_text()
    (tmp_path / "certified.toml").write_text(text.partition("\n# [certification]")[0] + table)
    assert "certification" in tomllib.loads((tmp_path / "certified.toml").read_text())
    code, _, errors = sfumato("study", "run", "certified.toml", "--out", "s", "--device", "cpu")
    assert code == 0, errors
    (line,) = lines_of(errors)
    assert "the 7 taken hold 1 of 10 classes" in line
    asked = ("--radius", "0.05,0.06", "--device", "cpu")
    code, _, errors = sfumato("study", "race", "s", *asked, "--images", "60")
    assert code == 0, errors
    (line,) = lines_of(errors)
    assert "the 60 taken hold 1 of 10 classes" in line
    code, _, errors = sfumato("study", "race", "s", *asked, "--images", "797")
    assert code == 0, errors
    (line,) = lines_of(errors)
    assert "a race needs them in random order" in line
    asked = ("--radius", "0.05", "--device", "cpu")
    code, _, errors = sfumato("study", "search", "s", *asked, "--images", "60", "--budget", "1")
    assert code == 0, errors
    assert len(lines_of(errors)) == 1
