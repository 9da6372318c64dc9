"""Certify a data set into a file, row by row; a killed run can be continued."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.certification.file import checksum_of_examples, continued, finished_rows
from sfumato.certification.forecast import LONG_RUN, Forecast, forecast
from sfumato.certification.measure import Measure
from sfumato.certification.recorded_answers import answers
from sfumato.certification.shipped import (
    Counted,
    ImageShelf,
    Recipe,
    certify,
    certify_images,
    computing_device,
    first_size,
)
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.certification.table import LARGEST_RADIUS
from sfumato.certification.without_noise import CleanAccuracy, accuracy_without_noise, stated_accuracy
from sfumato.datasets import Dataset
from sfumato.datasets.on_demand import pick
from sfumato.errors import SettingError, require_open_unit
from sfumato.execution.base import Done, Executor, Task
from sfumato.execution.pace import Pace
from sfumato.noise.keyed import CHUNK, NOISE_VERSION
from sfumato.plans import Fixed, Plan, as_plan
from sfumato.settings import CONFIDENCE
from sfumato.version import __version__

LARGEST_BETA = LARGEST_RADIUS / 100  # no number of votes certifies 100 beta


@dataclass(frozen=True)
class Certification:
    """What is certified of a data set, and how.

    Attributes:
        examples: indices of test examples.
        plan: the stopping plan, or its text.
        confidence: of each certificate.
        label_known: plans that support it test only the true label, with fewer votes; a row then predicts the
            label or nothing.

    Raises:
        SettingError: no examples, a plan that cannot be read, a confidence out of range.
    """

    examples: Sequence[int]
    plan: Plan | str = field(default_factory=Fixed)
    confidence: float = CONFIDENCE
    label_known: bool = False

    def __post_init__(self) -> None:
        if not self.examples:
            raise SettingError("no examples to certify; at least 1 is needed")
        require_open_unit("confidence", self.confidence)
        object.__setattr__(self, "plan", as_plan(self.plan))

    @property
    def stopping(self) -> Plan:
        """The plan itself."""
        return as_plan(self.plan)


def certify_to_file(
    smoothed: SmoothedClassifier,
    data: Dataset,
    what: Certification,
    output: Path | str,
    *,
    on_certificate: Callable[[Certificate], None] = lambda certificate: None,
    executor: Executor | None = None,
    on_pace: Callable[[str], None] = lambda note: None,
    on_invalid: Callable[[int], None] = lambda votes: None,
    on_without_noise: Callable[[CleanAccuracy], None] = lambda found: None,
    on_reused: Callable[[int], None] = lambda rows: None,
    on_forecast: Callable[[Forecast], None] | None = None,
    on_measuring: Callable[[float], None] = lambda seconds: None,
) -> Certificates:
    """Certify the test examples into ``output``; return all rows of the file.

    With probability at least ``what.confidence`` over the noise, for each row that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius. Rows already in the file
    are reused if all settings match; ``on_reused`` hears how many, and ``on_without_noise`` before
    it how many images are classified correctly without noise. ``on_certificate`` is called for every row,
    reused ones first. ``smoothed.tune`` chooses how the votes are computed.

    With an ``executor`` of workers the images are shared out among them. The file is the same, apart from
    the times. ``on_pace`` then hears the rates, ``on_invalid`` how many of a task's votes were NaN. Without
    workers ``on_forecast`` hears before the first vote how long it will take, and ``on_measuring`` as that of
    ``smoothed.tune``.

    Raises:
        ModelError: the classifier's weights are no longer those that were loaded.
        OutputError: ``output`` is another run's or another model's, another process is writing it, or it
            cannot be written.
        WriteError: the disk is full, or the table was removed, replaced or changed meanwhile.
        DataError: a row in it that cannot be read.
    """
    output = Path(output)
    settings = _settings(smoothed, data, what, executor)
    examples = what.examples
    if what.label_known:
        data.require_labels("label_known")
    smoothed.check(data.test.x[examples[0] : examples[0] + 1], data.num_classes)
    # what the plan refuses, it refuses before anything is written
    labels = np.array([data.test.y[examples[0]]]) if what.label_known else None
    what.stopping.start(
        1, max(2, data.num_classes), noise=smoothed.noise, confidence=what.confidence, labels=labels
    )
    # another run's file is refused before the model is asked
    finished_rows(output, settings, examples)
    without_noise = accuracy_without_noise(smoothed, data, examples)
    stated = stated_accuracy(smoothed.classifier, data, examples, without_noise)
    settings |= {
        "clean_accuracy": stated.share if stated else None,
        "clean_of": stated.of if stated else None,
    }
    with continued(output, settings, examples) as table:
        on_without_noise(without_noise)
        on_reused(len(table.rows))
        for row in table.rows:
            on_certificate(row)
        left = list(examples)[len(table.rows) :]

        def keep(found: list[Certificate]) -> None:
            table.append(found)
            for row in found:
                on_certificate(row)

        if executor is None or executor.in_process:
            # not earlier: another run's file is refused before any time is spent on measuring what is fast
            if left:
                votes = len(left) * what.stopping.least_votes
                smoothed.tune(data.input_shape, votes, on_measuring=on_measuring)
                if on_forecast is not None:
                    image = data.test.x[left[0] : left[0] + 1]
                    on_forecast(forecast(smoothed, what.stopping, image, len(left), enough=LONG_RUN))
            x, labels = pick(data.test.x, left), data.test.y[left]
            for found in certify_images(
                smoothed,
                what.stopping,
                x,
                left,
                labels,
                confidence=what.confidence,
                label_known=what.label_known,
            ):
                keep(found)
        else:
            _share_out(executor, smoothed, data, what, left, keep, on_pace, on_invalid)
    return Certificates(table.rows, measure=Measure.of(settings))


def _share_out(
    executor: Executor,
    smoothed: SmoothedClassifier,
    data: Dataset,
    what: Certification,
    examples: Sequence[int],
    keep: Callable[[list[Certificate]], None],
    on_pace: Callable[[str], None],
    on_invalid: Callable[[int], None],
) -> None:
    """Let workers certify the examples; ``keep`` their rows in the order of the examples."""
    slots = max(1, executor.slots)
    recipe = Recipe(
        executor.share("the model", smoothed.model),
        smoothed.noise,
        smoothed.seed,
        computing_device(smoothed.device.type, executor),
        smoothed.configuration.precision,
        data.input_shape,
        len(examples) * what.stopping.least_votes // slots,
        "certification",
    )
    shelf, pace, waiting = ImageShelf(executor, data.test.x), Pace(lambda: executor.slots), deque(examples)
    finished: dict[int, list[Certificate]] = {}
    handed_out, kept = 0, 0

    def came_back(number: int, done: Done) -> None:
        nonlocal kept
        found: Counted = done.value
        finished[number] = found.rows
        pace.add("certificates", found.images, found.votes, done)
        on_pace(pace.note())
        if found.invalid:
            on_invalid(found.invalid)
        while kept in finished:
            keep(finished.pop(kept))
            kept += 1

    def next_task() -> Task | None:
        nonlocal handed_out
        if not waiting:
            return None
        size = min(len(waiting), pace.size("certificates", first_size(what.stopping), len(waiting)))
        part = tuple(waiting.popleft() for _ in range(size))
        number, handed_out = handed_out, handed_out + 1
        return shelf.voting(recipe, part, data.test.y).task(
            f"certifying images {part[0]} to {part[-1]}",
            certify,
            (what.stopping, what.confidence, what.label_known),
            partial(came_back, number),
        )

    executor.run(next_task)


def _settings(
    smoothed: SmoothedClassifier, data: Dataset, what: Certification, executor: Executor | None
) -> dict[str, Any]:
    """Return all that determines the rows, and what a reader needs to know about them."""
    classifier, examples = smoothed.classifier, what.examples
    checksum = classifier.checksum()
    if smoothed.beta > LARGEST_BETA:
        raise SettingError(f"beta must be at most {LARGEST_BETA:g} for a table, got {smoothed.beta:g}")
    return {
        "format": 3,
        "model": classifier.name,
        # before the checksum, which depends on them: what differs is named
        "mean": None if classifier.mean is None else list(classifier.mean),
        "std": None if classifier.std is None else list(classifier.std),
        "weights_sha256": checksum,
        "factory": classifier.factory,
        "fingerprint": classifier.fingerprint,
        "answers": answers(smoothed, data.test.x) if classifier.fingerprint is None else None,
        **({"normalization": how.model_dump(mode="json")} if (how := classifier.normalization) else {}),
        "alpha": classifier.record.alpha if classifier.record else None,
        "data": data.name,
        "data_sha256": data.checksum(),
        "examples": {
            "count": len(examples),
            "first": examples[0],
            "last": examples[-1],
            "checksum": checksum_of_examples(examples),
        },
        **smoothed.noise.identity(),
        **({"sound": True} if smoothed.noise.sound else {}),
        "norm": smoothed.noise.norm,
        "unit": data.unit,
        "plan": what.stopping.name,
        "confidence": what.confidence,
        "label_known": what.label_known,
        "seed": smoothed.seed,
        "chunk": CHUNK,
        "noise_version": NOISE_VERSION,
        "device": computing_device(smoothed.device.type, executor),
        "precision": smoothed.configuration.precision,
        "sfumato_version": __version__,
        "torch_version": str(torch.__version__),
    }
