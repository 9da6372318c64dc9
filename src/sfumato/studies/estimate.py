"""How long a study will take, from a few training steps and votes of its network on this machine."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sfumato.devices import choose_device
from sfumato.models.classifier import load_classifier
from sfumato.smoothing.smoothed import Smoothed
from sfumato.studies.design import Design
from sfumato.studies.todo import ToDo, study_data
from sfumato.training.loop import train

_STEPS = 10
_IMAGES = 100
# Images near a decision boundary need more than the least votes; this much more on average, measured
# on digits and MNIST at risks of a few percent.
_VOTES_SHARE = 1.15


def estimate_seconds(design: Design, todo: ToDo, *, device: str = "auto") -> float:
    """Return about how many seconds ``run_study`` needs for ``todo``, without certification.

    The estimate is rough: it briefly times a network after hardly any training.
    """
    votes = design.votes
    data = study_data(design)
    settings = design.model.training(alpha=0.5).replace(epochs=1)
    size = min(len(data.train), _STEPS * settings.batch_size)
    few = replace(
        data,
        train=data.train.part(slice(size)),
        test=data.test.part(slice(_IMAGES)),
    )
    with tempfile.TemporaryDirectory() as folder:
        # the first training pays for what is loaded and compiled on first use
        train(few, settings, Path(folder) / "first.safetensors", device=device)
        record = train(few, settings, Path(folder) / "second.safetensors", device=device)
        network = load_classifier(
            str(Path(folder) / "second.safetensors"),
            data.input_shape,
            data.num_classes,
            factory=settings.architecture,
        ).model
    per_example = record.train_seconds / size
    least = votes.plan().least_votes
    smoothed = Smoothed(network, 0.5, device=str(choose_device(device)), precision=votes.precision)
    x = few.test.x[:]
    smoothed.votes(x, 1)
    began = time.perf_counter()
    smoothed.votes(x, least)
    per_vote = (time.perf_counter() - began) / (least * len(few.test))
    epochs = sum(entry.epochs for entry in todo.models)
    images = sum(count for member, count in todo.images.items() if member.kind == "risk" and member.beta > 0)
    return epochs * len(data.train) * per_example + images * min(votes.n, _VOTES_SHARE * least) * per_vote
