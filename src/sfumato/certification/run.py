"""Certifying a data set into a file, one row as it is found, resumable after a kill."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sfumato.certification.certificate import Certificate
from sfumato.certification.certify_images import certify_images
from sfumato.certification.file import continued, finished_rows
from sfumato.certification.recorded_answers import answers
from sfumato.certification.shipped import (
    Certified,
    ImageShelf,
    Recipe,
    Voting,
    certify,
    computing_device,
    first_size,
)
from sfumato.certification.table_cells import LARGEST_RADIUS
from sfumato.datasets import Dataset
from sfumato.errors import ModelError, SettingError, require_open_unit
from sfumato.execution.base import Done, Executor, Task
from sfumato.execution.pace import Pace
from sfumato.models.checkpoint import weights_checksum
from sfumato.models.classifier import TrainedClassifier
from sfumato.noise.keyed import CHUNK, NOISE_VERSION
from sfumato.plans import Plan
from sfumato.smoothing.smoothed import DEFAULT_CONFIDENCE, SmoothedClassifier
from sfumato.version import __version__

LARGEST_BETA = LARGEST_RADIUS / 100  # no number of votes certifies 100 beta


def certify_to_file(
    classifier: TrainedClassifier,
    data: Dataset,
    examples: Sequence[int],
    output: Path,
    smoothed: SmoothedClassifier,
    plan: Plan,
    *,
    confidence: float = DEFAULT_CONFIDENCE,
    label_known: bool = False,
    on_certificate: Callable[[Certificate], None] = lambda certificate: None,
    executor: Executor | None = None,
    on_pace: Callable[[str], None] = lambda note: None,
    on_invalid: Callable[[int], None] = lambda votes: None,
) -> list[Certificate]:
    """Certify the test examples with these indices into ``output``; return all rows of the file.

    With probability at least ``confidence`` over the noise, for each row that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius. Rows that an
    interrupted run of the same settings has written, or a finished one over the first of these examples,
    are kept and not computed again.
    With ``label_known`` plans that can do so test the true label only, at fewer votes; a row then
    predicts the label or nothing. ``on_certificate`` is called for every row, kept ones first.

    With an ``executor`` of workers the images are shared out among them, ``smoothed`` saying what is
    computed and each worker how; the file is the same, times aside, rows in the same order. ``on_pace``
    then hears the rates, ``on_invalid`` how many of a task's votes were NaN.

    Raises:
        SettingError: ``smoothed`` smooths another model than the classifier's.
        OutputError: ``output`` is another run's or another model's, another process is writing it, or it
            cannot be written.
        WriteError: the disk is full, or the table was removed, replaced or changed meanwhile.
        DataError: a row in it that is none.
    """
    require_open_unit("confidence", confidence)
    settings = _settings(classifier, data, examples, smoothed, plan, confidence, label_known, executor)
    smoothed.check(data.test.x[examples[0] : examples[0] + 1], data.num_classes)
    # what the plan refuses, it refuses before anything is written
    labels = np.array([data.test.y[examples[0]]]) if label_known else None
    plan.start(1, data.num_classes, noise=smoothed.noise, confidence=confidence, labels=labels)
    with continued(output, settings, examples) as table:
        for row in table.rows:
            on_certificate(row)
        left = list(examples)[len(table.rows) :]

        def keep(found: list[Certificate]) -> None:
            table.append(found)
            for row in found:
                on_certificate(row)

        if executor is None or executor.in_process:
            x, labels = data.test.x[left], data.test.y[left]
            for found in certify_images(
                smoothed, plan, x, left, labels, confidence=confidence, label_known=label_known
            ):
                keep(found)
        else:
            statement = (plan, confidence, label_known)
            _share_out(executor, classifier, data, left, smoothed, statement, keep, on_pace, on_invalid)
    return table.rows


def count_finished(
    classifier: TrainedClassifier,
    data: Dataset,
    examples: Sequence[int],
    output: Path,
    smoothed: SmoothedClassifier,
    plan: Plan,
    *,
    confidence: float = DEFAULT_CONFIDENCE,
    label_known: bool = False,
    executor: Executor | None = None,
) -> int:
    """Return how many of the examples ``certify_to_file`` would find certified; nothing is written.

    Raises:
        SettingError, OutputError, DataError: as ``certify_to_file``.
    """
    settings = _settings(classifier, data, examples, smoothed, plan, confidence, label_known, executor)
    return len(finished_rows(output, settings, examples))


def _share_out(
    executor: Executor,
    classifier: TrainedClassifier,
    data: Dataset,
    examples: Sequence[int],
    smoothed: SmoothedClassifier,
    statement: tuple[Plan, float, bool],
    keep: Callable[[list[Certificate]], None],
    on_pace: Callable[[str], None],
    on_invalid: Callable[[int], None],
) -> None:
    """Let workers certify the examples; ``keep`` their rows in the order of the examples."""
    slots = max(1, executor.slots)
    recipe = Recipe(
        executor.share("the model", classifier.model),
        smoothed.noise,
        smoothed.seed,
        computing_device(smoothed.device.type, executor),
        smoothed.configuration.precision,
        data.input_shape,
        len(examples) * statement[0].least_votes // slots,
        "certification",
    )
    shelf, pace, waiting = ImageShelf(executor, data.test.x), Pace(lambda: executor.slots), deque(examples)
    finished: dict[int, list[Certificate]] = {}
    handed_out, kept = 0, 0

    def came_back(number: int, done: Done) -> None:
        nonlocal kept
        found: Certified = done.value
        finished[number] = found.certificates
        votes = sum(certificate.votes or 0 for certificate in found.certificates)
        pace.add("certificates", len(found.certificates), votes, done)
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
        size = min(len(waiting), pace.size("certificates", first_size(statement[0]), len(waiting)))
        part = tuple(waiting.popleft() for _ in range(size))
        pieces = shelf.pieces(part)
        voting = Voting(recipe, pieces, part, data.test.y[list(part)], executor.cpus_per_worker)
        number, handed_out = handed_out, handed_out + 1
        return Task(
            f"certifying images {part[0]} to {part[-1]}",
            certify,
            (voting, *statement),
            partial(came_back, number),
            needs=(recipe.network, *(piece.block for piece in pieces)),
            cpus=executor.cpus_per_worker or 1,
        )

    executor.run(next_task)


def _settings(
    classifier: TrainedClassifier,
    data: Dataset,
    examples: Sequence[int],
    smoothed: SmoothedClassifier,
    plan: Plan,
    confidence: float,
    label_known: bool,
    executor: Executor | None,
) -> dict[str, Any]:
    """Return all that determines the rows, and what a reader needs to know about them."""
    if not examples:
        raise SettingError("no examples to certify; at least 1 is needed")
    _require_one_model(classifier, smoothed)
    if smoothed.beta > LARGEST_BETA:
        raise SettingError(f"beta must be at most {LARGEST_BETA:g} for a table, got {smoothed.beta:g}")
    return {
        "format": 3,
        "model": classifier.name,
        "weights_sha256": classifier.weights_sha256,
        "factory": classifier.factory,
        "answers": answers(smoothed, data.test.x),
        "alpha": classifier.record.alpha if classifier.record else None,
        "data": data.name,
        "data_sha256": data.checksum(),
        "examples": {"count": len(examples), "first": examples[0], "last": examples[-1]},
        **smoothed.noise.identity(),
        "norm": smoothed.noise.norm,
        "unit": data.unit,
        "plan": plan.name,
        "confidence": confidence,
        "label_known": label_known,
        "seed": smoothed.seed,
        "chunk": CHUNK,
        "noise_version": NOISE_VERSION,
        "device": computing_device(smoothed.device.type, executor),
        "precision": smoothed.configuration.precision,
        "sfumato_version": __version__,
        "torch_version": str(torch.__version__),
    }


def _require_one_model(classifier: TrainedClassifier, smoothed: SmoothedClassifier) -> None:
    """Refuse to write down one model for the votes of another."""
    if smoothed.model is not classifier.model:
        raise SettingError(
            f"the smoothed classifier is of another model than {classifier.name}; make it of this "
            "classifier's model"
        )
    if isinstance(classifier.model, nn.Module):
        found = weights_checksum(classifier.model.state_dict())
        if found != classifier.weights_sha256:
            raise ModelError(
                f"{classifier.name}: its weights have changed since it was loaded (checksum {found[:12]}, it "
                f"was {classifier.weights_sha256[:12]}); save the changed model and load that"
            )
