"""Batch norms whose statistics fit the noise: re-estimated under it, or checked against it.

A batch norm in evaluation mode subtracts and divides by what it saw in training: the statistics of inputs
with the training noise. Smoothed with other noise, a network is given inputs that its batch norms do not
normalise (Schneider et al. 2020 treat other corruptions so, arXiv 2006.16971).

Statistics are estimated layer after layer. Those of a layer are the mean and the unbiased variance of its
inputs over all images, each with one draw of the noise, where all layers before it have their new statistics
and everything is in evaluation mode: what the layer will see when votes are counted. Images that fit into one
batch take one forward pass, since a layer is done before the next one is reached; several batches take a part
of a pass for each layer. Sums are float64 and noise is keyed by image, so the size of the batches changes
nothing but the rounding of the network's own arithmetic.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from sfumato.datasets.crop_flip import crop_flip
from sfumato.datasets.on_demand import Examples, OnDemand, pick
from sfumato.devices import choose_device
from sfumato.errors import DataError, ModelError, SettingError, SfumatoError, require_count
from sfumato.models.checkpoint import Normalization, weights_checksum
from sfumato.models.classifier import Classifier
from sfumato.noise import Gaussian, Noise, Span, Stream, Use
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.full_precision import full_precision
from sfumato.smoothing.hanging import model_called
from sfumato.smoothing.private_copy import private_copy
from sfumato.user_code import told_in_one_line

IMAGES = 2000
"""Training images that statistics are estimated from; more change the accuracy by less than noise does."""

LARGEST_GAP = 0.1
"""Statistics with a larger gap (``misfits``) do not fit. Measured on CIFAR-10 (benchmarks/normalization.py):
at most 0.03 at the training noise, and 0.18 at 1.5 times it, which costs 7 points of accuracy."""

CHECKED_IMAGES = 256
"""Images that ``misfits`` looks at."""

_VALUES = 2**27  # of a layer's input in one batch: 512 MiB
_PART = 64  # images at a time in a check, or whose values are float64 at a time
_PART_VALUES = 2**22  # and less than 64 where these are many
BatchNorm = nn.modules.batchnorm._BatchNorm
Augmentation = Literal["none", "crop-flip"]
Images = Float[np.ndarray, "images *shape"] | Float[torch.Tensor, "images *shape"] | OnDemand


def normalize_at(
    model: Network | Classifier,
    images: Images,
    beta: float | None = None,
    *,
    noise: Noise | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    augmentation: Augmentation | None = None,
) -> Classifier:
    """Return a new classifier whose batch norms have the statistics of ``images`` under noise.

    The model is left as it is; one without batch norms is returned itself. No labels are used.

    Args:
        model: a module or a ``Classifier`` of one.
        images: as in training, in the unit of the noise; 2,000 are enough for images (``IMAGES``).
        beta: standard deviation of Gaussian noise; 0 is no noise.
        noise: in place of beta, any noise.
        seed: with an image's place it determines its noise.
        batch_size: images per forward pass, as many as fit into memory if not given.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        augmentation: of the images; that of the training if not given and there is a record of it, and of an
            ensemble or a denoised classifier the one that its parts were trained with. The weights were
            trained with its statistics: without its padding, accuracy is 2 points lower.

    >>> network = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2)).eval()
    >>> found = normalize_at(network, torch.tensor([[1.0], [3.0], [5.0]]), beta=0.0)
    >>> found.model[0].running_mean, found.model[0].running_var
    (tensor([3.]), tensor([4.]))

    Raises:
        ModelError: no module; batch norms that are frozen, shared or without statistics; a module that fails.
        DataError: fewer than two images, or images of another shape than the model is made for.
        SettingError: a beta, seed or batch size out of range, or no augmentation for parts that were trained
            with different ones.
    """
    if (beta is None) == (noise is None):
        raise SettingError(f"give either beta or noise, got beta {beta} and noise {noise}")
    noise = noise or Gaussian(beta or 0.0)
    classifier = Classifier.of(model)
    if not can_be_normalized(classifier):
        return classifier
    network = _module_of(classifier)
    x, chosen = _checked_images(images, classifier), choose_device(device)
    augmentation = augmentation or _the_one_of_training(classifier)
    x = _augmented(x, augmentation, require_count("seed", seed, minimum=0))
    copied, _ = private_copy(network, chosen)
    if not isinstance(copied, nn.Module):
        raise ModelError(f"{classifier.name}: cannot be copied, so its batch norms cannot be re-estimated")
    rows = _Rows(x, noise, seed, chosen)
    if batch_size is None:
        batch_size = _usual_batch(copied, rows, classifier.name)
    _estimate(copied, rows, require_count("batch_size", batch_size), classifier.name)
    copied.to(_stored(next(iter(batch_norms(network).values())))[0].device)
    how = Normalization(
        noise=noise.identity(),
        images=len(x),
        images_sha256=hashlib.sha256(x.numpy().data).hexdigest(),
        augmentation=augmentation,
        seed=seed,
        source_sha256=classifier.checksum(),
    )
    weights = weights_checksum(copied.state_dict())
    record = classifier.record
    if record is not None:
        record = record.model_copy(update={"normalization": how, "weights_sha256": weights})
    return replace(classifier, model=copied, record=record, normalization=how, weights_sha256=weights)


def can_be_normalized(classifier: Classifier) -> bool:
    """Return whether there are batch norms to re-estimate.

    Raises:
        ModelError: no module; batch norms that are frozen, shared or without statistics.
    """
    network = _module_of(classifier)
    _require_estimable(network, classifier.name)
    return bool(batch_norms(network))


def some_images(train: Examples, count: int = IMAGES, seed: int = 0) -> Examples:
    """Return ``count`` of the training images, chosen by the seed; all if there are no more."""
    order = Stream(Use.STATISTICS, seed, Span(0), part=1).permutation(len(train))
    return pick(train, order[:count].numpy())


def misfits(
    model: Network | Classifier, images: Images, noise: Noise, *, seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """Return the batch norms whose stored statistics do not fit the images under this noise, with their gap.

    The gap is a root mean square over channels, and the larger one of two: by how many stored standard
    deviations the mean of the layer's inputs is off, and the logarithm of their standard deviation over the
    stored one. The first 256 images are looked at. Where parts were trained with different augmentations, it
    is the gap with the augmentation that fits best. What is no module has no batch norms.

    Raises:
        ModelError: the module fails.
    """
    classifier, chosen = Classifier.of(model), choose_device(device)
    if not isinstance(classifier.model, nn.Module) or not batch_norms(classifier.model):
        return {}
    network, _ = private_copy(classifier.model, chosen)
    if not isinstance(network, nn.Module):
        return {}
    x = _checked_images(images[:CHECKED_IMAGES], classifier)
    found = [
        _gaps(network, _Rows(_augmented(x, one, seed), noise, seed, chosen), classifier.name)
        for one in _of_training(classifier)
    ]
    best = {name: min(gaps[name] for gaps in found) for name in found[0]}
    return {name: gap for name, gap in best.items() if not gap <= LARGEST_GAP}


def _gaps(network: nn.Module, rows: _Rows, model: str) -> dict[str, float]:
    norms, sums = batch_norms(network), dict[BatchNorm, _Sums]()
    with _watched(norms.values(), lambda norm, x: sums.setdefault(norm, _Sums()).add(x)):
        size = _part_of(rows.x)
        for start in range(0, len(rows.x), size):
            rows.pass_through(network, start, size, model)
    return {name: _gap(norm, sums[norm]) for name, norm in norms.items() if norm in sums}


def told_misfits(name: str, found: Mapping[float, Mapping[str, float]], repair: str) -> str | None:
    """Return a warning of what ``misfits`` found at each beta, None if that is nothing."""
    wrong = {beta: gaps for beta, gaps in found.items() if gaps}
    if not wrong:
        return None
    gaps = max(wrong.values(), key=len)
    shown = ", ".join(sorted(gaps, key=gaps.__getitem__, reverse=True)[:3])
    return (
        f"{name}: at beta = {', '.join(f'{beta:g}' for beta in wrong)} the statistics stored in {len(gaps)} "
        f"batch norms ({shown}{', ...' if len(gaps) > 3 else ''}) are not those of the noisy images, which "
        f"costs accuracy; {repair}"
    )


def batch_norms(network: nn.Module) -> dict[str, BatchNorm]:
    """Return the batch norms with statistics by their names in the network."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, BatchNorm) and module.running_mean is not None
    }


def require_how(normalization: str) -> str:
    """Return ``normalization`` if it is ``trained`` or ``at-beta``.

    Raises:
        SettingError: if it is not.
    """
    if normalization not in ("trained", "at-beta"):
        raise SettingError(f"normalization must be trained or at-beta, got {normalization!r}")
    return normalization


class _Enough(BaseException):
    """Ends a forward pass behind the layer that was to be seen; no user's ``except Exception`` is meant."""


def _part_of(x: torch.Tensor) -> int:
    return min(_PART, max(1, _PART_VALUES // max(1, x[0].numel())))


@dataclass
class _Sums:
    """Sums over all values of each channel, of themselves and of their squares."""

    images: int = 0
    values: int = 0
    first: torch.Tensor | float = 0.0
    second: torch.Tensor | float = 0.0

    def add(self, x: torch.Tensor) -> None:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        size = _part_of(x)
        for start in range(0, len(x), size):
            exact = x[start : start + size].double()
            self.first = self.first + exact.sum(axes)
            self.second = self.second + exact.square().sum(axes)
        self.images += len(x)
        self.values += x.numel() // x.shape[1]

    def mean_and_variance(self) -> tuple[torch.Tensor, torch.Tensor]:
        mean = torch.as_tensor(self.first / self.values)
        squares = torch.as_tensor(self.second - self.values * mean.square())
        return mean, squares.clamp_min(0.0) / max(1, self.values - 1)


@dataclass(frozen=True)
class _Rows:
    """Images, each of which has its own draw of the noise."""

    x: torch.Tensor
    noise: Noise
    seed: int
    device: torch.device

    def pass_through(self, network: nn.Module, start: int, size: int, name: str) -> bool:
        """Return whether the forward pass of these images reached its end."""
        clean = self.x[start : start + size].to(self.device)
        spans = (Span(start + row, 0, 1) for row in range(len(clean)))
        noisy = self.noise.add(clean, Stream(Use.STATISTICS, self.seed, *spans))
        with (
            told_in_one_line(f"{name}: fails on images of shape {tuple(clean.shape[1:])}", lost=SfumatoError),
            full_precision(self.device),
            torch.inference_mode(),
        ):
            try:
                with model_called():
                    network(noisy)
            except _Enough:
                return False
        return True


@contextmanager
def _watched(
    norms: Sequence[BatchNorm] | Any, see: Callable[[BatchNorm, torch.Tensor], None]
) -> Iterator[None]:
    """Let ``see`` know of every input of these layers before it is normalised."""

    def hook(norm: BatchNorm, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(norm, args[0] if args else kwargs["input"])

    handles = [norm.register_forward_pre_hook(hook, with_kwargs=True) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _usual_batch(network: nn.Module, rows: _Rows, name: str) -> int:
    widest = [1]
    with _watched(batch_norms(network).values(), lambda norm, x: widest.append(x[0].numel())):
        rows.pass_through(network, 0, 1, name)
    return max(1, _VALUES // max(widest))


def _estimate(network: nn.Module, rows: _Rows, size: int, model: str) -> None:
    """Give each batch norm the statistics of its inputs, in the order in which they are reached."""
    names = {norm: name for name, norm in batch_norms(network).items()}
    fitted: set[BatchNorm] = set()
    seen: set[BatchNorm] = set()  # in one forward pass
    sums: dict[BatchNorm, _Sums] = {}  # of the one layer that comes next

    def see(norm: BatchNorm, x: torch.Tensor) -> None:
        if norm in seen:
            raise ModelError(
                f"{model}: batch norm {names[norm]!r} is used in more than one place, and one pair of "
                "statistics fits one place; give each place a batch norm of its own"
            )
        seen.add(norm)
        if norm in fitted:
            return
        if not sums or norm in sums:
            found = sums.setdefault(norm, _Sums())
            found.add(x)
            if found.images == len(rows.x):
                _store(norm, found, f"{model}: batch norm {names[norm]!r}")
                fitted.add(norm)
                sums.clear()
                return
        raise _Enough

    finished = False
    with _watched(names, see):
        while not finished:
            before = len(fitted)
            sums.clear()
            for start in range(0, len(rows.x), size):
                seen.clear()
                finished = rows.pass_through(network, start, size, model)
            if not finished and len(fitted) == before:
                raise ModelError(f"{model}: not every image passes through the same batch norms")


def _stored(norm: BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _store(norm: BatchNorm, found: _Sums, name: str) -> None:
    if found.values < 2:
        raise DataError(f"{name}: a variance needs at least two values of each channel; give more images")
    mean, variance = found.mean_and_variance()
    if not (mean.isfinite().all() and variance.isfinite().all()):
        raise ModelError(f"{name}: its inputs are not finite under this noise")
    for stored, new in zip(_stored(norm), (mean, variance), strict=True):
        stored.copy_(new)


def _gap(norm: BatchNorm, found: _Sums) -> float:
    (mean, variance), (stored_mean, stored_variance) = found.mean_and_variance(), _stored(norm)
    scale = stored_variance.double() + norm.eps
    shift = (mean - stored_mean).square() / scale
    ratio = (0.5 * ((variance + norm.eps) / scale).log()).square()
    return math.sqrt(max(float(shift.mean()), float(ratio.mean())))


def _module_of(classifier: Classifier) -> nn.Module:
    model = getattr(classifier.model, "_orig_mod", classifier.model)  # of what is compiled
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{classifier.name}: is a black box, whose batch norms cannot be re-estimated; it takes a "
            "torch.nn.Module, or the statistics it was trained with"
        )
    return model


def _require_estimable(network: nn.Module, model: str) -> None:
    """Refuse layers with statistics that are not a batch norm's own and free."""
    owners: dict[int, str] = {}
    for name, module in network.named_modules():
        if isinstance(module, BatchNorm):
            if module.running_mean is None:
                raise ModelError(
                    f"{model}: batch norm {name!r} keeps no statistics (track_running_stats=False), so that "
                    "its answers depend on the batch; make it with track_running_stats=True"
                )
            other = owners.setdefault(id(module.running_mean), name)
            if other != name:
                raise ModelError(f"{model}: batch norms {other!r} and {name!r} share their statistics")
        elif isinstance(getattr(module, "running_mean", None), torch.Tensor):
            raise ModelError(
                f"{model}: {name!r} is a {type(module).__name__}, whose statistics are fixed or not of a "
                "batch; only batch norms of torch.nn can be re-estimated: use one in its place"
            )


def _checked_images(images: Images, classifier: Classifier) -> torch.Tensor:
    x = torch.as_tensor(images[:] if isinstance(images, OnDemand) else images).detach().cpu()
    if not x.is_floating_point():
        raise DataError(f"images must be floating point numbers in the unit of the noise, got {x.dtype}")
    if x.dim() < 2 or len(x) < 2:
        raise DataError(f"images must be at least two, stacked, got shape {tuple(x.shape)}")
    shape = classifier.record.input_shape if classifier.record else tuple(x.shape[1:])
    if tuple(x.shape[1:]) != shape:
        raise DataError(f"{classifier.name}: is for inputs {shape}, but images have {tuple(x.shape[1:])}")
    return x.float().contiguous()


def _of_training(classifier: Classifier) -> list[Augmentation]:
    """Return the augmentation of the training; several where parts were trained with different ones."""
    known: set[Augmentation] = {
        "crop-flip" if one == "crop-flip" else "none" for one in classifier.training_augmentations()
    }
    return sorted(known) or ["none"]


def _the_one_of_training(classifier: Classifier) -> Augmentation:
    first, *others = _of_training(classifier)
    if others:
        raise SettingError(
            f"{classifier.name}: its parts were trained with the augmentations {first} and {others[0]}, and "
            "one pass of images cannot fit both; re-estimate each part first (sfumato normalize), or give "
            "normalize_at augmentation="
        )
    return first


def _augmented(x: torch.Tensor, augmentation: str, seed: int) -> torch.Tensor:
    if augmentation == "none":
        return x
    if x.dim() != 4:
        raise DataError(f"augmentation {augmentation} needs images, got inputs of shape {tuple(x.shape[1:])}")
    draws = torch.empty(len(x), 3, dtype=torch.float64)
    Stream(Use.STATISTICS, seed, Span(0), part=2).uniform(draws)
    return crop_flip(x, draws).contiguous()
