"""A word to those who ask for bfloat16 where it does not pay."""

from __future__ import annotations

from sfumato.cli.terminal import warn


def warn_if_slow(device: str, *precisions: str) -> None:
    """Warn where one of the precisions is bf16 and the device computes that more slowly than float32."""
    if "bf16" not in precisions:
        return
    from sfumato.devices import choose_device, slow_bf16

    if line := slow_bf16(choose_device(device), *precisions):
        warn(line)
