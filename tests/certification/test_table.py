"""Cells of tables: what is written is read, and what is out of range is named."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sfumato.certification.table import LARGEST_RADIUS, duration, real, whole, written_duration
from sfumato.errors import DataError


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
