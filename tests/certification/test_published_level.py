"""The confidence of a published table is inferred where it is read, and is the same in all that is shown."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.published import tables_as_study
from sfumato.certification.accuracy import certified_accuracy
from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import read_certificates
from sfumato.certification.published_level import with_level
from sfumato.certification.table import written_table
from sfumato.reporting.answer_tables import certified_table
from sfumato.reporting.certified_sets import curve_of
from sfumato.reporting.sources import read_sources
from support import SHARED_DATA

COHEN = SHARED_DATA.parent / "reference" / "cohen"
LARGEST = {level: float(0.5 * stats.norm.ppf((1 - level) ** 1e-5)) for level in (0.99, 0.999)}


def published(folder: Path, name: str, level: float) -> Path:
    """Write a table of another tool: 100,000 votes of one class each at beta = 0.5."""
    rows = [Certificate(i, 0, 0, LARGEST[level] if i else 0.4, 1.0) for i in range(50)]
    (folder / name).write_text(written_table(rows))
    return folder / name


@pytest.mark.parametrize("level", [0.99, 0.999])
@pytest.mark.parametrize(("name", "begin"), [("noise_0.25_test_sigma_0.5.tsv", ""), ("a.tsv", "0.25,0.5=")])
def test_every_view_of_a_published_table_takes_it_at_one_level(tmp_path, level, name, begin):
    path = published(tmp_path, name, level)
    (found,) = read_sources([f"{begin}{path}"]).tables
    expected = (stats.beta.ppf(0.025, 49, 2) - (1 - level)) / level
    assert {row.confidence for row in found.certificates} == {level}
    assert certified_accuracy(found.certificates, [0.5])[0].low == pytest.approx(expected)
    assert curve_of(found, 2.0, confidence=0.95)[2].low == pytest.approx(expected)
    assert f"[{expected:.4f}, " in certified_table([found], [0.5]).rows[0][2]
    study = tables_as_study([(found.name, path, {}, found.certificates)])
    assert CertifiedAccuracy(0.5).error(study) == pytest.approx(1 - level)
    if not begin:
        assert read_certificates(path).accuracy(0.5)[0].low == pytest.approx(expected)


def test_only_rows_that_state_nothing_are_given_a_level(tmp_path):
    path = published(tmp_path, "a.tsv", 0.99)
    rows = read_certificates(path)
    assert all(math.isnan(row.confidence) for row in rows)  # nothing tells beta
    told = [replace(rows[0], confidence=0.9), replace(rows[1], plan="vote(9)"), rows[2]]
    levels = [row.confidence for row in with_level(told, 0.5)]
    assert levels[0] == 0.9
    assert math.isnan(levels[1])
    assert levels[2] == 0.99
    assert with_level([], 0.5) == []
    assert list(with_level(rows, 0.0)) == list(rows)


def test_the_files_of_cohen_have_the_levels_that_their_radii_need():
    path = COHEN / "cifar10_resnet110_noise_0.50_test_sigma_0.50.tsv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    assert read_certificates(path).accuracy(0.5)[0].certificate_confidence == 0.99
