import pytest
import torch

from sfumato import devices
from sfumato.devices import bf16_slowdown, choose_device, pays_in_bf16, peak_gpu_memory, peak_memory
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


def test_whether_bf16_pays_is_measured_once_and_remembered(monkeypatch, tmp_path):
    measured = []

    def slowdown_of(value):
        def measure(device):
            measured.append(value)
            return value

        monkeypatch.setattr("sfumato.devices.bf16_slowdown", measure)
        return pays_in_bf16(torch.device("cpu"))

    for folder, value in (("fast", 0.2), ("close", 0.9), ("slow", 17.0)):
        monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / folder))
        assert slowdown_of(value) == (value < 0.6)
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "fast"))
    assert slowdown_of(17.0)
    devices._kept_slowdown.cache_clear()  # as another process would find it
    assert slowdown_of(17.0)
    assert measured == [0.2, 0.9, 17.0]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "file"))
    assert slowdown_of(0.3)


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", "meta"])
def test_a_device_that_cannot_be_had_is_named(name):
    with pytest.raises(SettingError, match=f"device '{name}' (is not|does not exist)"):
        choose_device(name)


def test_the_peak_of_memory_includes_what_was_held_for_a_moment():
    if peak_memory() is None:
        pytest.skip("this system does not say it")
    block = torch.ones(16 * 2**20)
    with_block = peak_memory()
    del block
    assert with_block >= 64 * 2**20
    # the kernel counts in steps of some pages
    assert peak_memory() >= 0.99 * with_block
    assert peak_gpu_memory(torch.device("cpu")) is None
