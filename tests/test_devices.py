import pytest
import torch

from sfumato.devices import bf16_slowdown, choose_device
from sfumato.errors import SettingError


def test_the_slowdown_is_the_ratio_of_two_measured_times(monkeypatch):
    """A clock that only products move, by 3 in bfloat16 and 1 in float32."""
    now = 0.0

    def product(x, y):
        nonlocal now
        now += 3.0 if x.dtype == torch.bfloat16 else 1.0
        return x

    monkeypatch.setattr("sfumato.devices.time.perf_counter", lambda: now)
    monkeypatch.setattr(torch.Tensor, "__matmul__", product)
    assert bf16_slowdown(torch.device("cpu")) == 3.0


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", "meta"])
def test_a_device_that_cannot_be_had_is_named(name):
    with pytest.raises(SettingError, match=f"device '{name}' (is not|does not exist)"):
        choose_device(name)
