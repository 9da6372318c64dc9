import pickle
import threading

import pytest
import torch

from sfumato.errors import ModelError
from sfumato.execution.shipping import require_shippable


class Network(torch.nn.Module):
    def __init__(self, extra=None):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        self.layers[1].extra = extra


class Proud:
    def __getstate__(self):
        raise TypeError("I do not travel")


def test_what_can_be_pickled_is_returned_as_bytes():
    assert require_shippable("the model", {"a": [1, 2]}, pickle.dumps) == pickle.dumps({"a": [1, 2]})


@pytest.mark.parametrize(
    ("extra", "path", "kind"),
    [
        (threading.Lock(), ".layers.1.extra", "lock"),
        ({"hooks": [len, threading.Lock()]}, ".layers.1.extra['hooks'][1]", "lock"),
        (lambda x: x, ".layers.1.extra", "function"),
        (Proud(), ".layers.1.extra", "Proud"),
    ],
)
def test_the_innermost_attribute_that_cannot_be_shipped_is_named(extra, path, kind):
    with pytest.raises(ModelError) as refused:
        require_shippable("the model", Network(extra), pickle.dumps)
    message = str(refused.value)
    assert message.startswith(f"the model cannot be sent to a worker: the model{path} is a {kind} (")
    assert "\n" not in message


def test_a_value_that_holds_itself_ends_the_search():
    loop = {"lock": threading.Lock()}
    loop = {"loop": loop, **loop}
    loop["loop"]["loop"] = loop
    with pytest.raises(ModelError, match="is a lock"):
        require_shippable("it", loop, pickle.dumps)
