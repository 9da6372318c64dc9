"""The training methods by name. A new one is a line here, or a call of ``register_method`` from outside."""

from __future__ import annotations

from sfumato.errors import SettingError
from sfumato.training.methods.base import Method
from sfumato.training.methods.cat_rs import CatRs
from sfumato.training.methods.consistency import Consistency
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.methods.macer import Macer
from sfumato.training.methods.smoothadv import SmoothAdv
from sfumato.training.methods.smoothmix import SmoothMix
from sfumato.training.methods.stability import Stability

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (GaussianAugmentation, Stability, Consistency, SmoothAdv, Macer, SmoothMix, CatRs)
}


def register_method(method: type[Method]) -> type[Method]:
    """Make a method known by its name, to the command line and to study files too; usable as a decorator.

    Raises:
        SettingError: another method has this name, or a field of it is a setting of every training.
    """
    from sfumato.training.settings import TrainingSettings

    if METHODS.setdefault(method.name, method) is not method:
        raise SettingError(f"a training method called {method.name!r} exists; choose another name")
    if taken := sorted(set(method.model_fields) & set(TrainingSettings.model_fields)):
        del METHODS[method.name]
        raise SettingError(f"{method.name}: the field {taken[0]!r} is a setting of every training; rename it")
    return method


def method_names() -> tuple[str, ...]:
    """Return the names of the methods that are known."""
    return tuple(METHODS)


def method_class(name: str) -> type[Method]:
    """Return the method of this name.

    >>> method_class("gaussian").__name__
    'GaussianAugmentation'

    Raises:
        SettingError: an unknown name.
    """
    if name not in METHODS:
        raise SettingError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]
