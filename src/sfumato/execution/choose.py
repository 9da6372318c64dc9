"""Opening the executor that a user named."""

from __future__ import annotations

from collections.abc import Mapping

from sfumato.errors import SettingError, require_count, require_positive
from sfumato.execution.base import Executor
from sfumato.execution.local import InProcess, Processes

KINDS = ("local", "ray")


def open_executor(
    kind: str = "local",
    *,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    ray_address: str | None = None,
    device: str = "auto",
    versions: Mapping[str, str] | None = None,
) -> Executor:
    """Return an executor, to be closed after use.

    ``local`` without ``workers`` runs everything in this process. ``device`` is ``cpu`` where GPUs are not
    to be used; which GPU a worker gets is for the executor to say. ``versions`` of packages must be the
    same on all machines.

    >>> open_executor()
    InProcess()

    Raises:
        SettingError: options that do not go together, a cluster that cannot be reached, too few GPUs.
    """
    if kind not in KINDS:
        raise SettingError(f"executor must be one of {', '.join(KINDS)}, got {kind!r}")
    if workers is not None:
        require_count("workers", workers)
    if gpus_per_worker is not None and gpus_per_worker != 0:
        require_positive("gpus-per-worker", gpus_per_worker)
        if device == "cpu":
            raise SettingError(f"gpus-per-worker {gpus_per_worker:g} and device cpu contradict each other")
    if kind == "local" and ray_address is not None:
        raise SettingError(f"ray-address {ray_address} is for the executor ray; add --executor ray")
    if kind == "local" and workers is None:
        if gpus_per_worker is not None:
            raise SettingError("gpus-per-worker needs workers; add --workers N")
        return InProcess()
    if device not in ("auto", "cpu", "cuda"):
        raise SettingError(f"device must be auto, cpu or cuda where workers get their GPUs, got {device!r}")
    executor: Executor
    if kind == "ray":
        from sfumato.execution.ray import RayExecutor

        use_gpus = device != "cpu"
        executor = RayExecutor(
            ray_address,
            workers=workers,
            gpus_per_worker=gpus_per_worker,
            use_gpus=use_gpus,
            versions=versions,
        )
    else:
        assert workers is not None
        gpus = 0
        if device != "cpu":
            import torch

            gpus = torch.cuda.device_count()
        share = min(1.0, gpus / workers) if gpus_per_worker is None else gpus_per_worker
        executor = Processes(workers, gpus_per_worker=share, gpus=gpus)
    if device == "cuda" and not executor.gpus_per_worker:
        executor.close()
        raise SettingError("device cuda: there is no GPU; use device cpu")
    return executor
