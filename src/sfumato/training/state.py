"""The state of an unfinished training, saved after every epoch so that a kill costs one epoch at most.

A safetensors file beside the model to be: weights, AdamW moments, and a JSON record of the settings
that must be the same for the training to go on. No pickle is involved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.errors import OutputError
from sfumato.models.checkpoint import read_safetensors, write_safetensors
from sfumato.noise.keyed import require_same_noise

_KEY = "sfumato_training"


def state_path(output: Path) -> Path:
    """Return where the state of the training of ``output`` is kept."""
    return output.with_name(f"{output.name}.unfinished")


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
    epochs_done: int,
    seconds: float,
) -> None:
    """Write the state after ``epochs_done`` epochs."""
    tensors = {f"model/{name}": value.detach().cpu() for name, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer/{index}/{name}"] = value.detach().cpu()
    record = {"settings": settings, "epochs_done": epochs_done, "seconds": seconds}
    write_safetensors(
        {name: value.contiguous() for name, value in tensors.items()}, {_KEY: json.dumps(record)}, path
    )


def restore_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> tuple[int, float]:
    """Load the state into model and optimizer; return (epochs done, seconds spent), (0, 0) if there is none.

    Raises:
        OutputError: the state belongs to a training with other settings.
    """
    if not path.exists():
        return 0, 0.0
    tensors, metadata = read_safetensors(path)
    record = json.loads(metadata.get(_KEY, "{}"))
    # a training begun before there were other noises does not name its own
    found = {"noise": "gaussian", **record.get("settings", {})}
    require_same_noise(found, path)
    wanted = json.loads(json.dumps(settings))
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            raise OutputError(
                f"{path}: belongs to an unfinished training with {name} {found.get(name)}, not "
                f"{wanted.get(name)}; remove it or choose another output"
            )
    model.load_state_dict({k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")})
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return int(record["epochs_done"]), float(record["seconds"])
