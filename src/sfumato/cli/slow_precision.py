"""A word to those who ask for bfloat16 where it does not pay."""

from __future__ import annotations

from sfumato.cli.terminal import warn

_CLEARLY = 1.5


def warn_if_slow(device: str, *precisions: str) -> None:
    """Warn where one of the precisions is bf16 and the device computes that more slowly than float32."""
    if "bf16" not in precisions:
        return
    from sfumato.devices import bf16_slowdown, choose_device

    slowdown = bf16_slowdown(choose_device(device))
    if slowdown > _CLEARLY:
        warn(
            f"this processor lacks instructions for bfloat16: products take {slowdown:.1f} times as long in "
            "bf16 as in float32"
        )
