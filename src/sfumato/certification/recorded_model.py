"""The model of a table, loaded again: the one that was certified, another one, or none, and why.

What cannot be loaded says nothing about the table, so it is no difference. What was certified is compared
by its weights and its fingerprint. A model that the verifier has not named is loaded only from a file: no
code is run and no address is asked because a table says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sfumato.datasets import Dataset
from sfumato.errors import ModelError, SfumatoError
from sfumato.models.checkpoint import OtherWeightsError, has_record, read_record
from sfumato.models.classifier import Classifier
from sfumato.noise import Noise
from sfumato.smoothing.batch_norms import normalize_at, some_images

Numbers = Sequence[float] | None
Load = Callable[[str, Dataset, Numbers, Numbers], Classifier]
"""From the name of a model, the data, and mean and std of its inputs."""

_CHECKSUM = re.compile("[0-9a-f]{64}")
_SERVICE = ("http://", "https://")
_MEAN_OF, _BEHIND = "mean of ", " behind "


class NotAtHandError(SfumatoError):
    """The model that was certified is not here, or is not whole; nothing is known of the table's votes."""


class AnotherModelError(SfumatoError):
    """The model that is here is not the one that was certified."""


def recorded_model(
    settings: dict[str, Any],
    data: Dataset,
    noise: Noise,
    load: Load,
    *,
    named: str | None,
    factory: str | None,
    mean: Numbers = None,
    std: Numbers = None,
    fingerprint: str | None = None,
) -> Classifier:
    """Return the classifier that the settings of a table are about.

    Args:
        settings: of the table.
        data: what was certified.
        noise: of the smoothing.
        load: from the name of the model to the classifier.
        named: the model that the verifier has named, if any.
        factory: the code that the verifier has named, if any.
        mean: of each channel, in place of that of the settings.
        std: as ``mean``.
        fingerprint: what the verifier says that the model is.

    Raises:
        NotAtHandError: it cannot be loaded; the message says what would help.
        AnotherModelError: it is another one.
        KeyError, TypeError, ValueError: settings that no run has.
    """
    name = str(settings.get("model", ""))
    if named is None and not Path(name).is_file():
        raise NotAtHandError(_what_would_help(name))
    if factory is None and named is None and settings.get("factory"):
        raise NotAtHandError(
            f"the network is built by {settings['factory']}; give --network {settings['factory']} to run it"
        )
    mean, std = (mean or settings.get("mean"), std or settings.get("std"))
    how = settings.get("normalization")
    weights = how["source_sha256"] if how else settings.get("weights_sha256")
    try:
        found = load(named or name, data, mean, std)
    except OtherWeightsError as error:
        raise AnotherModelError(str(error)) from error
    except SfumatoError as error:
        if _is_another_checkpoint(named or name, weights, settings):
            raise _other_weights(named or name) from error
        raise NotAtHandError(str(error)) from error
    _require_same_parts(found, name)
    if how and found.normalization is None:
        if found.checksum() != weights:
            raise _without_certainty(found, settings, mean, std)
        found = _normalized(found, how, data, noise, str(settings.get("device", "cpu")))
        if found.checksum() != settings.get("weights_sha256"):
            raise NotAtHandError(
                f"{found.name}: its weights are the same, but its batch norms, estimated again on this "
                "machine, are rounded otherwise"
            )
    elif found.checksum() != settings.get("weights_sha256"):
        raise _without_certainty(found, settings, mean, std)
    _require_same_fingerprint(found, settings.get("fingerprint"), fingerprint)
    return found


def _what_would_help(name: str) -> str:
    """Return why a model is not loaded by its name alone, and the options that name it."""
    inner, behind, denoiser = name.rpartition(_BEHIND)
    models = (inner or name).removeprefix(_MEAN_OF)
    several = (inner or name).startswith(_MEAN_OF)
    if not several and not behind:
        if name.startswith(_SERVICE):
            return f"the service {name} is asked only if it is named here; give --model {name}"
        if ":" in name:
            return f"the code {name} is run only if it is named here; give --model {name}"
        return f"the model {name} is not here; give --model"
    listed = models.split(" and ") if several and " networks, the first " not in models else [models]
    options = " ".join(f"--model {one}" for one in listed)
    if several and " networks, the first " in models:
        options = "--model for each of the networks"
    return f"the model is {name}; give {options}" + (f" --denoiser {denoiser}" if behind else "")


def _require_same_parts(found: Classifier, name: str) -> None:
    """Refuse one model for several, and a model without its denoiser: what is left out is no difference."""
    if any(part in name and part not in found.name for part in (_MEAN_OF, _BEHIND)):
        raise NotAtHandError(_what_would_help(name))


def _is_another_checkpoint(name: str, weights: object, settings: dict[str, Any]) -> bool:
    """Return whether the file is a checkpoint of other weights, even if its network cannot be built here."""
    try:
        recorded = read_record(Path(name)) if Path(name).is_file() and has_record(Path(name)) else None
    except ModelError:
        return False
    # of an ensemble, or behind a denoiser, the checksum is not that of the file
    alone = settings.get("alpha") is not None
    return alone and recorded is not None and recorded.weights_sha256 != weights


def _other_weights(name: str) -> AnotherModelError:
    return AnotherModelError(f"{name}: its weights are others than those that were certified")


def _without_certainty(
    found: Classifier, settings: dict[str, Any], mean: Numbers, std: Numbers
) -> SfumatoError:
    """Return what a checksum that differs means: mean and std in front of a model of one's own count too."""
    of_the_run = "mean" in settings and (settings["mean"], settings["std"]) == (_list(mean), _list(std))
    if found.record is not None or of_the_run:
        return _other_weights(found.name)
    told = "leave out --mean and --std" if "mean" in settings else "give --mean and --std as the run had them"
    return NotAtHandError(
        f"{found.name}: with mean {_list(mean)} and std {_list(std)} in front, its checksum is not that of "
        f"the run; {told}, or the model is another one"
    )


def _list(numbers: Numbers) -> list[float] | None:
    return None if numbers is None else list(numbers)


def _normalized(
    classifier: Classifier, how: dict[str, Any], data: Dataset, noise: Noise, device: str
) -> Classifier:
    """Return the classifier with its batch norms re-estimated as the run has recorded it."""
    images, seed, augmentation = int(how["images"]), int(how["seed"]), how.get("augmentation", "none")
    here = device if device == "cpu" or torch.cuda.is_available() else "cpu"
    try:
        chosen = some_images(data.train.x, images, seed)
        return normalize_at(
            classifier, chosen, noise=noise, seed=seed, device=here, augmentation=augmentation
        )
    except SfumatoError as error:
        raise NotAtHandError(str(error)) from error


def _require_same_fingerprint(found: Classifier, recorded: object, said: str | None) -> None:
    """Compare fingerprints, where both are known.

    Where only the run's owner has given one, it cannot be compared, and the votes drawn again decide.
    """
    here = said or found.fingerprint
    if here is None or recorded is None or here == recorded:
        return
    if said is None and _CHECKSUM.fullmatch(here) and not _CHECKSUM.fullmatch(str(recorded)):
        return  # the run was given a text in place of the file's checksum
    raise AnotherModelError(
        f"{found.name}: its fingerprint is {here!r}, and {recorded!r} was certified; if it was given another "
        f"one for the run, give --fingerprint {recorded}"
    )
