"""The warning that bfloat16 is slow here."""

import pytest

from sfumato import devices
from sfumato.cli.slow_precision import warn_if_slow


@pytest.mark.parametrize(
    ("slowdown", "precisions", "warned"),
    [
        (4.0, ("float32", "bf16"), True),
        (4.0, ("float32", "float32"), False),
        (1.2, ("bf16",), False),
        (0.5, ("bf16",), False),
    ],
)
def test_it_is_said_where_bf16_is_asked_for_and_slow(monkeypatch, capsys, slowdown, precisions, warned):
    monkeypatch.setattr(devices, "bf16_slowdown", lambda device: slowdown)
    monkeypatch.setattr(devices, "_TOLD", set())
    warn_if_slow("cpu", *precisions)
    printed = capsys.readouterr()
    assert printed.out == ""
    expected = "warning: this processor lacks instructions for bfloat16: products take 4.0 times as long"
    assert printed.err.startswith(expected) if warned else printed.err == ""
    warn_if_slow("cpu", *precisions)
    assert capsys.readouterr().err == "", "once in a process"
