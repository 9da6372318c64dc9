"""For models whose answers do not show by themselves which part of them are the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError, require_count
from sfumato.models.classifier import Classifier
from sfumato.models.outputs import one_hot

Model = Callable[[torch.Tensor], Any]


def take_output(model: Model | Classifier, output: int | str) -> Classifier:
    """Return the classifier whose logits are one part of what the model answers.

    ``output`` is a place in a tuple, a key of a dictionary, or an attribute.

    >>> classifier = take_output(lambda x: {"features": x, "scores": x @ torch.ones(3, 2)}, "scores")
    >>> classifier.model(torch.ones(1, 3))
    tensor([[3., 3.]])

    Raises:
        ModelError: what cannot be called; in all calls, an answer without this part.
    """
    return _followed_by(partial(_part, output=output), model)


def from_labels(model: Model | Classifier, classes: int) -> Classifier:
    """Return the classifier of a model that answers with one label, from 0 to ``classes`` - 1, per input.

    >>> from_labels(lambda x: (x[:, 0] > 0).long(), classes=2).model(torch.tensor([[0.5], [-0.5]]))
    tensor([[0., 1.],
            [1., 0.]])

    Raises:
        SettingError: fewer than 2 classes.
        ModelError: what cannot be called; in all calls, an answer that is no such vector.
    """
    return _followed_by(partial(_labels, classes=require_count("classes", classes, 2)), model)


class Followed(nn.Module):
    """A module whose answers another function takes on from."""

    def __init__(self, model: nn.Module, then: Callable[[Any], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.then = model, then

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the function makes of the module's answer."""
        return self.then(self.model(x))


class _BlackBox:
    def __init__(self, model: Model, then: Callable[[Any], torch.Tensor]) -> None:
        self._model, self._then = model, then

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._then(self._model(x))


def _followed_by(then: Callable[[Any], torch.Tensor], model: Model | Classifier) -> Classifier:
    inner = Classifier.of(model)
    if isinstance(inner.model, nn.Module):
        module = Followed(inner.model, then)
        return Classifier(
            inner.name,
            module.train(inner.model.training),
            fingerprint=inner.fingerprint,
            augmentations=inner.training_augmentations(),
        )
    return Classifier(inner.name, _BlackBox(inner.model, then), fingerprint=inner.fingerprint)


def _part(answer: Any, output: int | str) -> torch.Tensor:
    try:
        named = isinstance(output, str) and not isinstance(answer, Mapping)
        return torch.as_tensor(getattr(answer, str(output)) if named else answer[output])
    except (LookupError, AttributeError, TypeError) as error:
        kind = type(answer).__name__
        raise ModelError(f"the model's answer, a {kind}, has no part {output!r}") from error


def _labels(answer: Any, classes: int) -> torch.Tensor:
    return one_hot(torch.as_tensor(answer), classes)
