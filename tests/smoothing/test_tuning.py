"""Tuning measures, remembers, finds what is fast on a busy machine too, and never changes a result."""

import itertools
import json
import math
import random

import pytest
import torch

from sfumato.errors import ModelError
from sfumato.models import build_model
from sfumato.smoothing import tuning
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration, usual_configuration
from sfumato.smoothing.race import MOST_ROUNDS
from sfumato.smoothing.tuning import Bench

CPU = torch.device("cpu")
SHAPE = (1, 12, 12)
DAY = 86400.0


def network():
    return build_model("cnn", SHAPE, 10, (0.0,), (1.0,))


class Machine:
    """A bench with a clock of its own. Others use it, too: quiet and busy stretches of random length.

    Attributes:
        speed: true votes per second of a configuration, where nobody else works.
        quiet, busy: mean length of a stretch in seconds; busy = 0 for a machine of one's own.
        compile_seconds: what compiling takes.
    """

    def __init__(self, speed, *, seed=0, quiet=1.0, busy=0.0, compile_seconds=5.0):
        self.speed, self.compile_seconds = speed, compile_seconds
        self._random, self._lengths = random.Random(seed), (quiet, busy)
        self.now, self.day, self.asked = 0.0, 0.0, []
        self._is_busy, self._share = False, 1.0
        self._until = self._random.expovariate(1 / quiet) if busy else float("inf")

    def seconds(self):
        return self.now

    def date(self):
        return self.day * DAY

    def rough_rate(self):
        return self.speed(usual_configuration(network(), CPU)) * self._work(0.01)

    def sample_of(self, configuration, rate):
        self.asked.append(configuration)
        self._work(self.compile_seconds if configuration.compiled else 0.05)
        return lambda: self.speed(configuration) * self._work(tuning.SAMPLE_SECONDS)

    def _work(self, seconds):
        """Let the time pass; return the share of it that was ours."""
        end, done = self.now + seconds, 0.0
        while self.now < end:
            step = min(end, self._until) - self.now
            done += step * self._share
            self.now += step
            if self.now >= self._until:
                self._is_busy = not self._is_busy
                self._share = self._random.uniform(0.3, 0.8) if self._is_busy else 1.0
                self._until = self.now + self._random.expovariate(1 / self._lengths[self._is_busy])
        return done / seconds


def likes_batches_of_256(configuration, *, compiled=1.0):
    """As on a machine on which one batch of 256 on all its threads is best, and compiling helps so much."""
    rate = 10_000 - 20 * abs(configuration.batch_size - 256) - 50 * configuration.workers
    return rate * (compiled if configuration.compiled else 1.0)


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(tuning, "require_same_classes", lambda *_: None)
    return network()


def tuned(model, machine, folder, votes, **precision):
    return tuning.tuned_configuration(
        model, SHAPE, CPU, votes=votes, directory=folder, bench=machine, **precision
    )


def test_a_short_job_is_not_tuned(tmp_path):
    found = tuning.tuned_configuration(network(), SHAPE, CPU, votes=1000, directory=tmp_path)
    assert found == usual_configuration(network(), CPU)
    assert not list(tmp_path.iterdir())


def test_a_long_job_is_tuned_once_and_the_fastest_is_chosen(tmp_path, model):
    machine = Machine(likes_batches_of_256)
    found = tuned(model, machine, tmp_path, 10**8)
    assert (found.batch_size, found.compiled) == (256, False)
    machine.asked.clear()
    assert tuned(model, machine, tmp_path, 10**8) == found
    assert not machine.asked


def test_a_damaged_memory_counts_as_none(tmp_path, model):
    machine = Machine(likes_batches_of_256)
    found = tuned(model, machine, tmp_path, 10**8)
    (record,) = tmp_path.iterdir()
    whole = json.loads(record.read_text())
    for damage in ("{", "[]", "null", json.dumps({**whole, "rate": "x"})):
        record.write_text(damage)
        machine.asked.clear()
        assert tuned(model, machine, tmp_path, 10**8) == found
        assert machine.asked


@pytest.mark.parametrize(("quiet", "busy"), [(1.0, 1.0), (0.1, 0.1), (0.3, 3.0), (5.0, 5.0)])
@pytest.mark.parametrize("compiled", [0.85, 1.2, 1.8])
def test_on_a_busy_machine_the_choice_is_right_in_95_of_100_tunings(quiet, busy, compiled, tmp_path, model):
    """Right: what is chosen has 95 % of the best speed, and is compiled if and only if that is faster."""

    def speed(configuration):
        return likes_batches_of_256(configuration, compiled=compiled)

    best = max(1.0, compiled) * likes_batches_of_256(Configuration(256, channels_last=True, workers=1))
    right = 0
    for seed in range(100):
        machine = Machine(speed, seed=seed, quiet=quiet, busy=busy)
        found = tuned(model, machine, tmp_path / str(seed), 10**8)
        right += found.compiled == (compiled > 1) and speed(found) >= 0.95 * best
    assert right >= 95


@pytest.mark.parametrize("busy", [0.0, 1.0])
@pytest.mark.parametrize("votes", [10**6, 2 * 10**6, 10**7])
def test_the_search_keeps_to_its_time(votes, busy, tmp_path, model):
    for seed in range(20):
        machine = Machine(likes_batches_of_256, seed=seed, busy=busy)
        tuned(model, machine, tmp_path / str(seed), votes)
        # by definition 3 % of the job, at most 30 seconds; a race that has begun may end
        slowest = votes / (0.3 * likes_batches_of_256(usual_configuration(model, CPU)))
        one_race = 2 * MOST_ROUNDS * tuning.SAMPLE_SECONDS + machine.compile_seconds
        assert machine.now <= min(30.0, 0.03 * slowest) + one_race


class SlowModel(Bench):
    """A real bench for a callable that takes so many inputs a second, by a clock that nothing else moves.

    Attributes:
        now: seconds.
        inputs: how many the model was asked about.
    """

    def __init__(self, rate, shape):
        self.now, self.inputs, self._rate = 0.0, 0, rate
        super().__init__(self.model, shape, CPU)

    def seconds(self):
        return self.now

    def model(self, x):
        self.inputs += len(x)
        self.now += len(x) / self._rate
        mean = x.flatten(1).mean(1)
        return torch.stack([mean, 0.1 - mean], dim=1)


@pytest.mark.parametrize(("rate", "most"), [(2.0, 5.0), (20.0, 1.0), (100.0, 1.0), (400.0, 30.0)])
def test_tuning_a_slow_model_ends_within_its_budget_and_says_so_before(rate, most, tmp_path):
    bench, told = SlowModel(rate, (3, 64, 64)), []

    def keep(seconds):
        told.append((seconds, bench.now))

    found = tuning.tuned_configuration(
        bench.model, (3, 64, 64), CPU, votes=10**6, directory=tmp_path, bench=bench, on_measuring=keep
    )
    # by definition at most 30 s for a job of 10^6 votes; otherwise 9 inputs say that it cannot pay
    assert bench.now <= most
    if most < 30.0:
        assert (bench.inputs, told) == (9, [])
        assert found == usual_configuration(bench.model, CPU, shape=(3, 64, 64))
    else:
        ((seconds, when),) = told
        assert seconds == 30.0
        assert when < 2.0


def test_no_batch_is_tried_that_takes_a_tenth_of_the_time_or_much_memory(tmp_path, model):
    machine = Machine(lambda configuration: 100.0 + 10.0 * math.log2(configuration.batch_size))
    tuned(model, machine, tmp_path, 10**7)
    # at most 220 votes/s, for 3 of the 30 s
    assert 128 <= max(c.batch_size * c.workers for c in machine.asked) <= 3 * 220
    wide = Machine(lambda configuration: 1e4 * configuration.batch_size)
    tuning.tuned_configuration(model, (3, 224, 224), CPU, votes=10**9, directory=tmp_path, bench=wide)
    # 128 MiB of float32
    assert max(c.batch_size for c in wide.asked) == 128


def test_a_fast_model_is_announced_once_and_a_short_job_never(tmp_path, model):
    told = []
    for votes in (10**8, 10**8, 10**4):
        tuning.tuned_configuration(
            *(model, SHAPE, CPU),
            votes=votes,
            directory=tmp_path,
            bench=Machine(likes_batches_of_256),
            on_measuring=told.append,
        )
    assert told == [30.0]


def test_the_bench_of_this_machine_measures_for_as_long_as_it_says(monkeypatch):
    bench = Bench(network(), SHAPE, CPU)
    clock = itertools.count()
    monkeypatch.setattr(bench, "seconds", lambda: next(clock) / 64)
    monkeypatch.setattr(tuning, "SAMPLE_SECONDS", 3 / 64)
    # looks at the clock 1/64 and 2/64 s after the first find time left: two counts of two batches of 32
    assert bench.sample_of(Configuration(32), 1e6)() == 2 * 2 * 32 / (3 / 64)
    # where two batches take over half a second, one is counted between two looks
    assert bench.sample_of(Configuration(32), 100.0)() == 2 * 32 / (3 / 64)


def test_compiling_is_for_jobs_that_repay_it(tmp_path, model):
    machine = Machine(lambda c: 1200.0 if c.compiled else 1000.0)
    assert tuned(model, machine, tmp_path, 10**7).compiled
    # at 5 seconds of compiling and 1,000 against 1,200 votes a second, 60,000 votes repay it twice
    for votes, compiled in ((59_000, False), (61_000, True)):
        assert tuned(model, machine, tmp_path, votes).compiled == compiled


def test_a_choice_without_time_to_compile_is_made_up_for_by_a_longer_job(tmp_path, model):
    machine = Machine(lambda c: 1800.0 if c.compiled else 1000.0)
    # 3 % of 200 seconds are 6
    assert not tuned(model, machine, tmp_path, 200_000).compiled
    assert not any(configuration.compiled for configuration in machine.asked)
    assert tuned(model, machine, tmp_path, 10**7).compiled


def test_a_close_choice_is_tried_again_three_times_and_a_clear_one_when_it_is_old(tmp_path, model):
    class Restless(Machine):
        """No two samples agree, and the two ways change places each time."""

        def rough_rate(self):
            return 1000.0

        def sample_of(self, configuration, rate):
            self.asked.append(configuration)
            self.now += 0.05
            return lambda: 1000.0 * self._random.choice([0.5, 0.7, 0.9, 1.1]) * self._random.uniform(0.7, 1)

    restless, measured = Restless(None), 0
    for _ in range(6):
        restless.asked.clear()
        tuned(model, restless, tmp_path / "close", 10**8)
        measured += bool(restless.asked)
    assert measured == tuning.MOST_TRIES
    calm, measured = Machine(likes_batches_of_256), []
    for calm.day in (0, 1, 89, 91, 92, 180, 182):
        calm.asked.clear()
        tuned(model, calm, tmp_path / "clear", 10**8)
        measured.append(bool(calm.asked))
    assert measured == [True, False, False, True, False, False, True]


def test_a_network_that_cannot_be_compiled_is_no_candidate(monkeypatch):
    def without_compiler(*_, **__):
        def call(x):
            raise RuntimeError("no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", without_compiler)
    with pytest.warns(UserWarning, match=r"not compiled: no C\+\+ compiler"):
        assert Bench(network(), SHAPE, CPU).sample_of(Configuration(64, compiled=True), 1e4)() == 0.0


def test_what_cannot_be_compiled_is_not_tried_again(tmp_path, model):
    machine = Machine(lambda c: 0.0 if c.compiled else 1000.0)
    assert not tuned(model, machine, tmp_path, 10**8).compiled
    machine.asked.clear()
    assert not tuned(model, machine, tmp_path, 10**9).compiled
    assert not machine.asked


def test_another_precision_is_another_choice(tmp_path, model):
    for precision in ("float32", "bf16"):
        machine = Machine(lambda _: 100.0, compile_seconds=0.1)
        assert tuned(model, machine, tmp_path, 10**6, precision=precision).precision == precision
    assert len(list(tmp_path.iterdir())) == 2


def test_this_machine_is_tuned_for_real(tmp_path, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(Bench, "seconds", lambda self: next(clock) * 1e-5)
    monkeypatch.setattr(tuning, "_BATCHES", [32, 64])
    monkeypatch.setattr(tuning, "SAMPLE_SECONDS", 2e-5)
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(tuning, "MOST_SECONDS", 0.01)
    model = network()
    found = tuning.tuned_configuration(model, SHAPE, CPU, votes=10**8, directory=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert tuning.tuned_configuration(model, SHAPE, CPU, votes=10**3, directory=tmp_path) == found


def test_a_configuration_that_changes_classes_is_refused(monkeypatch):
    # the checks of the classifier itself come first; this one must not rely on them
    plain, asked = BaseClassifier.clear_classes, itertools.count()

    def other_classes_the_second_time(self, x):
        winners, close = plain(self, x)
        return (1 - winners if next(asked) else winners), close

    monkeypatch.setattr(BaseClassifier, "clear_classes", other_classes_the_second_time)

    def bright(x):
        share = (x.flatten(1).mean(1) > 0.5).float()
        return torch.stack([share, 1 - share], dim=1)

    with pytest.raises(ModelError, match="64 of 64 inputs change their class"):
        tuning.require_same_classes(bright, (3, 8, 8), CPU, Configuration(64, channels_last=True))


def test_the_samples_of_the_race_are_remembered(tmp_path, model):
    tuned(model, Machine(lambda c: 1200.0 if c.compiled else 1000.0), tmp_path, 10**8)
    (record,) = tmp_path.iterdir()
    found = json.loads(record.read_text())["compiling"]
    assert {round(rate) for rate in found["present"]} == {1000}
    assert {round(rate) for rate in found["challenger"]} == {1200}
