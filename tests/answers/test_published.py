"""Published error counts: read strictly, summarised by hand-checked rules."""

import math
from pathlib import Path

import pytest

from sfumato.answers.published import load_published, published_best
from sfumato.errors import DataError, SettingError
from support import SHARED_DATA

HEAD = "alpha,beta,errors,risk\n"
REFERENCE = SHARED_DATA.parent / "reference"


def written(folder: Path, text: str) -> Path:
    path = folder / "some_risk.csv"
    path.write_text(text)
    return path


def test_counts_are_read_with_the_number_of_images_they_imply(tmp_path):
    found = load_published(written(tmp_path, HEAD + "0,0.5,70,0.07\n0.1,0.5,0,0\n0,0.2,33,0.033\n"))
    assert (found.name, found.images) == ("some_risk", 1000)
    assert found.errors == {(0.0, 0.5): 70, (0.1, 0.5): 0, (0.0, 0.2): 33}
    assert found.betas == [0.2, 0.5]
    assert found.alphas(0.5) == [0.0, 0.1]


def test_the_one_standard_error_set_is_the_binomial_one(tmp_path):
    """Lowest 100 of 10,000: standard error sqrt(0.01 * 0.99 / 10,000) = 0.000995, so up to 109 errors."""
    counts = {0.0: 300, 0.1: 110, 0.2: 109, 0.3: 100, 0.4: 105, 0.5: 100, 0.6: 200}
    lines = "".join(f"{alpha},0.7,{count},{count / 10_000}\n" for alpha, count in counts.items())
    best = published_best(load_published(written(tmp_path, HEAD + lines)), 0.7)
    assert (best.alpha, best.risk) == (0.3, 0.01)
    assert best.standard_error == pytest.approx(math.sqrt(0.01 * 0.99 / 10_000))
    assert best.within_one == (0.2, 0.3, 0.4, 0.5)
    assert best.curve is not None
    assert 0.2 < best.curve.alpha < 0.5


def test_few_published_alphas_have_no_curve(tmp_path):
    found = load_published(written(tmp_path, HEAD + "0,0.5,70,0.07\n0.1,0.5,60,0.06\n"))
    assert published_best(found, 0.5).curve is None
    with pytest.raises(SettingError, match=r"published \(0\.5\), got 0\.4"):
        published_best(found, 0.4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its first line must be alpha,beta,errors,risk"),
        ("alpha,beta,risk\n0,0,0.1\n", "its first line must be"),
        (HEAD, "there are no errors"),
        (HEAD + "0,0,0,0\n", "there are no errors"),
        (HEAD + "0,0,5\n", ":2: 3 columns, 4 are needed"),
        (HEAD + "0,0,5,0.1\n0,0.1,x,0.1\n", ":3: invalid literal"),
        (HEAD + "0,0,5.5,0.1\n", ":2: invalid literal"),
        (HEAD + "nan,0,5,0.1\n", "alpha must be a finite number of at least 0, got nan"),
        (HEAD + "0,-1,5,0.1\n", "beta must be a finite number of at least 0, got -1"),
        (HEAD + "0,0,-5,0.1\n", "errors -5 and risk 0.1 contradict each other"),
        (HEAD + "0,0,5,nan\n", "errors 5 and risk nan contradict each other"),
        (HEAD + "0,0,5,0\n", "errors 5 and risk 0 contradict each other"),
        (HEAD + "0,0,5,0.05\n0,0,6,0.06\n", ":3: alpha 0 with beta 0 appears twice"),
        (HEAD + "0,0,50,0.05\n0,0.1,6,0.06\n", ":3: 6 errors at risk 0.06 do not fit 1000 images"),
        (HEAD + '0,0,"5,0.1\n', "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(text, words, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(DataError) as error:
        load_published(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_published(tmp_path / "no.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        load_published(tmp_path / "binary.csv")


@pytest.mark.parametrize(("name", "images"), [("mnist", 10_000), ("cifar10", 400)])
def test_the_authors_arrays_load_with_their_number_of_test_images(name, images):
    path = REFERENCE / f"pal_sulam_{name}_risk.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = load_published(path)
    assert found.images == images
    assert len(found.errors) == len(path.read_text().splitlines()) - 1
    best = published_best(found, 0.5)
    assert best.curve is not None
    assert best.within_one[0] <= best.curve.alpha <= best.within_one[-1]
    assert best.alpha < 0.5  # the paper's finding
