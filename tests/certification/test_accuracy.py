import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from sfumato.answers.best_pair import best_pair
from sfumato.answers.objective import CertifiedAccuracy, CertifiedCell, WeightedAccuracy
from sfumato.answers.published import tables_as_study
from sfumato.certification.accuracy import certified_accuracy, is_asked, radius_grid, require_asked
from sfumato.certification.certificate import Certificate, written_radius
from sfumato.certification.certificates import Certificates
from sfumato.certification.table import parse_row, read_rows, written_row
from sfumato.errors import DataError
from sfumato.plans import Decide
from sfumato.reporting.answer_tables import certified_table
from sfumato.reporting.sources import CertifiedSet
from sfumato.studies.results import StudyResults

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


@pytest.mark.parametrize("plan", ["vote(1)", "early_vote(9,0.01)", "of_a_plugin(3)"])
def test_a_plan_that_guarantees_nothing_has_the_lower_bound_0(plan):
    """Labels of probability 0.4 of 2 get 177 of 400 single votes; no answer of the smoothed one is right."""
    rows = [Certificate(i, 0, int(i >= 177), 0.0, 1.0, votes=1, plan=plan) for i in range(400)]
    (point,) = Certificates(rows).accuracy(0.0)
    assert (point.certified, point.low, point.certificate_confidence) == (177, 0.0, 0.0)
    assert point.high == pytest.approx(stats.beta.ppf(0.975, 178, 223))
    assert str(point).endswith("; nothing is guaranteed, so the lower bound is 0)")
    assert "nothing is guaranteed" in Certificates(rows).accuracy(0.0)._repr_html_()
    table = certified_table([CertifiedSet("votes", rows, "", Path("x.tsv"))], [0.0])
    assert "votes: nothing is guaranteed, so the lower bound is 0" in table.title
    published = [replace(row, plan="", votes=None) for row in rows]
    assert certified_accuracy(published, [0.0])[0].low == pytest.approx(
        (stats.beta.ppf(0.025, 177, 224) - 0.001) / 0.999
    )
    # one such row among others is enough
    assert certified_accuracy([*published, rows[0]], [0.0])[0].low == 0.0


def test_an_objective_of_certificates_refuses_votes_that_guarantee_nothing():
    cells = {
        (alpha, 0.5, 0): [Certificate(i, 0, int(i < wrong), 0.0, 1.0, 9, plan="vote(9)") for i in range(40)]
        for alpha, wrong in ((0.0, 4), (0.5, 20))
    }
    results = StudyResults("made", "pixels", 9, {}, cells)
    for objective in (CertifiedAccuracy(0.0), WeightedAccuracy({0.0: 1, 0.25: 2})):
        with pytest.raises(
            DataError, match=r"are by vote\(9\), which guarantees nothing; certify by another"
        ):
            best_pair(results, objective)
        assert objective.error(results) == 1.0
    kept = tables_as_study([("0,0.5", Path("t.tsv"), {}, cells[0.0, 0.5, 0])])
    assert math.isnan(kept.certificates[0.0, 0.5, 0][0].confidence)


def written_and_read(row: Certificate) -> Certificate:
    return parse_row(written_row(row), "here")


@pytest.mark.parametrize("radius", [0.29, 0.57, 0.07, 1 / 3, 1.15, 2.3, 0.123456789e-3, 1 / 3e9])
@pytest.mark.parametrize("through", [lambda row: row, Certificate.as_written, written_and_read])
def test_a_radius_that_was_asked_about_counts_as_certified_at_itself(radius, through):
    plan = Decide(radius).name
    row = replace(through(Certificate(0, 1, 1, radius, 1.0)), plan=plan)
    assert row.radius <= radius < row.radius + 1e-6
    assert row.radius > radius * (1 - 1e-5)
    above = math.nextafter(radius, 9.0) * (1 + 1e-8)
    assert [point.certified for point in certified_accuracy([row], [radius, above])] == [1, 0]
    lost = [CertifiedAccuracy(one).loss(CertifiedCell.of([row])).item() for one in (radius, above)]
    assert lost == [False, True]


@pytest.mark.parametrize(
    ("certified", "asked"), [(4.9e-6, 5.9e-6), (5e-8, 9e-7), (0.333333, 0.3333339), (1.0, 1.0000009)]
)
def test_nothing_is_certified_above_its_own_radius(certified, asked):
    """Rounding the radius that is asked for down made every smaller one of the same six decimals count."""
    row = Certificate(0, 1, 1, certified, 1.0, plan="fixed(100,1000)")
    for one in (row, row.as_written(), written_and_read(row)):
        assert [point.certified for point in certified_accuracy([one], [certified, asked])] == [1, 0]
        assert CertifiedAccuracy(asked).loss(CertifiedCell.of([one])).item()
    in_grid = replace(row, plan=f"curve({certified!r},{asked!r})")
    assert certified_accuracy([in_grid.as_written()], [asked])[0].certified == 0


def test_a_table_of_before_counts_at_the_small_radius_that_it_was_asked_about():
    row = Certificate(0, 1, 1, 0.012345, 1.0, plan="decide(0.0123456789)")
    assert certified_accuracy([row], [0.0123456789])[0].certified == 1
    lost_in_rounding = replace(row, radius=0.0, plan="curve(1e-7,2e-7)")
    assert certified_accuracy([lost_in_rounding], [1e-7])[0].certified == 0


def test_a_computed_radius_means_the_one_that_was_asked_about_and_is_told_as_it():
    row = Certificate(0, 1, 1, 0.3, 1.0, plan="curve(0.1,0.3)")
    (point,) = certified_accuracy([row], [0.1 + 0.2])
    assert (point.radius, point.certified) == (0.3, 1)
    assert not CertifiedAccuracy(0.1 + 0.2).loss(CertifiedCell.of([row])).item()
    found = replace(row, plan="fixed(100,1000)")
    assert certified_accuracy([found], [0.1 + 0.2])[0].certified == 0


def test_a_small_radius_that_was_not_asked_about_is_not_taken_for_one_that_was():
    row = Certificate(0, 1, 1, 5e-9, 1.0, plan="decide(5e-9)")
    assert is_asked(5e-9, [row])
    assert not is_asked(6e-9, [row])
    with pytest.raises(
        DataError, match="radius 6e-9 was not certified: the certificates are for radius 5e-9"
    ):
        require_asked(6e-9, [row])


def test_radii_of_any_size_are_rounded_down_and_tabulated():
    assert [written_radius(radius) for radius in (0.0, 0.1234567, 0.01234567891, 5e-324)] == [
        *(0.0, 0.123456, 0.01234567, 5e-324)
    ]
    assert written_radius(1e300) == 1e300
    assert written_radius(12345678.1234567) == 12345678.123456
    assert len(radius_grid(0.4e9, 1e9)) < 20
    assert radius_grid(0.01, 0.03) == [0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03]
