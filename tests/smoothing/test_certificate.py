from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from sfumato.errors import DataError
from sfumato.models import load_model
from sfumato.noise import Gaussian
from sfumato.plans import Curve, Fixed, Vote
from sfumato.smoothing.certificate import (
    HEADER,
    Certificate,
    certified_accuracy,
    parse_row,
    radius_grid,
    read_certificates,
    written_radius,
)
from sfumato.smoothing.summary import lack_of_noise_training, summarise

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference" / "cohen"
ROWS = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0), Certificate(2, 5, 4, 0.9, 1.0)]


def test_a_row_is_read_back_and_its_radius_is_never_rounded_up():
    row = Certificate(7, 3, 3, 0.1234567891, 75.25)
    assert row.row() == "7\t3\t3\t0.123456\t1\t0:01:15.250000"
    back = parse_row(row.row(), "here")
    assert (back.idx, back.predict, back.radius, back.correct, back.seconds) == (7, 3, 0.123456, True, 75.25)


def test_published_tables_are_read():
    if not PUBLISHED.is_dir():
        pytest.skip(f"the published tables are not in {PUBLISHED}")
    for path in sorted(PUBLISHED.glob("*.tsv")):
        rows = read_certificates(path)
        assert len(rows) >= 427
        assert all(row.seconds > 0 for row in rows)


def test_published_cifar_accuracy_is_reproduced():
    """Cohen et al. 2019, Table 2: sigma = 0.25 has 0.60 certified accuracy at 0.25 on CIFAR-10's 500."""
    path = PUBLISHED / "cifar10_resnet110_noise_0.25_test_sigma_0.25.tsv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    shares = [point.share for point in certified_accuracy(read_certificates(path), [0.0, 0.25, 0.5])]
    assert shares == pytest.approx([0.77, 0.61, 0.43], abs=0.03)


def test_certified_accuracy_counts_only_correct_rows_with_an_exact_interval():
    points = certified_accuracy(ROWS, [0.0, 0.4, 0.5])
    assert [point.certified for point in points] == [1, 1, 0]
    assert points[0].high == pytest.approx(stats.beta.ppf(0.975, 2, 2))
    assert points[0].low == pytest.approx((stats.beta.ppf(0.025, 1, 3) - 0.001) / 0.999)
    assert points[2].low == 0.0


@pytest.mark.parametrize("radius", [0.29, 0.57, 0.07, 1 / 3, 1.15, 2.3])
def test_a_radius_of_the_grid_counts_as_certified_at_itself(radius):
    row = parse_row(Certificate(0, 1, 1, written_radius(radius), 1.0).row(), "here")
    assert row.radius <= radius < row.radius + 1e-6
    assert certified_accuracy([row], [radius])[0].certified == 1


def test_a_row_of_ours_that_lacks_columns_is_refused():
    with pytest.raises(DataError, match="6 columns, at least 12"):
        parse_row(Certificate(0, 1, 1, 0.5, 1.0).row(), "here", ours=True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\t2\t3", "3 columns, at least 6"),
        ("1\t2\tx\t0.5\t1\t0:00:01", "here"),
        ("1\t2\t2\tnan\t1\t0:00:01", "radius must be a finite number"),
    ],
)
def test_damaged_rows_are_refused(line, words):
    with pytest.raises(DataError, match=words):
        parse_row(line, "here")


def test_a_table_with_another_header_is_refused(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n")
    with pytest.raises(DataError, match="must begin with " + " ".join(HEADER)):
        read_certificates(path)


def test_the_summary_adds_up():
    rows = [replace(row, votes=1001) for row in ROWS]
    summary = summarise(rows, Fixed(100, 1000), noise=Gaussian(0.5), confidence=0.999)
    assert (summary.mean_votes, summary.saved) == (1001, 100)
    assert [
        p.radius for p in summarise(rows, Curve((0.1, 0.7)), noise=Gaussian(1), confidence=0.9).curve
    ] == [0.1, 0.7]
    assert [p.radius for p in summarise(rows, Vote(9), noise=Gaussian(1), confidence=0.9).curve] == [0.0]
    assert summary.abstained == 1
    assert summary.average_radius == pytest.approx(0.4 / 3)
    largest = 0.5 * stats.norm.ppf(0.001 ** (1 / 1000))
    assert summary.curve[-1].radius <= largest < summary.curve[-1].radius + 0.25
    assert radius_grid(0.25, 0.95) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_classifier_that_never_saw_the_noise_is_named(digits_model):
    record = load_model(digits_model)[1].model_copy(update={"alpha": 0.0})
    assert "alpha = 0;" in (lack_of_noise_training(ROWS, record, 0.5) or "")
    assert lack_of_noise_training(ROWS, record.model_copy(update={"alpha": 0.4}), 0.5) is None
