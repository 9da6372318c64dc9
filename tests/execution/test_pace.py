import pytest

from sfumato.execution.base import Done
from sfumato.execution.pace import TASK_SECONDS, Pace


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_tasks_are_sized_to_the_wanted_seconds_by_what_was_measured():
    pace = Pace(lambda: 4)
    assert pace.size("risk", first=500, left=10**6) == 500
    pace.add("risk", 500, 25_000, Done(None, "a", 5.0))
    assert pace.size("risk", first=500, left=10**6) == TASK_SECONDS / 0.01
    assert pace.size("certificates", first=7, left=10**6) == 7, "another kind is not known yet"
    for _ in range(20):
        pace.add("risk", 100, 25_000, Done(None, "a", 5.0))
    assert pace.size("risk", first=500, left=10**6) == pytest.approx(TASK_SECONDS / 0.05, rel=0.01)


def test_a_short_task_takes_five_seconds_within_its_bounds():
    pace = Pace(lambda: 1)
    assert pace.short("risk", 500, 2000) == 500, "not known yet"
    for seconds, expected in ((100.0, 500), (2.5, 1000), (0.01, 2000)):
        pace = Pace(lambda: 1)
        pace.add("risk", 500, 25_000, Done(None, "a", seconds))
        assert pace.short("risk", 500, 2000) == expected


def test_towards_the_end_tasks_are_shared_out_but_never_shorter_than_two_seconds():
    pace = Pace(lambda: 4)
    pace.add("risk", 100, 1, Done(None, "a", 1.0))
    assert pace.size("risk", first=500, left=8000) == 1000
    assert pace.size("risk", first=500, left=100) == 200
    slow = Pace(lambda: 4)
    slow.add("risk", 1, 1, Done(None, "a", 300.0))
    assert slow.size("risk", first=500, left=100) == 1
    assert Pace(lambda: 0).size("risk", first=500, left=3) == 2, "no worker yet"


def test_rates_are_those_of_the_last_two_minutes_node_by_node():
    clock = Clock()
    pace = Pace(lambda: 2, clock)
    clock.now = 10.0
    pace.add("risk", 1000, 60_000, Done(None, "a", 9.0))
    pace.add("risk", 500, 30_000, Done(None, "b", 9.0))
    assert pace.note() == "150 images/s, 9,000 votes/s, 90,000 votes, a 100/s, b 50/s"
    clock.now = 131.0
    pace.add("risk", 1200, 1200, Done(None, "b", 9.0))
    assert pace.note() == "10 images/s, 10 votes/s, 91,200 votes"
    for node in range(6):
        pace.add("risk", 120 * (node + 1), 0, Done(None, f"n{node}", 9.0))
    assert pace.note().endswith(", 7 nodes from n0 1/s to b 10/s")
