import numpy as np
import pytest

from sfumato.answers.race import Race
from sfumato.errors import SettingError


def still_running_after(wins, losses, level=0.01, images=400):
    """Run a rival's wins over contender 0, then its losses, one image at a time."""
    race = Race(2, images, level)
    for lost in [[True, False]] * wins + [[False, True]] * losses:
        race.add(np.array(lost)[:, None])
    return race.running.tolist()


def first_beaten(images, level):
    """Return for every number m of images that one loses the fewest wins of m that end the race, or m + 1."""
    found = []
    for m in range(images + 1):
        low, high = 0, m + 1
        while low < high:
            wins = (low + high) // 2
            race = Race(2, images, level)
            race.add(np.array([[True] * wins + [False] * (m - wins), [False] * wins + [True] * (m - wins)]))
            low, high = (wins + 1, high) if race.running[0] else (low, wins)
        found.append(low)
    return found


@pytest.mark.parametrize("level", [0.05, 0.001])
def test_of_two_equal_ones_one_is_beaten_with_at_most_its_level_whenever_one_looks(level):
    images = 150
    beaten = first_beaten(images, level)
    mass, ended = np.array([1.0]), 0.0
    for m in range(1, images + 1):
        mass = (np.append(mass, 0.0) + np.append(0.0, mass)) / 2.0
        ended += mass[beaten[m] :].sum()
        mass[beaten[m] :] = 0.0
    assert level / 2 < ended <= level


def test_a_rival_that_wins_often_ends_the_race_of_the_other_and_not_its_own():
    assert still_running_after(wins=30, losses=0) == [False, True]
    assert still_running_after(wins=0, losses=30) == [True, False]
    assert still_running_after(wins=4, losses=10) == [True, True]
    assert still_running_after(wins=2, losses=0) == [True, True]


def test_batches_change_nothing_but_when_one_looks():
    lost = np.random.default_rng(0).random((4, 300)) < np.array([[0.5], [0.2], [0.22], [0.6]])
    whole, parts = Race(4, 300, 0.01), Race(4, 300, 0.01)
    whole.add(lost)
    for part in np.split(lost, 30, axis=1):
        parts.add(part)
    assert whole.running.tolist() == parts.running.tolist() == [False, True, True, False]
    assert whole.seen == parts.seen == 300


def test_the_best_of_several_equal_ones_drops_out_no_more_often_than_its_level():
    generator, dropped, level, runs = np.random.default_rng(1), 0, 0.1, 400
    for _ in range(runs):
        race = Race(5, 200, level)
        for _ in range(10):
            race.add(generator.random((5, 20)) < 0.4)
        dropped += not race.running[0]
    assert dropped <= runs * level + 3 * np.sqrt(runs * level * (1 - level))


def test_one_alone_always_runs_on():
    race = Race(1, 10)
    race.add(np.ones((1, 10), dtype=bool))
    assert race.running.tolist() == [True]


@pytest.mark.parametrize(
    ("arguments", "lost", "words"),
    [
        ((0, 10), None, "contenders"),
        ((2, 0), None, "images"),
        ((2, 10, 1.0), None, "level"),
        ((2, 10), np.ones((3, 5), dtype=bool), "2 contenders and 10 images left"),
        ((2, 10), np.ones((2, 11), dtype=bool), "2 contenders and 10 images left"),
    ],
)
def test_what_no_race_can_be_made_of(arguments, lost, words):
    with pytest.raises(SettingError, match=words):
        Race(*arguments).add(lost)
