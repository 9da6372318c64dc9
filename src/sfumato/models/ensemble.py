"""Several networks as one base classifier (Horvath et al. 2022): the mean of their logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.models.classifier import Classifier, augmentations_of

_MANY = 3  # whose names would fill a line of a table


class MeanLogits(nn.Module):
    """The mean of the logits of its members."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean logits: (batch, classes)."""
        return torch.stack([member(x) for member in self.members]).mean(0)


def ensemble(models: Sequence[nn.Module | Classifier]) -> Classifier:
    """Return the classifier whose logits are the mean of the models'; it is certified as one network.

    Averaging over networks trained with other seeds lowers the variance of the logits under noise, and with
    it the votes for other classes (Horvath et al. 2022, section 4). A vote costs a pass through each.

    >>> ensemble([nn.Linear(2, 3), nn.Linear(2, 3)]).name
    'mean of Linear and Linear'

    Raises:
        ModelError: no models, a black box, or checkpoints for other inputs or classes.
    """
    members = [Classifier.of(model) for model in models]
    if not members:
        raise ModelError("an ensemble has at least one model, got none")
    modules = []
    for member in members:
        if not isinstance(member.model, nn.Module):
            raise ModelError(f"{member.name}: a member of an ensemble must be a torch.nn.Module")
        modules.append(member.model)
    made_for = {(m.record.input_shape, m.record.num_classes) for m in members if m.record is not None}
    if len(made_for) > 1:
        (shape, classes), (other_shape, other_classes), *_ = sorted(made_for)
        raise ModelError(
            f"members of an ensemble must be for the same inputs and classes, got {shape} with {classes} and "
            f"{other_shape} with {other_classes}"
        )
    names = [member.name for member in members]
    of = " and ".join(names) if len(names) < _MANY else f"{len(names)} networks, the first {names[0]}"
    name = f"mean of {of}"
    inputs = {(member.mean, member.std) for member in members}
    mean, std = inputs.pop() if len(inputs) == 1 else (None, None)
    seen = augmentations_of(members)
    return Classifier(name, MeanLogits(modules).eval(), augmentations=seen, mean=mean, std=std)
