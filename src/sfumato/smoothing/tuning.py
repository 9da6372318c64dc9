"""Choosing how to compute votes by measuring it, within a time that pays back, and remembering the choice.

From the usual configuration of a model's kind, the batch size is moved as long as votes come faster, then
the other memory layout and the other use of threads are tried, and on CPUs ``torch.compile``, each in a race
of short samples against what is best so far (see ``race``). All of it changes the speed only. The choice is
kept per machine, model, input shape, device and precision in the user's cache folder, with its samples. A
later long job measures again what was close, what there was no time for, and what is old. A network is
compiled only for a job that is long enough to repay the compiling.

Nothing is begun that is expected to end after the budget, so a slow model is measured little or not at all.
Only compiling, whose time nobody knows before, may take longer than was planned.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, TypeAdapter

from sfumato.devices import device_name
from sfumato.errors import ModelError
from sfumato.files import cache_folder, write_text
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.smoothing.answers import Asked
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import (
    Configuration,
    Network,
    has_convolutions,
    largest_usual_batch,
    usual_configuration,
)
from sfumato.smoothing.full_precision import full_precision
from sfumato.smoothing.private_copy import private_copy
from sfumato.smoothing.race import Race, Sample, race
from sfumato.smoothing.voting import VoteCounter

FORMAT = 3
# A faster configuration is looked for during at most this share of the job, and this many seconds.
SHARE = 0.03
MOST_SECONDS = 30.0
LEAST_SECONDS = 2.0
# Even to measure how long the job takes is not worth it below this many votes.
LEAST_VOTES = 50_000
# Compiling takes from a few seconds to half a minute, and is done again in every process.
LEAST_COMPILING_SECONDS = 10.0
COMPILING_REPAID = 2.0
# A close choice is measured again by later jobs until it has had this many, any choice once it is this old.
MOST_TRIES = 3
OLDEST_SECONDS = 90 * 86400.0
SAMPLE_SECONDS = 0.05
_RACE_SECONDS = 2.0
# A first look that takes more than this share of the time leaves too little to find anything.
_FIRST_SHARE = 0.2
_BATCH_SHARE = 0.1
# What takes longer than this is announced, or made smaller.
_NOTED_SECONDS = 1.0
_LONG_SAMPLE_SECONDS = 0.5
_BATCHES = [2**power for power in range(5, 13)]
_TIMES_THE_USUAL = 4
_CHECKED = 64
_FEW = 8


def tuned_configuration(
    model: Network,
    shape: tuple[int, ...],
    device: torch.device,
    *,
    votes: int,
    precision: str = "float32",
    directory: Path | None = None,
    bench: Bench | None = None,
    on_measuring: Callable[[float], None] = lambda seconds: None,
) -> Configuration:
    """Return the fastest configuration found for a job of about ``votes`` votes on inputs of ``shape``.

    A job too short to repay measuring, or a model too slow to be measured in the time, gets the usual
    configuration, or the one remembered. ``directory`` is where choices are remembered (the user's cache
    folder if not given); a folder that cannot be written is no error. ``bench`` measures, this machine's if
    not given. ``on_measuring`` is called before measuring that may take over a second, with the most seconds
    that are planned for it.

    Raises:
        ModelError: a model that does not fit, or whose classes differ between configurations by more
            than near ties.
    """
    bench = bench or Bench(model, shape, device)
    path = (directory or cache_folder("tuning")) / f"{_digest(model, shape, device, precision)}.json"
    usual = usual_configuration(model, device, precision=precision, shape=shape)
    known, announced, began = _read(path), False, bench.seconds()
    if known is None:
        if votes < LEAST_VOTES:
            return usual
        rate = bench.rough_rate()
        budget, look = _budget(votes, rate), _first_look(usual, rate, probed=False)
        if look > _FIRST_SHARE * budget:
            return usual
        if announced := look > _NOTED_SECONDS:
            on_measuring(budget)
        sample = bench.sample_of(usual, rate)
        known = _Choice(usual, max(sample(), sample()), None, 0.0, False, 0, bench.date())
    budget = _budget(votes, known.rate)
    compiling = LEAST_COMPILING_SECONDS + _first_look(known.configuration, known.rate, probed=False)
    compilable = device.type == "cpu" and budget > compiling + LEAST_SECONDS
    if budget < LEAST_SECONDS or not known.is_due(bench.date(), compilable):
        return known.for_job(votes)
    if not announced:
        on_measuring(budget)
    checked = _CHECKED if _checking(_CHECKED, known.rate) < _NOTED_SECONDS else _FEW
    most = _TIMES_THE_USUAL * largest_usual_batch(shape, device)
    search = _Search(bench, model, began + budget - _checking(checked, known.rate), most)
    choice = search.choice(known, compilable)
    chosen = choice.for_job(votes)
    require_same_classes(model, shape, device, chosen, checked)
    _write(path, choice)
    return chosen


def _budget(votes: int, rate: float) -> float:
    """Return how many seconds measuring may take for a job of so many votes at this rate."""
    return min(MOST_SECONDS, SHARE * votes / rate)


def _first_look(configuration: Configuration, rate: float, *, probed: bool) -> float:
    """Return about how many seconds it takes to prepare a configuration and to take one sample of it."""
    batch = configuration.batch_size * configuration.workers
    probing = 0 if probed else _passes_of_a_probe(_probed_rows(rate))
    return (probing + batch) / rate + _sampling(configuration, rate)


def _sampling(configuration: Configuration, rate: float) -> float:
    """Return about how many seconds one sample takes."""
    batch = configuration.batch_size * configuration.workers
    return max(SAMPLE_SECONDS, _votes_at_a_time(batch, rate) / rate)


def _votes_at_a_time(batch: int, rate: float) -> int:
    """Return how many votes a sample counts between two looks at the clock: whole batches of all workers."""
    return 2 * batch if 2 * batch / rate <= _LONG_SAMPLE_SECONDS else batch


def _probed_rows(rate: float) -> int:
    return _CHECKED if _passes_of_a_probe(_CHECKED) / rate < _NOTED_SECONDS else _FEW


def _passes_of_a_probe(rows: int) -> int:
    """Return about how many votes take as long as probing a classifier on a batch of so many rows."""
    return 4 * rows + 100


def _checking(rows: int, rate: float) -> float:
    """Return about how many seconds ``require_same_classes`` takes."""
    return 2 * (_passes_of_a_probe(rows) + rows) / rate


@dataclass(frozen=True)
class _Choice:
    """What was measured, as it is remembered.

    Attributes:
        configuration: the fastest that is not compiled.
        rate: its votes per second.
        compiling: the race of the same compiled against it, None where it was not tried.
        compile_seconds: what compiling took.
        close: whether some race was close.
        tries: how many jobs have measured.
        date: of the last one, in seconds since 1970.
    """

    configuration: Configuration
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    compiling: Race | None
    compile_seconds: float
    close: bool
    tries: int
    date: float

    def for_job(self, votes: int) -> Configuration:
        """Return the configuration for a job of ``votes`` votes, compiled where the time saved repays it."""
        if self.compiling is None or not self.compiling.won:
            return self.configuration
        saved = votes / self.rate * (1 - 1 / self.compiling.ratio)
        return replace(self.configuration, compiled=saved > COMPILING_REPAID * self.compile_seconds)

    def is_due(self, date: float, compilable: bool) -> bool:
        """Return whether a long job at this date should measure again."""
        untried = not self.tries or (self.compiling is None and compilable)
        return untried or (self.close and self.tries < MOST_TRIES) or date - self.date > OLDEST_SECONDS


class Bench:
    """Measures configurations of one model on this machine."""

    def __init__(self, model: Network, shape: tuple[int, ...], device: torch.device) -> None:
        self._model, self._device = model, device
        self._image = torch.full((1, *shape), 0.5, device=device)
        self._bases: dict[tuple[str, bool], BaseClassifier] = {}

    def seconds(self) -> float:
        """Return the time on a clock that never goes back."""
        return time.perf_counter()

    def date(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def rough_rate(self) -> float:
        """Return about how many inputs a second the model takes, by a batch of few: too few if it is fast.

        Raises:
            ModelError: a model that does not take the inputs.
        """
        network = getattr(self._model, "_orig_mod", self._model)
        if isinstance(network, torch.nn.Module):
            network, _ = private_copy(network, self._device)
        ask = Asked(network, torch.float32)
        few = self._image.expand(_FEW, *self._image.shape[1:])
        with full_precision(self._device), torch.inference_mode():
            ask(few[:1])
            started = self.seconds()
            ask(few).cpu()  # waits for the device
        return _FEW / max(self.seconds() - started, 1e-9)

    def sample_of(self, configuration: Configuration, rate: float) -> Sample:
        """Return what counts votes of a grey image for a moment, warmed up and compiled if it can be.

        ``rate`` is about how many votes a second are expected: slow ones are counted fewer at a time.
        """
        base = self._base(configuration, rate)
        classes = base.prepare(self._image)
        counter = VoteCounter(base, Gaussian(0.5), classes, configuration, seed=0, use=Use.TUNING)
        batch = configuration.batch_size * configuration.workers
        at_a_time = _votes_at_a_time(batch, rate)
        zero = np.zeros(1, dtype=np.int64)

        def sample() -> float:
            counted, started = 0, self.seconds()
            while (spent := self.seconds() - started) < SAMPLE_SECONDS:
                counter.count(self._image, zero, zero, zero + at_a_time)
                counted += at_a_time
            return counted / spent

        counter.count(self._image, zero, zero, zero + batch)
        return (lambda: 0.0) if configuration.compiled and not base.compiled else sample

    def _base(self, configuration: Configuration, rate: float) -> BaseClassifier:
        """Return the probed classifier, once for all configurations that compute by the same form of it."""
        form = (configuration.precision, configuration.channels_last)
        base = None if configuration.compiled else self._bases.get(form)
        if base is None:
            base = BaseClassifier.configured(self._model, self._device, configuration)
            base.probe(self._image, batch_size=_probed_rows(rate))
            if not configuration.compiled:
                self._bases[form] = base
        return base


def require_same_classes(
    model: Network,
    shape: tuple[int, ...],
    device: torch.device,
    configuration: Configuration,
    count: int = _CHECKED,
) -> None:
    """Refuse a configuration that changes the class of a random input which is no near tie.

    ``count`` inputs are compared, or a full batch of a compiled network.

    Raises:
        ModelError: any class differs.
    """
    probed, count = count, configuration.batch_size if configuration.compiled else count
    drawn = torch.empty((count, *shape), dtype=torch.float64)
    Stream(Use.PROBES, 0, Span(0)).uniform(drawn)
    inputs = drawn.float().to(device)
    plain = BaseClassifier(model, device, precision=configuration.precision)
    fast = BaseClassifier.configured(model, device, configuration)
    for base in (plain, fast):
        base.probe(inputs, batch_size=probed)
    expected, close = plain.clear_classes(inputs)
    found, also_close = fast.clear_classes(inputs)
    different = (expected != found) & ~close & ~also_close
    if different.any():
        raise ModelError(
            f"{int(different.sum())} of {count} inputs change their class under {configuration}; "
            "the configuration is refused"
        )


@dataclass(frozen=True)
class _Search:
    """A search for the fastest configuration of a model.

    Attributes:
        bench: what measures.
        model: what is measured.
        deadline: by the clock of the bench.
        largest_batch: of all that are tried.
    """

    bench: Bench
    model: Network
    deadline: float
    largest_batch: int

    def choice(self, start: _Choice, compilable: bool) -> _Choice:
        """Return the fastest found before the deadline, from what is known so far."""
        bench, best, rate = self.bench, start.configuration, start.rate
        # compiling is worth more than all the rest: its time is kept for it
        search_until = self.deadline - LEAST_COMPILING_SECONDS if compilable else self.deadline
        longest_batch = _BATCH_SHARE * (self.deadline - bench.seconds())
        sample, close = bench.sample_of(best, rate), False
        for kind in ("larger", "smaller", "layout", "threads"):
            for candidate in _candidates(best, kind, self.model):
                batch = candidate.batch_size * candidate.workers
                if candidate.batch_size > self.largest_batch or batch / rate > longest_batch:
                    continue
                look = _first_look(candidate, rate, probed=candidate.channels_last == best.channels_last)
                if bench.seconds() + look + _sampling(best, rate) > search_until:
                    break
                challenger = bench.sample_of(candidate, rate)
                found = race(sample, challenger, lambda: search_until - bench.seconds())
                close, rate = close or found.close, max(found.challenger if found.won else found.present)
                if not found.won:
                    break
                best, sample = candidate, challenger
        if compilable:
            return self._with_compiling(best, sample, rate, close, start.tries + 1)
        kept = (start.compiling, start.compile_seconds) if best == start.configuration else (None, 0.0)
        return _Choice(best, rate, *kept, close, start.tries + 1, bench.date())

    def _with_compiling(
        self, best: Configuration, sample: Sample, rate: float, close: bool, tries: int
    ) -> _Choice:
        """Return the best as it is, with what compiling it gains."""
        bench, began = self.bench, self.bench.seconds()
        with warnings.catch_warnings():
            # a machine without a compiler is no news to a user who did not ask for one
            warnings.simplefilter("ignore")
            compiled = bench.sample_of(replace(best, compiled=True), rate)
        seconds = bench.seconds() - began
        until = max(self.deadline, bench.seconds() + _RACE_SECONDS)
        found = race(sample, compiled, lambda: until - bench.seconds())
        return _Choice(best, max(found.present), found, seconds, close or found.close, tries, bench.date())


def _candidates(best: Configuration, kind: str, model: Network) -> list[Configuration]:
    """Return what differs from the best so far in one respect, to be tried until one is no faster."""
    if kind == "larger":
        return [replace(best, batch_size=size) for size in _BATCHES if size > best.batch_size]
    if kind == "smaller":
        return [replace(best, batch_size=size) for size in reversed(_BATCHES) if size < best.batch_size]
    if kind == "layout":
        return [replace(best, channels_last=not best.channels_last)] if has_convolutions(model) else []
    return [replace(best, workers=1)] if best.workers > 1 else []


def _digest(model: Network, shape: tuple[int, ...], device: torch.device, precision: str) -> str:
    """Return a name for all that the choice depends on; weights do not matter to the speed."""
    machine = (platform.node(), device_name(device), os.cpu_count(), torch.get_num_threads())
    parts = (FORMAT, machine, str(torch.__version__), repr(model), shape, precision)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> _Choice | None:
    """Return the choice remembered; None where there is none, or a damaged one."""
    try:
        return _RECORD.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _write(path: Path, choice: _Choice) -> None:
    with contextlib.suppress(OSError):
        write_text(path, _RECORD.dump_json(choice).decode())


_RECORD = TypeAdapter(_Choice)
