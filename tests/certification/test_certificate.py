from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from sfumato.certification.accuracy import certified_accuracy, radius_grid
from sfumato.certification.certificate import Certificate, written_radius
from sfumato.certification.summary import lack_of_noise_training, summarise
from sfumato.certification.table import HEADER, OURS, parse_row, read_certificates, written_row
from sfumato.errors import DataError
from sfumato.models import load_model
from sfumato.noise import Gaussian
from sfumato.plans import Curve, Fixed, Vote

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference" / "cohen"
ROWS = [Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0), Certificate(2, 5, 4, 0.9, 1.0)]


def test_a_row_is_read_back_and_its_radius_is_never_rounded_up():
    row = Certificate(7, 3, 3, 0.1234567891, 75.25)
    assert written_row(row) == "7\t3\t3\t0.123456\t1\t0:01:15.250000"
    back = parse_row(written_row(row), "here")
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
    row = parse_row(written_row(Certificate(0, 1, 1, written_radius(radius), 1.0)), "here")
    assert row.radius <= radius < row.radius + 1e-6
    assert certified_accuracy([row], [radius])[0].certified == 1


def test_a_row_of_ours_that_lacks_columns_is_refused():
    with pytest.raises(DataError, match="6 columns, at least 12"):
        parse_row(written_row(Certificate(0, 1, 1, 0.5, 1.0)), "here", ours=True)


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
    record = load_model(digits_model)[1]

    def trained_with(alpha):
        return record.model_copy(update={"training": record.training | {"alpha": alpha}})

    assert "alpha = 0;" in (lack_of_noise_training(ROWS, trained_with(0.0), 0.5) or "")
    assert lack_of_noise_training(ROWS, trained_with(0.4), 0.5) is None


THEIRS = "\t".join(HEADER)
ONE = "0\t3\t3\t0.5\t1\t0:00:01"
TWO = "1\t3\t-1\t0.0\t0\t1 day, 4:00:00"


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{THEIRS}\n{ONE}\n{TWO}\n",
        f"{THEIRS}\r\n{ONE}\r\n{TWO}\r\n",
        f"{THEIRS}\r{ONE}\r{TWO}\r",
        f"{THEIRS}\n{ONE}\n{TWO}",
        f"\n{THEIRS} \n {ONE}  \n\n{TWO}\t\t\n   \n\t\t\n",
        f"{THEIRS}\n{ONE}\n{THEIRS}\n{TWO}\n",
    ],
    ids=["mark", "windows", "old mac", "no end", "blanks", "appended"],
)
def test_tables_that_went_through_other_programs_are_read(tmp_path, content):
    path = tmp_path / "t.tsv"
    path.write_bytes(content.encode())
    rows = read_certificates(path)
    assert [(row.idx, row.predict, row.radius, row.seconds) for row in rows] == [
        (0, 3, 0.5, 1.0),
        (1, -1, 0.0, 100_800.0),
    ]


def test_runs_of_two_tools_in_one_table_are_each_read_under_their_own_header(tmp_path):
    path = tmp_path / "t.tsv"
    ours = Certificate(1, 3, 3, 0.25, 1.0, 100, "votes", 0.9, 0.1, 0.999, "fixed(10,90)")
    path.write_text("\n".join([THEIRS, ONE, "\t".join(HEADER + OURS), written_row(ours), ""]))
    assert [row.votes for row in read_certificates(path)] == [None, 100]


def test_of_several_rows_about_an_image_the_first_counts_and_it_is_said(tmp_path):
    path = tmp_path / "t.tsv"
    again = ONE.replace("0.5", "0.9")
    path.write_text("\n".join([THEIRS, ONE, TWO, again, again]))
    notes = []
    rows = read_certificates(path, notes.append)
    assert [(row.idx, row.radius) for row in rows] == [(0, 0.5), (1, 0.0)]
    assert notes == [
        f"{path}:4 and 1 others: about an image that an earlier row is about; the first row of each image "
        "counts"
    ]
    with pytest.warns(UserWarning, match="the first row of each image counts"):
        read_certificates(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"0\t3\t3\t0.5\t1", "5 columns, at least 6"),
        (f"{ONE}{TWO}".encode(), "11 columns, at most 6 have a name"),
        (b"0\t3\t3\t1e30\t1\t1", "radius must be a finite number"),
        (b"0\t3\t3\t-0.5\t1\t1", "radius must be a finite number"),
        (b"0\t3\t3\t0.5\t1\tinf", "time must be"),
        (b"9" * 5000 + b"\t3\t3\t0.5\t1\t1", "idx must be a whole number"),
        (b"-1\t3\t3\t0.5\t1\t1", "idx must be a whole number from 0"),
        (b"0\t3\t3\t0.5\t1\t\xff", r"not text in UTF-8 \(byte 0xff\)"),
        (b"0\t3\t3\t\x00\t1\t1", "radius"),
        (b"x" * 10**6, "1 columns"),
        (b"0\t3\t3\t" + b"x" * 10**6 + b"\t1\t1", "radius"),
    ],
)
def test_a_damaged_line_is_named_by_its_number_in_one_short_line(tmp_path, line, words):
    path = tmp_path / "t.tsv"
    path.write_bytes(f"{THEIRS}\n{TWO}\n".encode() + line + b"\n")
    with pytest.raises(DataError, match=rf"t\.tsv:3: .*{words}") as refused:
        read_certificates(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("content", ["", "\n", "label\tidx\tpredict\tradius\tcorrect\ttime\n", "idx,label\n"])
def test_a_table_without_its_header_is_refused(tmp_path, content):
    (tmp_path / "t.tsv").write_text(content)
    with pytest.raises(DataError, match=r"t\.tsv: its first line must begin with"):
        read_certificates(tmp_path / "t.tsv")


def test_a_device_without_end_is_refused():
    with pytest.raises(DataError, match="is a device"):
        read_certificates(Path("/dev/zero"))


def test_numbers_of_ours_that_are_no_probabilities_are_refused():
    row = written_row(Certificate(0, 1, 1, 0.5, 1.0, 100, "votes", 0.9, 0.1, 0.999, "fixed(10,90)"))
    for good, bad, words in (
        ("\t0.9\t", "\t1.5\t", "p_lower must be a finite number from 0 to 1"),
        ("\t0.999\t", "\t1\t", "confidence must lie strictly between 0 and 1"),
        ("\t100\t", "\t-1\t", "votes must be a whole number"),
    ):
        with pytest.raises(DataError, match=f"here: {words}"):
            parse_row(row.replace(good, bad), "here", ours=True)


def test_radii_of_any_size_are_rounded_down_and_tabulated():
    assert written_radius(1e300) == 1e300
    assert written_radius(12345678.1234567) == 12345678.123456
    assert len(radius_grid(0.4e9, 1e9)) < 20
    assert radius_grid(0.01, 0.03) == [0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03]
