"""A race of short samples is decided by neighbours in time."""

from itertools import cycle, repeat

import pytest

from sfumato.smoothing.race import LEAST_ROUNDS, MOST_ROUNDS, Race, race


def test_a_load_that_ends_in_between_does_not_decide():
    # by hand: alone 100 and 90; the other user leaves before the last sample of the challenger
    found = Race((50.0, 50.0, 50.0, 50.0), (45.0, 45.0, 45.0, 90.0))
    assert found.ratio == pytest.approx(0.9)
    assert not found.won
    assert max(found.challenger) > max(found.present)


def test_few_samples_are_taken_where_the_difference_is_clear_and_all_where_it_is_not():
    for speed, rounds in ((130.0, LEAST_ROUNDS), (80.0, LEAST_ROUNDS), (100.0, LEAST_ROUNDS)):
        found = race(repeat(100.0).__next__, repeat(speed).__next__, lambda: 9.0)
        assert (found.won, found.close, len(found.present)) == (speed > 100, False, rounds)
    found = race(repeat(100.0).__next__, cycle((70.0, 150.0)).__next__, lambda: 9.0)
    assert (found.close, len(found.present)) == (True, MOST_ROUNDS)


def test_a_race_out_of_time_takes_one_sample_of_each():
    found = race(repeat(100.0).__next__, repeat(130.0).__next__, lambda: 0.0)
    assert (found.present, found.challenger) == ((100.0,), (130.0,))


def test_what_cannot_be_done_loses_at_once():
    found = race(repeat(100.0).__next__, repeat(0.0).__next__, lambda: 9.0)
    assert (found.won, found.close, len(found.present)) == (False, False, 1)


def test_no_round_is_begun_that_would_not_end_in_time():
    now = iter((10.0, 6.5, 3.0))
    found = race(repeat(100.0).__next__, cycle((70.0, 150.0)).__next__, lambda: next(now))
    assert len(found.present) == 2, "a round takes 3.5 s, and 3 are left"
