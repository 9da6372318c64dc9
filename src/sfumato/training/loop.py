"""Training a base classifier: from data and settings to a checkpoint with its record."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sfumato.datasets import Dataset, Split, dataset_of
from sfumato.datasets.given import Given
from sfumato.devices import choose_device, device_name, slow_bf16
from sfumato.errors import SfumatoError
from sfumato.files import locked, require_writable
from sfumato.models import ModelRecord, save_model
from sfumato.noise import Span, Stream, Use
from sfumato.progress import shown_progress
from sfumato.training.course import MONITORED, Course, on_device, watched_batches
from sfumato.training.finished import finished_model
from sfumato.training.settings import TrainingSettings
from sfumato.training.start import starting_model
from sfumato.training.state import state_path
from sfumato.user_code import told_in_one_line
from sfumato.version import __version__


@dataclass(frozen=True)
class EpochReport:
    """The results of one epoch. Accuracies are on up to 1,000 test images, for information only."""

    epoch: int
    epochs: int
    loss: float
    clean_accuracy: float
    noisy_accuracy: float

    def __str__(self) -> str:
        """Return it in a few words, to stand behind a progress bar."""
        return (
            f"loss {self.loss:.4f}  accuracy clean {self.clean_accuracy:.3f}, "
            f"at alpha {self.noisy_accuracy:.3f}"
        )


def train(
    data: Dataset | Given,
    settings: TrainingSettings,
    output: Path | str,
    *,
    device: str = "auto",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_warning: Callable[[str], None] = warnings.warn,
    hold: Callable[[Path], AbstractContextManager[None]] = locked,
    progress: bool | None = None,
) -> ModelRecord:
    """Train a base classifier, write it to ``output`` and return its record.

    ``data`` is whatever ``dataset_of`` takes: a ``Dataset``, arrays, a PyTorch or Hugging Face data set.
    A finished training with the same settings is not repeated: the record of its model is returned. An
    interrupted one continues after its last whole epoch. If its state is damaged, it starts again and
    ``on_warning`` is called; so it is if the settings ask for bf16 and the device is slower in it. Where
    memory does not hold a batch, it is taken in parts, as ``Gradients`` says, and ``on_warning`` is called
    once. ``hold`` locks the output against other runs. ``progress`` draws a progress bar on standard error;
    in notebooks only if not given.

    Raises:
        SettingError, ModelError: settings or model that do not fit the data, or the model's code failed.
        OutputError: ``output`` exists and is of other settings, cannot be written, is another run's at this
            moment, or has an unfinished training of other settings.
        SfumatoError: the training diverged, or memory does not hold a single image; the state of its last
            whole epoch is kept.
    """
    output = Path(output)
    data = dataset_of(data)
    require_writable(output)
    if output.exists():
        settled = settings.settled(data, choose_device(device))
        with told_in_one_line(f"the model {settings.architecture} cannot be made", lost=SfumatoError):
            start = starting_model(data, settled)
        return finished_model(output, settled, data, start.mean, start.std, start.sha256)
    with hold(output), shown_progress(progress, "training", settings.epochs_for(len(data.train))) as bar:
        for found in _trained(data, settings, output, choose_device(device), on_warning):
            if isinstance(found, ModelRecord):
                return found
            bar.advance(found.epoch - bar.done, str(found))
            on_epoch(found)
    raise AssertionError("a training ends with its record")


def _trained(
    data: Dataset,
    settings: TrainingSettings,
    output: Path,
    device: torch.device,
    on_warning: Callable[[str], None],
) -> Iterator[EpochReport | ModelRecord]:
    """Yield what is known after each epoch, and the record once the model is written."""
    settings, data_sha = settings.settled(data, device), data.checksum()
    if line := slow_bf16(device, settings.precision):
        on_warning(line)
    unfinished = state_path(output)
    epochs = settings.epochs_for(len(data.train))
    with told_in_one_line(f"the model {settings.architecture}, in training, failed", lost=SfumatoError):
        start = starting_model(data, settings)
        model = start.model.to(device)
        x, y = on_device(device, data.train.x), torch.from_numpy(data.train.y).to(device)
        identity = settings.identity(data_sha256=data_sha, device=device.type, warm_start=start.sha256)
        course = Course(model, x, y, settings, identity, unfinished, on_warning)

        def accuracies(limit: int) -> tuple[float, float]:
            return _accuracies(model, data.test, settings, device, limit, course.progress.most)

        for epoch, loss in course:
            yield EpochReport(epoch, epochs, loss, *accuracies(MONITORED))
        clean, noisy = accuracies(len(data.test))
        parts = {} if course.progress.most is None else {"images_per_part": course.progress.most}
        record = ModelRecord(
            architecture=settings.architecture,
            input_shape=data.input_shape,
            num_classes=data.num_classes,
            mean=start.mean,
            std=start.std,
            training={
                **settings.replace(mean=start.mean, std=start.std).values(),
                "warm_start": start.sha256,
                **parts,
            },
            unit=data.unit,
            data=data.name,
            data_sha256=data_sha,
            class_names=data.class_names,
            clean_accuracy=clean,
            noisy_accuracy=noisy,
            train_seconds=round(course.progress.seconds, 3),
            device=device_name(device),
            sfumato_version=__version__,
            torch_version=str(torch.__version__),
        )
        saved = save_model(model, record, output)
        unfinished.unlink(missing_ok=True)
        yield saved


@torch.inference_mode()
def _accuracies(
    model: nn.Module,
    split: Split,
    settings: TrainingSettings,
    device: torch.device,
    limit: int,
    most: int | None,
) -> tuple[float, float]:
    """Return the accuracy without noise, and with one draw of alpha per image."""
    model.eval()
    noise = settings.distribution()
    stream = Stream(Use.EVALUATION, settings.seed, Span(0))
    hits = [0, 0]
    count = min(limit, len(split))
    for x, y in watched_batches(split, device, limit, most):
        for kind, inputs in enumerate((x, noise.add(x, stream))):
            hits[kind] += int((model(inputs).argmax(dim=1) == y).sum())
    return hits[0] / count, hits[1] / count
