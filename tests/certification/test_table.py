"""Tables are read as they were written, also after other programs; what is damaged is named."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sfumato.certification.certificate import Certificate
from sfumato.certification.table import (
    HEADER,
    LARGEST_RADIUS,
    OURS,
    duration,
    parse_row,
    read_rows,
    real,
    whole,
    written_duration,
    written_row,
)
from sfumato.errors import DataError

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference" / "cohen"


def test_a_row_is_read_back_and_its_radius_is_never_rounded_up():
    row = Certificate(7, 3, 3, 0.1234567891, 75.25)
    assert written_row(row) == "7\t3\t3\t0.123456\t1\t0:01:15.250000"
    back = parse_row(written_row(row), "here")
    assert (back.idx, back.predict, back.radius, back.correct, back.seconds) == (7, 3, 0.123456, True, 75.25)


@pytest.mark.parametrize(
    ("radius", "shown"),
    [
        (0.0, "0.000000"),
        (0.05, "0.050000"),
        (0.0123456789, "0.01234567"),
        (0.012345, "0.012345"),
        (9.8765432109e-8, "9.876543e-08"),
        (0.99999999, "0.999999"),
        (12345678.1234567, "12345678.123456"),
    ],
)
def test_small_radii_keep_seven_digits_and_others_six_decimals(radius, shown):
    line = written_row(Certificate(7, 3, 3, radius, 0.0))
    assert line == f"7\t3\t3\t{shown}\t1\t0:00:00"
    assert written_row(parse_row(line, "here")) == line


def test_published_tables_are_read():
    if not PUBLISHED.is_dir():
        pytest.skip(f"the published tables are not in {PUBLISHED}")
    notes = []
    for path in sorted(PUBLISHED.glob("*.tsv")):
        rows = read_rows(path, notes.append)
        assert len(rows) >= 427
        assert all(row.seconds > 0 for row in rows)
    assert notes == []


def test_a_row_of_ours_that_lacks_columns_is_refused():
    with pytest.raises(DataError, match="6 columns, at least 12"):
        parse_row(written_row(Certificate(0, 1, 1, 0.5, 1.0)), "here", ours=True)


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
    rows = read_rows(path)
    assert [(row.idx, row.predict, row.radius, row.seconds) for row in rows] == [
        (0, 3, 0.5, 1.0),
        (1, -1, 0.0, 100_800.0),
    ]


@pytest.mark.parametrize("place", [6, 8, 11])
def test_a_column_put_among_ours_is_refused_for_the_plan_would_not_be_read(tmp_path, place):
    # of vote(200), which guarantees nothing, a certificate of a published table at 0.999 was made
    row = ["0", "3", "3", "0.5", "1", "1.0", "200", "all votes", "nan", "nan", "nan", "vote(200)", "3=200"]
    lines = [[*HEADER, *OURS], row]
    for line in lines:
        line.insert(place, "note")
    (tmp_path / "t.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=r"t\.tsv:1: the column plan is not where Sfumato writes it"):
        read_rows(tmp_path / "t.tsv")


def test_runs_of_two_tools_in_one_table_are_each_read_under_their_own_header(tmp_path):
    path = tmp_path / "t.tsv"
    ours = Certificate(1, 3, 3, 0.25, 1.0, 100, "votes", 0.9, 0.1, 0.999, "fixed(10,90)")
    path.write_text("\n".join([THEIRS, ONE, "\t".join(HEADER + OURS), written_row(ours), ""]))
    assert [row.votes for row in read_rows(path)] == [None, 100]


def test_of_several_rows_about_an_image_the_first_counts_and_it_is_said(tmp_path):
    path = tmp_path / "t.tsv"
    again = ONE.replace("0.5", "0.9")
    path.write_text("\n".join([THEIRS, ONE, TWO, again, again]))
    notes = []
    rows = read_rows(path, notes.append)
    assert [(row.idx, row.radius) for row in rows] == [(0, 0.5), (1, 0.0)]
    assert notes == [
        f"{path}:4 and 1 others: a further row about an image; the first row about each image counts"
    ]
    with pytest.warns(UserWarning, match="the first row about each image counts"):
        read_rows(path)


def test_a_cell_correct_that_contradicts_its_row_is_said_and_label_and_prediction_count(tmp_path):
    path, notes = tmp_path / "t.tsv", []
    three = "2\t3\t4\t0.5\tTrue\t1"
    path.write_text("\n".join([THEIRS, ONE, TWO, three, three.replace("2", "3", 1).replace("True", "yes")]))
    assert [row.correct for row in read_rows(path, notes.append)] == [True, False, False, False]
    assert notes == [
        f"{path}:4 and 1 others: its cell correct is not what label and predict say; label and predict count"
    ]
    # as spreadsheets and pandas write what is right
    path.write_text("\n".join([THEIRS, ONE.replace("\t1\t", "\tTRUE\t"), TWO.replace("\t0\t", "\t0.0\t")]))
    read_rows(path, notes.append)
    assert len(notes) == 1


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
        read_rows(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("content", ["", "\n", "label\tidx\tpredict\tradius\tcorrect\ttime\n", "idx,label\n"])
def test_a_table_without_its_header_is_refused(tmp_path, content):
    (tmp_path / "t.tsv").write_text(content)
    with pytest.raises(DataError, match=r"t\.tsv: its first line must begin with"):
        read_rows(tmp_path / "t.tsv")


def test_a_device_without_end_is_refused():
    with pytest.raises(DataError, match="is a device"):
        read_rows(Path("/dev/zero"))


def test_numbers_of_ours_that_are_no_probabilities_are_refused():
    row = written_row(Certificate(0, 1, 1, 0.5, 1.0, 100, "votes", 0.9, 0.1, 0.999, "fixed(10,90)"))
    for good, bad, words in (
        ("\t0.9\t", "\t1.5\t", "p_lower must be a finite number from 0 to 1"),
        ("\t0.999\t", "\t1\t", "confidence must lie strictly between 0 and 1"),
        ("\t100\t", "\t-1\t", "votes must be a whole number"),
    ):
        with pytest.raises(DataError, match=f"here: {words}"):
            parse_row(row.replace(good, bad), "here", ours=True)


@example(59.9996)
@example(3599.9999)
@example(86_399.9999)
@example(100_800.25)
@example(1e10)
@given(st.floats(0, 1e10))
def test_a_duration_is_read_back_to_a_millisecond(seconds):
    cell = written_duration(seconds)
    assert duration(cell) == pytest.approx(seconds, abs=5.1e-4, rel=1e-15)
    _, minutes, rest = cell.split(":")
    assert int(minutes) < 60 > float(rest)


@given(st.integers(0, 86_399_999))
def test_below_a_day_it_is_what_cohens_script_writes(milliseconds):
    assert written_duration(milliseconds / 1000) == str(timedelta(milliseconds=milliseconds))


@given(st.integers(0, 10**12))
def test_what_other_programs_write_for_more_than_a_day_is_read(milliseconds):
    found = duration(str(timedelta(milliseconds=milliseconds)))
    assert found == pytest.approx(milliseconds / 1000, abs=1e-4)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [("15.4", 15.4), ("0:00:04.123", 4.123), ("1 day, 4:00:00", 100_800), ("2 days 00:00:01", 172_801)],
)
def test_foreign_durations_are_read(cell, seconds):
    assert duration(cell) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "cell",
    [
        "-1",
        "inf",
        "nan",
        "1e308",
        "-1 day, 23:00:00",
        "3 days",
        "0:-1:00",
        "",
        "1:2",
        "٣",
        "9" * 5000,
        "1:2:3:4",
    ],
)
def test_other_durations_are_refused(cell):
    with pytest.raises(DataError, match="time must be from 0 to 1e\\+10 seconds"):
        duration(cell)


@pytest.mark.parametrize("seconds", [-1e-9, float("inf"), float("nan"), 1e11])
def test_durations_that_could_not_be_read_are_not_written(seconds):
    with pytest.raises(DataError, match="seconds must be a number from 0"):
        written_duration(seconds)


@pytest.mark.parametrize("cell", ["9" * 5000, "-2", "1.0", "1_0", "٣", "", "1e3", "10000000000000001", "nan"])
def test_whole_numbers_out_of_range_are_refused_in_a_short_line(cell):
    with pytest.raises(DataError, match="idx must be a whole number from -1 to 10\\^15, got") as refused:
        whole("idx", cell, least=-1)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("cell", ["1e30", "-0.1", "nan", "inf", "1_0", "0,5", "1e400", "9" * 5000])
def test_radii_out_of_range_are_refused(cell):
    with pytest.raises(DataError, match="radius must be a finite number from 0 to 1e\\+15, got"):
        real("radius", cell, LARGEST_RADIUS)


def test_scripts_for_version_0_1_find_what_they_import():
    from sfumato.smoothing import certificate as moved

    found = moved.Certificate(
        0, 3, 3, 0.5, 100_800.25, 100_100, "votes", 0.9, 0.1, 0.999, "fixed(100,100000)"
    )
    assert moved.parse_row(found.row(), "here", ours=True) == found
    assert moved.parse_row(found.row(), "here", ours=True).seconds == found.seconds
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = moved.nothing
