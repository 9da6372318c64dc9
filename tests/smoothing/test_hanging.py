"""A watch on the calls of a model: what hangs is ended, what is slow, many or stopped is not."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from sfumato import SmoothedClassifier
from sfumato.errors import SettingError
from sfumato.smoothing.hanging import hanging_ends, model_called


class Hung:
    """Remembers whether a watch called it."""

    def __init__(self):
        self.called = threading.Event()

    def __call__(self):
        self.called.set()


def test_a_call_that_takes_too_long_is_told_once_and_others_are_not():
    hung = Hung()
    with hanging_ends(0.2, hung):
        for _ in range(40):  # longer than allowed, but no single call is
            with model_called():
                time.sleep(0.01)
        assert not hung.called.is_set()
        with model_called():
            assert hung.called.wait(20.0)


def test_time_between_calls_is_not_counted():
    hung = Hung()
    with hanging_ends(0.1, hung):
        with model_called():
            pass
        time.sleep(0.4)
    assert not hung.called.is_set()
    with model_called():  # and nobody watches any more
        time.sleep(0.2)
    assert not hung.called.is_set()


def test_one_of_several_threads_that_hangs_is_found():
    hung, over = Hung(), threading.Event()

    def work():
        while not over.is_set():
            with model_called():
                time.sleep(0.005)

    others = [threading.Thread(target=work) for _ in range(3)]
    with hanging_ends(0.3, hung):
        for thread in others:
            thread.start()
        with model_called():
            found = hung.called.wait(30.0)
        over.set()
        for thread in others:
            thread.join()
    assert found


@pytest.mark.parametrize("form", ["module", "callable"])
def test_every_way_in_which_a_model_is_asked_is_watched(form):
    """Where any call of the model could not be ended, a hang there would be for ever."""
    depth = []

    class Net(torch.nn.Linear):
        def forward(self, x):
            depth.append(bool(_watched()))
            return super().forward(x)

    net = Net(4, 3)
    model = net if form == "module" else lambda x: net(x)
    with hanging_ends(1000.0, Hung()):
        smoothed = SmoothedClassifier(model, beta=0.5, device="cpu", batch_size=64)
        smoothed.certify(torch.zeros(2, 4), "fixed(20,200)")
        smoothed.outputs(torch.zeros(2, 4))
    assert len(depth) > 10
    assert all(depth)


def _watched():
    from sfumato.smoothing import hanging

    return hanging._watch._waited


def test_seconds_that_are_none_are_refused():
    for seconds in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(SettingError, match="model_timeout must be a positive finite number"):
            hanging_ends(seconds, Hung()).__enter__()


STOPPED = """
import time
from sfumato.smoothing.hanging import hanging_ends, model_called
import os
with hanging_ends(1.0, lambda: os._exit(3)):
    with model_called():
        print("begun", flush=True)
        time.sleep(0.3)
print("answered")
"""


def test_a_process_that_is_stopped_for_longer_does_not_hang():
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "answered\n"
    assert process.returncode == 0
