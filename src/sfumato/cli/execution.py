"""Opening the executor that the options of a command name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.cli.terminal import note

if TYPE_CHECKING:
    from sfumato.execution.base import Executor


def chosen_executor(
    kind: str, workers: int | None, gpus_per_worker: float | None, ray_address: str | None, device: str
) -> Executor:
    """Return the executor; every worker must have this process's versions of Sfumato and PyTorch.

    Raises:
        SettingError: options that do not go together, a cluster that cannot be reached, too few GPUs.
    """
    import torch

    from sfumato.execution.choose import open_executor
    from sfumato.version import __version__

    executor = open_executor(
        kind,
        workers=workers,
        gpus_per_worker=gpus_per_worker,
        ray_address=ray_address,
        device=device,
        versions={"sfumato": __version__, "torch": str(torch.__version__)},
    )
    if not executor.in_process:
        note(str(executor))
    return executor
