"""Choosing a device, once, at the edge."""

from __future__ import annotations

import functools
import hashlib
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from sfumato.errors import OutputError, SettingError
from sfumato.files import cache_folder, write_text

_WORTHWHILE = 0.6
_CLEARLY_SLOWER = 1.5
_TOLD: set[torch.device] = set()  # that bf16 is slow on them


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` takes CUDA where there is one, else the CPU.

    >>> choose_device("cpu")
    device(type='cpu')

    Raises:
        SettingError: an unknown device, or one that does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingError(f"device {name!r} is not known; accepted are auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f"device {name!r} is not supported; accepted are auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"device {name!r} does not exist; this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return device


def device_name(device: torch.device) -> str:
    """Return the device's name for records, e.g. ``cpu (x86_64)``."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()})"


def bf16_slowdown(device: torch.device) -> float:
    """Return roughly how many times longer a matrix product takes in bfloat16 than in float32.

    It is below 1 where the processor has instructions for it, and above 1 where it emulates them.
    """
    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(256, 512, dtype=dtype, device=device)
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            (x @ x.T).sum().item()  # what a GPU has not finished is waited for
            seconds.append(time.perf_counter() - began)
        best[dtype] = min(seconds)
    return best[torch.bfloat16] / best[torch.float32]


def slow_bf16(device: torch.device, *precisions: str) -> str | None:
    """Return a warning if one of the precisions is bf16 and the device is clearly slower in it.

    It is returned once in a process for each device, and then None.
    """
    if "bf16" not in precisions or device in _TOLD:
        return None
    _TOLD.add(device)
    slowdown = bf16_slowdown(device)
    if slowdown <= _CLEARLY_SLOWER:
        return None
    return (
        f"this processor lacks instructions for bfloat16: products take {slowdown:.1f} times as long in bf16 "
        "as in float32"
    )


def pays_in_bf16(device: torch.device) -> bool:
    """Return whether products in bfloat16 take at most 0.6 of their time in float32 on this machine.

    Measured once and kept in the user's cache folder, so that the answer stays the same: the trained weights
    depend on it.
    """
    machine = (platform.node(), device_name(device), str(torch.__version__))
    name = hashlib.sha256(repr(machine).encode()).hexdigest()
    return _kept_slowdown(cache_folder("precision") / name, device) <= _WORTHWHILE


@functools.cache
def _kept_slowdown(path: Path, device: torch.device) -> float:
    with suppress(OSError, ValueError):
        return float(path.read_text(encoding="utf-8"))
    slowdown = bf16_slowdown(device)
    with suppress(OutputError):  # then this process alone remembers it
        write_text(path, repr(slowdown))
    return slowdown


def peak_memory() -> int | None:
    """Return the most bytes of memory that this process has held; None where the system does not say.

    Linux says it of the process; ``resource`` would say it of the process that started it, too.
    """
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return None


def peak_gpu_memory(device: torch.device) -> int | None:
    """Return the most bytes that PyTorch has reserved on a GPU in this process; None on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


@contextmanager
def arithmetic_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch compute with ``count`` threads inside the block; None leaves them as they are.

    The number changes the order of sums, and so the last bits of weights trained on a CPU.
    """
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
