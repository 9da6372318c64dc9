"""Certifying a data set into a file, one row as it is found, resumable after a kill.

Beside ``NAME.tsv`` stands ``NAME.tsv.json``, the run's settings. A run is continued only if they are
the same to the letter; rows of different runs never share a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfumato
from sfumato.datasets import Dataset
from sfumato.errors import OutputError, SettingError, require_open_unit
from sfumato.files import require_writable, write_text
from sfumato.models.classifier import TrainedClassifier
from sfumato.smoothing.certificate import HEADER, OURS, Certificate, parse_row
from sfumato.smoothing.certify_images import certify_images
from sfumato.smoothing.smoothed import DEFAULT_CONFIDENCE, SmoothedClassifier
from sfumato.smoothing.voting import CHUNK
from sfumato.statistics.plans import Plan


def settings_path(output: Path) -> Path:
    """Return where the settings of the run that writes ``output`` are kept."""
    return output.with_name(f"{output.name}.json")


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
) -> list[Certificate]:
    """Certify the test examples with these indices into ``output``; return all rows of the file.

    With probability at least ``confidence`` over the noise, for each row that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius. Rows that an
    interrupted run of the same settings has written are kept and not computed again.
    With ``label_known`` plans that can do so test the true label only, at fewer votes; a row then
    predicts the label or nothing. ``on_certificate`` is called for every row, kept ones first.

    Raises:
        OutputError: ``output`` is another run's, or cannot be written.
    """
    require_open_unit("confidence", confidence)
    if not examples:
        raise SettingError("no examples to certify; at least 1 is needed")
    settings = _settings(classifier, data, examples, smoothed, plan, confidence, label_known)
    require_writable(output)
    smoothed.check(data.test.x[examples[0] : examples[0] + 1])
    # what the plan refuses, it refuses before anything is written
    labels = np.array([data.test.y[examples[0]]]) if label_known else None
    plan.start(1, data.num_classes, beta=smoothed.beta, confidence=confidence, labels=labels)
    rows = _resume(output, settings, examples)
    for row in rows:
        on_certificate(row)
    try:
        with output.open("a", encoding="utf-8") as table:
            left = list(examples)[len(rows) :]
            groups = certify_images(
                smoothed,
                plan,
                data.test.x[left],
                left,
                data.test.y[left],
                confidence=confidence,
                label_known=label_known,
            )
            for found in groups:
                table.writelines(row.row() + "\n" for row in found)
                table.flush()
                for row in found:
                    rows.append(row)
                    on_certificate(row)
            os.fsync(table.fileno())
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from error
    return rows


def _settings(
    classifier: TrainedClassifier,
    data: Dataset,
    examples: Sequence[int],
    smoothed: SmoothedClassifier,
    plan: Plan,
    confidence: float,
    label_known: bool,
) -> dict[str, Any]:
    """Return all that determines the rows, and what a reader needs to know about them."""
    return {
        "format": 2,
        "model": classifier.name,
        "weights_sha256": classifier.weights_sha256,
        "alpha": classifier.record.alpha if classifier.record else None,
        "data": data.name,
        "data_sha256": data.checksum(),
        "examples": {"count": len(examples), "first": examples[0], "last": examples[-1]},
        "beta": smoothed.beta,
        "unit": data.unit,
        "plan": plan.name,
        "confidence": confidence,
        "label_known": label_known,
        "seed": smoothed.seed,
        "chunk": CHUNK,
        "device": smoothed.device.type,
        "precision": smoothed.configuration.precision,
        "sfumato_version": sfumato.__version__,
        "torch_version": str(torch.__version__),
    }


_DESCRIPTIVE = ("model", "data")  # names; what they name is compared by checksum


def _resume(output: Path, settings: dict[str, Any], examples: Sequence[int]) -> list[Certificate]:
    """Return the finished rows of an interrupted run, or start a new file.

    A last line without its end was being written when the run was killed; it is cut off.
    """
    record = settings_path(output)
    if output.exists() and not record.exists():
        raise OutputError(f"{output}: exists and is not a run of these settings; choose another output")
    if record.exists():
        _require_same_run(record, settings)
    else:
        write_text(record, json.dumps(settings, indent=2) + "\n")
    header = "\t".join(HEADER + OURS) + "\n"
    content = output.read_bytes() if output.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        write_text(output, header)
        return []
    lines = whole.decode("utf-8").splitlines()
    if lines[0] + "\n" != header:
        raise OutputError(
            f"{output}: its first line is not the header {' '.join(HEADER + OURS)}; choose another output"
        )
    rows = [parse_row(line, f"{output}:{number}", ours=True) for number, line in enumerate(lines[1:], 2)]
    if [row.idx for row in rows] != list(examples)[: len(rows)]:
        raise OutputError(
            f"{output}: its rows are not the first of this run's examples; choose another output"
        )
    if len(whole) < len(content):
        os.truncate(output, len(whole))
    return rows


def _require_same_run(record: Path, settings: dict[str, Any]) -> None:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{record}: cannot be read ({error}); choose another output") from error
    for name, value in settings.items():
        if name not in _DESCRIPTIVE and found.get(name) != value:
            raise OutputError(
                f"{record.with_suffix('')}: is another run's, with {name} {found.get(name)} and not {value}; "
                "choose another output"
            )
