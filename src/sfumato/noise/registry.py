"""The noises by the names that the command line and files use; ``register_noise`` adds others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from sfumato.errors import SettingError
from sfumato.noise.anisotropic import AnisotropicGaussian
from sfumato.noise.base import Noise
from sfumato.noise.discretised import DiscretisedGaussian
from sfumato.noise.gaussian import Gaussian
from sfumato.noise.laplace import Laplace
from sfumato.noise.uniform import Uniform

NOISES: dict[str, type[Noise]] = {
    noise.name: noise for noise in (Gaussian, Uniform, Laplace, AnisotropicGaussian, DiscretisedGaussian)
}

Registered = TypeVar("Registered", bound=type[Noise])


def register_noise(noise: Registered) -> Registered:
    """Make a noise known by its name, and return it: also a decorator of its class.

    Raises:
        SettingError: another noise has the name.
    """
    if NOISES.setdefault(noise.name, noise) is not noise:
        raise SettingError(f"a noise named {noise.name!r} is registered already; choose another name")
    return noise


def make_noise(name: str, standard_deviation: float, **own: Any) -> Noise:
    """Return the noise of this name, its standard deviation per coordinate in the unit of the input.

    ``own`` are its further fields, as the scales of ``anisotropic``.

    >>> make_noise("gaussian", 0.5)
    Gaussian(standard_deviation=0.5)

    Raises:
        SettingError: an unknown noise, a standard deviation below 0 or not finite, or a field that it lacks.
    """
    if name not in NOISES:
        raise SettingError(f"noise must be one of {', '.join(NOISES)}, got {name!r}")
    if unknown := set(own) - {field.name for field in fields(NOISES[name])}:
        raise SettingError(f"{name} noise has no {', '.join(sorted(unknown))}; leave it out")
    return NOISES[name](standard_deviation, **own)


def noise_of(settings: Mapping[str, Any]) -> Noise:
    """Return the noise whose ``identity`` is part of these settings of a run; Gaussian where none is named.

    >>> noise_of({"noise": "anisotropic", "beta": 0.5, "scales": [10.0, 0.1], "seed": 3})
    AnisotropicGaussian(standard_deviation=0.5, scales=(10.0, 0.1))

    Raises:
        SettingError: an unknown noise, or no beta that it can have.
    """
    name, beta = str(settings.get("noise", Gaussian.name)), settings.get("beta")
    if isinstance(beta, bool) or not isinstance(beta, int | float):
        raise SettingError(f"beta must be a number, got {beta!r}")
    own = {field.name for field in fields(NOISES[name])} if name in NOISES else set()
    given = {key: settings[key] for key in own & set(settings)}
    try:
        return make_noise(name, float(beta), **given)
    except TypeError as error:
        raise SettingError(f"{name} noise cannot have {str(given)[:80]}") from error
