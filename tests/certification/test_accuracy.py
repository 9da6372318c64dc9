from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from sfumato.certification.accuracy import certified_accuracy, radius_grid
from sfumato.certification.certificate import Certificate, written_radius
from sfumato.certification.table import parse_row, read_rows, written_row

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference" / "cohen"
ROWS = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0), Certificate(2, 5, 4, 0.9, 1.0)]


def test_published_cifar_accuracy_is_reproduced():
    """Cohen et al. 2019, Table 2: sigma = 0.25 has 0.60 certified accuracy at 0.25 on CIFAR-10's 500."""
    path = PUBLISHED / "cifar10_resnet110_noise_0.25_test_sigma_0.25.tsv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    shares = [point.share for point in certified_accuracy(read_rows(path), [0.0, 0.25, 0.5])]
    assert shares == pytest.approx([0.77, 0.61, 0.43], abs=0.03)


def test_certified_accuracy_counts_only_correct_rows_with_an_exact_interval():
    points = certified_accuracy(ROWS, [0.0, 0.4, 0.5])
    assert [point.certified for point in points] == [1, 1, 0]
    assert points[0].high == pytest.approx(stats.beta.ppf(0.975, 2, 2))
    assert points[0].low == pytest.approx((stats.beta.ppf(0.025, 1, 3) - 0.001) / 0.999)
    assert points[2].low == 0.0
    sure = [replace(row, confidence=0.999999) for row in ROWS]
    assert certified_accuracy([*sure[:1], *ROWS[1:]], [0.0])[0].low == points[0].low
    assert certified_accuracy(sure, [0.0])[0].low > points[0].low


@pytest.mark.parametrize("radius", [0.29, 0.57, 0.07, 1 / 3, 1.15, 2.3])
def test_a_radius_of_the_grid_counts_as_certified_at_itself(radius):
    row = parse_row(written_row(Certificate(0, 1, 1, written_radius(radius), 1.0)), "here")
    assert row.radius <= radius < row.radius + 1e-6
    assert certified_accuracy([row], [radius])[0].certified == 1


def test_radii_of_any_size_are_rounded_down_and_tabulated():
    assert written_radius(1e300) == 1e300
    assert written_radius(12345678.1234567) == 12345678.123456
    assert len(radius_grid(0.4e9, 1e9)) < 20
    assert radius_grid(0.01, 0.03) == [0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03]
