"""An attack on a data set, kept in a JSON file after every batch, so that a killed run goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError

from sfumato.attacks.smoothed_attack import Attack, AttackedImage
from sfumato.datasets import Dataset
from sfumato.errors import DataError, OutputError
from sfumato.files import locked, write_text
from sfumato.models.classifier import Classifier
from sfumato.noise import NOISE_VERSION, Noise
from sfumato.settings import Settings, explained
from sfumato.user_code import failure_line

_BATCH = 16


class _Row(Settings):
    idx: int = Field(ge=0)
    label: int = Field(ge=0)
    prediction: int = Field(ge=-1)
    distance: float | None = Field(ge=0, description="None: no wrong answer was found")


class _File(Settings):
    settings: dict[str, Any]
    images: list[_Row]


def attack_to_file(
    attack: Attack,
    classifier: Classifier,
    data: Dataset,
    examples: Sequence[int],
    noise: Noise,
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    on_images: Callable[[int], None] = lambda images: None,
) -> list[AttackedImage]:
    """Attack these test images, write what is found to ``output`` and return it.

    Images that the file holds already are not attacked again. ``on_images`` is told how many more are done.

    Raises:
        OutputError: the file is of another attack, is another run's, or cannot be written.
        ModelError, DataError: as ``Attack.run``.
    """
    settings = json.loads(json.dumps(_settings(attack, classifier, data, noise, seed)))
    with locked(output):
        found: dict[int, AttackedImage] = {}
        if output.exists():
            before, rows = read_attack(output)
            if changed := [name for name, value in settings.items() if before.get(name) != value]:
                name = changed[0]
                raise OutputError(
                    f"{output}: is of another attack, with {name} {before.get(name)} and not "
                    f"{settings[name]}; choose another output"
                )
            found = {row.idx: row for row in rows}
        left = [example for example in examples if example not in found]
        on_images(len(examples) - len(left))
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            images = torch.from_numpy(data.test.x[batch])
            rows = attack.run(
                classifier,
                images,
                data.test.y[batch].tolist(),
                noise,
                examples=batch,
                seed=seed,
                device=device,
                on_images=on_images,
            )
            found |= {row.idx: row for row in rows}
            kept = [asdict(found[idx]) for idx in sorted(found)]
            for row in kept:
                row["distance"] = None if math.isinf(row["distance"]) else row["distance"]
            write_text(output, json.dumps({"settings": settings, "images": kept}, indent=1) + "\n")
    return [found[example] for example in examples]


def read_attack(path: Path) -> tuple[dict[str, Any], list[AttackedImage]]:
    """Return the settings of an attack and what it found.

    Raises:
        DataError: a file that cannot be read or holds something else.
    """
    try:
        found = _File.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise DataError(f"{path}: no result of sfumato attack ({explained(error, _File)})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({failure_line(error)})") from error
    rows = [
        AttackedImage(row.idx, row.label, row.prediction, math.inf if row.distance is None else row.distance)
        for row in found.images
    ]
    return found.settings, rows


def _settings(
    attack: Attack, classifier: Classifier, data: Dataset, noise: Noise, seed: int
) -> dict[str, Any]:
    """Return all that determines what is found for an image."""
    return {
        "model": classifier.name if classifier.weights_sha256 is None else classifier.weights_sha256,
        "fingerprint": classifier.fingerprint,
        "data": data.name,
        "data_sha256": data.checksum(),
        "unit": data.unit,
        **noise.identity(),
        **asdict(attack),
        "seed": seed,
        "noise_version": NOISE_VERSION,
    }
