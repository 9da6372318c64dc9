"""Choosing how to compute votes by measuring it, within a time that pays back, and remembering the choice.

From the usual configuration of a model's kind, the batch size is moved as long as votes come faster, then
the other memory layout and the other use of threads are tried, and on CPUs ``torch.compile``. All of it
changes the speed only. The choice is kept per machine, model, input shape, device and precision in the
user's cache folder; a network is compiled only for a job that is long enough to repay the compiling.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato.devices import device_name
from sfumato.errors import ModelError
from sfumato.files import write_text
from sfumato.noise import Gaussian
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Classifier, Configuration, usual_configuration
from sfumato.smoothing.voting import VoteCounter

FORMAT = 2
# A faster configuration is looked for during at most this share of the job, and this many seconds.
SHARE = 0.03
MOST_SECONDS = 30.0
LEAST_SECONDS = 2.0
# Even to measure how long the job takes is not worth it below this many votes.
LEAST_VOTES = 50_000
# What is not faster by this factor is not worth the change: it may be the machine's mood.
WORTHWHILE = 1.03
# Compiling takes from a few seconds to half a minute, and is done again in every process.
LEAST_COMPILING_SECONDS = 10.0
COMPILING_REPAID = 2.0
_TRIAL_SECONDS = 0.4
_SMALLEST_BATCH = 32
_LARGEST_BATCH = 4096
_CHECKED = 64


def tuned_configuration(
    model: Classifier,
    shape: tuple[int, ...],
    device: torch.device,
    *,
    votes: int,
    precision: str = "float32",
    directory: Path | None = None,
) -> Configuration:
    """Return the fastest configuration found for a job of about ``votes`` votes on inputs of ``shape``.

    A job too short to repay measuring gets the usual configuration. ``directory`` is where choices are
    remembered (the user's cache folder if not given); a folder that cannot be written is no error.

    Raises:
        ModelError: a model that does not fit, or whose classes differ between configurations by more
            than near ties.
    """
    usual = usual_configuration(model, device, precision=precision)
    path = (directory or cache_directory()) / f"{_digest(model, shape, device, precision)}.json"
    if (known := _read(path)) is not None:
        return known.for_job(votes)
    if votes < LEAST_VOTES:
        return usual
    rate = _votes_per_second(model, shape, device, usual)
    budget = min(MOST_SECONDS, SHARE * votes / rate)
    if budget < LEAST_SECONDS:
        return usual
    deadline = time.perf_counter() + budget
    best, rate = _search(model, shape, device, usual, rate, deadline)
    choice = _Choice(best, rate)
    if device.type == "cpu" and deadline - time.perf_counter() > LEAST_COMPILING_SECONDS:
        choice = _try_compiling(model, shape, device, choice)
    chosen = choice.for_job(votes)
    require_same_classes(model, shape, device, chosen)
    _write(path, choice)
    return chosen


@dataclass(frozen=True)
class _Choice:
    """What was measured: the fastest configuration, and what compiling it costs and brings.

    Attributes:
        configuration: the fastest that is not compiled.
        rate: its votes per second.
        compiled_rate: votes per second of the same compiled, 0 where not tried or not possible.
        compile_seconds: what compiling took.
    """

    configuration: Configuration
    rate: float
    compiled_rate: float = 0.0
    compile_seconds: float = 0.0

    def for_job(self, votes: int) -> Configuration:
        """Return the configuration for so many votes, compiled where that is repaid."""
        if self.compiled_rate < self.rate * WORTHWHILE:
            return self.configuration
        saved = votes / self.rate - votes / self.compiled_rate
        return replace(self.configuration, compiled=saved > COMPILING_REPAID * self.compile_seconds)


def cache_directory() -> Path:
    """Return the folder of remembered choices: under ``SFUMATO_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("SFUMATO_CACHE")
    if chosen:
        return Path(chosen) / "tuning"
    import pooch

    return Path(pooch.os_cache("sfumato")) / "tuning"


def require_same_classes(
    model: Classifier, shape: tuple[int, ...], device: torch.device, configuration: Configuration
) -> None:
    """Refuse a configuration under which other classes are found than by the model as it stands.

    Compared on random inputs, near ties left aside.

    Raises:
        ModelError: any class differs.
    """
    count = configuration.batch_size if configuration.compiled else _CHECKED
    inputs = torch.rand((count, *shape), generator=torch.Generator().manual_seed(0)).to(device)
    plain = BaseClassifier(model, device, precision=configuration.precision)
    fast = _classifier(model, device, configuration)
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
    model: Classifier,
    shape: tuple[int, ...],
    device: torch.device,
    best: Configuration,
    rate: float,
    deadline: float,
) -> tuple[Configuration, float]:
    """Return the fastest configuration found before the deadline, and its votes per second."""
    for family in (_larger, _smaller, _other_layout, _other_threads):
        for candidate in family(best, model):
            if time.perf_counter() > deadline:
                return best, rate
            found = _votes_per_second(model, shape, device, candidate)
            if found < rate * WORTHWHILE:
                break
            best, rate = candidate, found
    return best, rate


def _try_compiling(
    model: Classifier, shape: tuple[int, ...], device: torch.device, choice: _Choice
) -> _Choice:
    """Add to the choice what compiling it costs and brings; nothing where it cannot be compiled."""
    began = time.perf_counter()
    with warnings.catch_warnings():
        # a machine without a compiler is no news to a user who did not ask for one
        warnings.simplefilter("ignore")
        rate = _votes_per_second(model, shape, device, replace(choice.configuration, compiled=True))
    seconds = time.perf_counter() - began - _TRIAL_SECONDS
    return replace(choice, compiled_rate=rate, compile_seconds=max(0.0, seconds))


def _larger(start: Configuration, model: Classifier) -> Iterator[Configuration]:
    size = start.batch_size * 2
    while size <= _LARGEST_BATCH:
        yield replace(start, batch_size=size)
        size *= 2


def _smaller(start: Configuration, model: Classifier) -> Iterator[Configuration]:
    size = start.batch_size // 2
    while size >= _SMALLEST_BATCH:
        yield replace(start, batch_size=size)
        size //= 2


def _other_layout(start: Configuration, model: Classifier) -> Iterator[Configuration]:
    if isinstance(model, nn.Module) and any(isinstance(m, nn.Conv2d) for m in model.modules()):
        yield replace(start, channels_last=not start.channels_last)


def _other_threads(start: Configuration, model: Classifier) -> Iterator[Configuration]:
    if start.workers > 1:
        yield replace(start, workers=1)


def _classifier(model: Classifier, device: torch.device, configuration: Configuration) -> BaseClassifier:
    return BaseClassifier(
        model,
        device,
        precision=configuration.precision,
        channels_last=configuration.channels_last,
        compiled_batch=configuration.batch_size if configuration.compiled else 0,
    )


def _votes_per_second(
    model: Classifier, shape: tuple[int, ...], device: torch.device, configuration: Configuration
) -> float:
    """Count votes of a grey image for a fraction of a second, after a warm-up; 0 if it cannot be compiled."""
    image = torch.full((1, *shape), 0.5, device=device)
    base = _classifier(model, device, configuration)
    counter = VoteCounter(base, Gaussian(0.5), base.probe(image), configuration, seed=0)
    batch = configuration.batch_size * configuration.workers
    zero = np.zeros(1, dtype=np.int64)
    counter.count(image, zero, zero, zero + batch)
    if configuration.compiled and not base.compiled:
        return 0.0
    counted, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < _TRIAL_SECONDS:
        counter.count(image, zero, zero, zero + 2 * batch)
        counted += 2 * batch
    return counted / spent


def _digest(model: Classifier, shape: tuple[int, ...], device: torch.device, precision: str) -> str:
    """Return a name for all that the choice depends on; weights do not matter to the speed."""
    machine = (platform.node(), device_name(device), os.cpu_count(), torch.get_num_threads())
    parts = (FORMAT, machine, str(torch.__version__), repr(model), shape, precision)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> _Choice | None:
    """Return the remembered choice; one that is damaged counts as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _Choice(**{**found, "configuration": Configuration(**found["configuration"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, choice: _Choice) -> None:
    with contextlib.suppress(OSError):
        write_text(path, json.dumps(asdict(choice)))
