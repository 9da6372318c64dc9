"""Choosing how to compute votes by measuring it, within a time that pays back, and remembering the choice.

From the usual configuration of a model's kind, the batch size is moved as long as votes come faster, then
the other memory layout and the other use of threads are tried, and on CPUs ``torch.compile``, each in a race
of short samples against what is best so far (see ``race``). All of it changes the speed only. The choice is
kept per machine, model, input shape, device and precision in the user's cache folder, with its samples. A
later long job measures again what was close, what there was no time for, and what is old. A network is
compiled only for a job that is long enough to repay the compiling.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
import warnings
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
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration, Network, has_convolutions, usual_configuration
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
_BATCHES = [2**power for power in range(5, 13)]
_CHECKED = 64


def tuned_configuration(
    model: Network,
    shape: tuple[int, ...],
    device: torch.device,
    *,
    votes: int,
    precision: str = "float32",
    directory: Path | None = None,
    bench: Bench | None = None,
) -> Configuration:
    """Return the fastest configuration found for a job of about ``votes`` votes on inputs of ``shape``.

    A job too short to repay measuring gets the usual configuration, or the one remembered. ``directory`` is
    where choices are remembered (the user's cache folder if not given); a folder that cannot be written is
    no error. ``bench`` measures, this machine's if not given.

    Raises:
        ModelError: a model that does not fit, or whose classes differ between configurations by more
            than near ties.
    """
    bench = bench or Bench(model, shape, device)
    path = (directory or cache_folder("tuning")) / f"{_digest(model, shape, device, precision)}.json"
    known = _read(path)
    sample = None
    if known is None:
        usual = usual_configuration(model, device, precision=precision)
        if votes < LEAST_VOTES:
            return usual
        sample = bench.sample_of(usual)
        known = _Choice(usual, max(sample(), sample()), None, 0.0, False, 0, bench.date())
    budget = min(MOST_SECONDS, SHARE * votes / known.rate)
    compilable = device.type == "cpu" and budget > LEAST_COMPILING_SECONDS + LEAST_SECONDS
    if budget < LEAST_SECONDS or not known.is_due(bench.date(), compilable):
        return known.for_job(votes)
    choice = _search(bench, model, known, sample, bench.seconds() + budget, compilable)
    chosen = choice.for_job(votes)
    require_same_classes(model, shape, device, chosen)
    _write(path, choice)
    return chosen


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

    def seconds(self) -> float:
        """Return the time on a clock that never goes back."""
        return time.perf_counter()

    def date(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def sample_of(self, configuration: Configuration) -> Sample:
        """Return what counts votes of a grey image for a moment, warmed up and compiled if it can be."""
        base = BaseClassifier.configured(self._model, self._device, configuration)
        counter = VoteCounter(
            base, Gaussian(0.5), base.probe(self._image), configuration, seed=0, use=Use.TUNING
        )
        batch = configuration.batch_size * configuration.workers
        zero = np.zeros(1, dtype=np.int64)

        def sample() -> float:
            counted, started = 0, self.seconds()
            while (spent := self.seconds() - started) < SAMPLE_SECONDS:
                counter.count(self._image, zero, zero, zero + 2 * batch)
                counted += 2 * batch
            return counted / spent

        counter.count(self._image, zero, zero, zero + batch)
        return (lambda: 0.0) if configuration.compiled and not base.compiled else sample


def require_same_classes(
    model: Network, shape: tuple[int, ...], device: torch.device, configuration: Configuration
) -> None:
    """Refuse a configuration that changes the class of a random input which is no near tie.

    Raises:
        ModelError: any class differs.
    """
    count = configuration.batch_size if configuration.compiled else _CHECKED
    drawn = torch.empty((count, *shape), dtype=torch.float64)
    Stream(Use.PROBES, 0, Span(0)).uniform(drawn)
    inputs = drawn.float().to(device)
    plain = BaseClassifier(model, device, precision=configuration.precision)
    fast = BaseClassifier.configured(model, device, configuration)
    fast.probe(inputs)
    expected, close = plain.clear_classes(inputs)
    found, also_close = fast.clear_classes(inputs)
    different = (expected != found) & ~close & ~also_close
    if different.any():
        raise ModelError(
            f"{int(different.sum())} of {count} inputs change their class under {configuration}; "
            "the configuration is refused"
        )


def _search(
    bench: Bench, model: Network, start: _Choice, sample: Sample | None, deadline: float, compilable: bool
) -> _Choice:
    """Return the fastest found before the deadline, from what is known so far and what samples it."""
    best, rate = start.configuration, start.rate
    sample = sample or bench.sample_of(best)
    # compiling is worth more than all the rest: its time is kept for it
    search_until = deadline - LEAST_COMPILING_SECONDS if compilable else deadline
    close = False
    for kind in ("larger", "smaller", "layout", "threads"):
        for candidate in _candidates(best, kind, model):
            if bench.seconds() > search_until:
                break
            challenger = bench.sample_of(candidate)
            found = race(sample, challenger, lambda: search_until - bench.seconds())
            close, rate = close or found.close, max(found.challenger if found.won else found.present)
            if not found.won:
                break
            best, sample = candidate, challenger
    if not compilable:
        kept = (start.compiling, start.compile_seconds) if best == start.configuration else (None, 0.0)
        return _Choice(best, rate, *kept, close, start.tries + 1, bench.date())
    began = bench.seconds()
    with warnings.catch_warnings():
        # a machine without a compiler is no news to a user who did not ask for one
        warnings.simplefilter("ignore")
        compiled = bench.sample_of(replace(best, compiled=True))
    seconds = bench.seconds() - began
    until = max(deadline, bench.seconds() + _RACE_SECONDS)
    found = race(sample, compiled, lambda: until - bench.seconds())
    close = close or found.close
    return _Choice(best, max(found.present), found, seconds, close, start.tries + 1, bench.date())


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
