"""The one training loop: AdamW with a one-cycle learning rate, seeded, saved after every epoch.

Every epoch draws its order and its noise from streams keyed by (seed, epoch), so that a training
that was killed and started again ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sfumato.datasets import Dataset, Split
from sfumato.devices import choose_device, device_name
from sfumato.errors import ModelError, SfumatoError
from sfumato.files import locked, require_writable
from sfumato.models import ModelRecord, build_model, load_model, save_model
from sfumato.models.checkpoint import read_record
from sfumato.models.registry import is_built_in
from sfumato.noise import Span, Stream, Use
from sfumato.training.augmentation import batches_of
from sfumato.training.finished import finished_model
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import restore_state, save_state, state_path
from sfumato.user_code import told_in_one_line
from sfumato.version import __version__

_EVALUATION_BATCH = 500
_MONITORED = 1000


@dataclass(frozen=True)
class EpochReport:
    """The results of one epoch. Accuracies are on up to 1,000 test images, for information only."""

    epoch: int
    epochs: int
    loss: float
    clean_accuracy: float
    noisy_accuracy: float


def train(
    data: Dataset,
    settings: TrainingSettings,
    output: Path,
    *,
    device: str = "auto",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_warning: Callable[[str], None] = lambda line: None,
    hold: Callable[[Path], AbstractContextManager[None]] = locked,
) -> ModelRecord:
    """Train a base classifier, write it to ``output`` and return its record.

    A finished training with the same settings is not repeated: the record of its model is returned. An
    interrupted one continues after its last whole epoch. If its state is damaged, it starts again and
    ``on_warning`` is called. ``hold`` locks the output against other runs.

    Raises:
        SettingError, ModelError: settings or model that do not fit the data, or the model's code failed.
        OutputError: ``output`` exists and is of other settings, cannot be written, is another run's at this
            moment, or has an unfinished training of other settings.
        SfumatoError: the training diverged.
    """
    require_writable(output)
    if output.exists():
        settled = settings.settled(data, choose_device(device))
        with told_in_one_line(f"the model {settings.architecture} cannot be made", lost=SfumatoError):
            _, mean, std, warm_sha = _starting_model(data, settled)
        return finished_model(output, settled, data, mean, std, warm_sha)
    with hold(output):
        for found in _trained(data, settings, output, choose_device(device), on_warning):
            if isinstance(found, ModelRecord):
                return found
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
    unfinished = state_path(output)
    epochs = settings.epochs_for(len(data.train))
    with told_in_one_line(f"the model {settings.architecture}, in training, failed", lost=SfumatoError):
        model, mean, std, warm_sha = _starting_model(data, settings)
        model.to(device)
        x, y = torch.from_numpy(data.train.x).to(device), torch.from_numpy(data.train.y).to(device)
        lay_out(model, x[:2])
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        identity = settings.identity(data_sha256=data_sha, device=device.type, warm_start=warm_sha)
        done, seconds = restore_state(unfinished, model, optimizer, identity, on_warning)
        _lay_out_moments(optimizer)
        for epoch in range(done, epochs):
            started = time.perf_counter()
            loss = train_epoch(model, optimizer, x, y, settings, epoch, epochs)
            seconds += time.perf_counter() - started
            save_state(unfinished, model, optimizer, identity, epoch + 1, seconds)
            clean, noisy = _accuracies(model, data.test, settings, device, limit=_MONITORED)
            yield EpochReport(epoch + 1, epochs, loss, clean, noisy)
        clean, noisy = _accuracies(model, data.test, settings, device, limit=len(data.test))
        record = ModelRecord(
            architecture=settings.architecture,
            input_shape=data.input_shape,
            num_classes=data.num_classes,
            mean=mean,
            std=std,
            training={
                **settings.replace(mean=mean, std=std).values(),
                "warm_start": warm_sha,
            },
            unit=data.unit,
            data=data.name,
            data_sha256=data_sha,
            class_names=data.class_names,
            clean_accuracy=clean,
            noisy_accuracy=noisy,
            train_seconds=round(seconds, 3),
            device=device_name(device),
            sfumato_version=__version__,
            torch_version=str(torch.__version__),
        )
        saved = save_model(model, record, output)
        unfinished.unlink(missing_ok=True)
        yield saved


def _starting_model(
    data: Dataset, settings: TrainingSettings
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...], str | None]:
    """Return the network to train, its normalisation, and the checksum of what it was warm-started from."""
    if settings.warm_start is None:
        mean, std = settings.mean or data.channel_mean, settings.std or data.channel_std
        shape, classes = data.input_shape, data.num_classes
        model = build_model(settings.architecture, shape, classes, mean, std, seed=settings.seed)
        return model, mean, std, None
    record = read_record(settings.warm_start)
    found = (record.architecture, record.input_shape, record.num_classes)
    wanted = (settings.architecture, data.input_shape, data.num_classes)
    if found != wanted:
        raise ModelError(
            f"{settings.warm_start}: is {found[0]} for input {found[1]} and {found[2]} classes, but the "
            f"model to train is {wanted[0]} for {wanted[1]} and {wanted[2]}"
        )
    named = None if is_built_in(settings.architecture) else settings.architecture
    model, record = load_model(settings.warm_start, factory=named)
    return model, record.mean, record.std, record.weights_sha256


def lay_out(model: nn.Module, x: torch.Tensor) -> None:
    """Give the model the memory format that it trains fastest in; ``x`` are two of its inputs.

    The gradient that comes back to a max pooling gets this format too. From a ``Flatten`` it comes with its
    channels outermost, and the pooling then takes three times as long, a fifth of a step of ``cnn``. No value
    changes.
    """
    layout = fastest_layout(model, x)
    # the call is there for its effect on every module; mypy's stubs lack this form
    model.to(memory_format=layout)  # type: ignore[call-overload]

    def keep_layout(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: gradient.contiguous(memory_format=layout)
            )

    for module in model.modules():
        if isinstance(module, nn.MaxPool2d) and layout == torch.channels_last:
            module.register_forward_hook(keep_layout)


def fastest_layout(model: nn.Module, x: torch.Tensor) -> torch.memory_format:
    """Return the memory format to train in: channels innermost for convolutions, unless the model cannot.

    Measured on CPUs, a step of ``cnn`` and ``resnet20`` takes 0.83 to 0.92 of its time with it. A model of
    the user's own that reshapes with ``view`` refuses it.
    """
    if x.dim() != 4 or not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return torch.contiguous_format
    try:
        trial = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.inference_mode():
            trial(x)
    except Exception:  # a model of the user's own may raise anything, also when it is copied
        return torch.contiguous_format
    return torch.channels_last


def _lay_out_moments(optimizer: torch.optim.Optimizer) -> None:
    """Give restored moments the memory format of their parameters.

    They are stored contiguous, and the fused step on CPUs goes through memory without a look at strides.
    """
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    settings: TrainingSettings,
    epoch: int,
    epochs: int,
) -> float:
    """Run one epoch and return its mean loss.

    Raises:
        SfumatoError: the loss is not finite.
    """
    model.train()
    order = Stream(Use.SHUFFLING, settings.seed, Span(epoch)).permutation(len(x))
    noise, method = settings.noise_in(epoch, epochs), settings.method.at_epoch(epoch)
    stream = Stream(Use.TRAINING_NOISE, settings.seed, Span(epoch))
    batches = torch.split(order, settings.batch_size)
    take = batches_of(x, settings.augmentation or "none", settings.seed, epoch)
    total = torch.zeros((), device=x.device)
    for step, batch in enumerate(batches, epoch * len(batches)):
        _set_one_cycle(optimizer, settings.learning_rate, step, epochs * len(batches))
        rows = batch.to(x.device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
            loss = method.loss(model, take(rows), y[rows], noise, stream)
        torch.autograd.backward(loss)
        optimizer.step()
        total += loss.detach()
    mean = float(total) / len(batches)
    if not math.isfinite(mean):
        raise SfumatoError(
            f"the training of {settings.architecture} with alpha {settings.alpha:g} diverged: its loss is "
            f"{mean} in epoch {epoch + 1} of {epochs}; a learning rate below {settings.learning_rate:g} may "
            "help"
        )
    return mean


def _set_one_cycle(optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int) -> None:
    """Set the learning rate of one step: linear rise over the first 30 %, then cosine to zero.

    A function of the step alone, so that a resumed training needs no schedule state.
    """
    position = (step + 1) / steps
    rise = 0.3
    if position < rise:
        rate = peak * (0.04 + 0.96 * position / rise)
    else:
        rate = peak * 0.5 * (1 + math.cos(math.pi * (position - rise) / (1 - rise)))
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.inference_mode()
def _accuracies(
    model: nn.Module, split: Split, settings: TrainingSettings, device: torch.device, limit: int
) -> tuple[float, float]:
    """Return the accuracy without noise, and with one draw of alpha per image."""
    model.eval()
    noise = settings.distribution()
    stream = Stream(Use.EVALUATION, settings.seed, Span(0))
    hits = [0, 0]
    count = min(limit, len(split))
    for start in range(0, count, _EVALUATION_BATCH):
        stop = min(start + _EVALUATION_BATCH, count)
        x = torch.from_numpy(split.x[start:stop]).to(device)
        y = torch.from_numpy(split.y[start:stop]).to(device)
        for kind, inputs in enumerate((x, noise.add(x, stream))):
            hits[kind] += int((model(inputs).argmax(dim=1) == y).sum())
    return hits[0] / count, hits[1] / count
