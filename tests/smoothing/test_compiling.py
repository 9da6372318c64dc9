"""Many networks are compiled in one process, and giving up is never silent."""

import pytest
import torch
from torch import nn

from sfumato.smoothing.compiling import compiled_network


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)).eval()


@pytest.fixture
def graphs(monkeypatch):
    """Count what is compiled; the compiler itself is not needed, and takes seconds each time."""
    found = []

    def backend(graph, _):
        found.append(graph)
        return graph.forward

    compile_with = torch.compile

    def plain(function, *, dynamic, options):
        return compile_with(function, dynamic=dynamic, backend=backend)

    monkeypatch.setattr(torch, "compile", plain)
    return found


@torch.inference_mode()
def test_networks_of_one_structure_share_what_was_compiled_and_keep_their_weights(graphs):
    x = torch.rand(5, 4)
    for _ in range(3):
        model = network(7)
        assert torch.equal(compiled_network(model, x)(x), model(x))
    assert len(graphs) == 1


@torch.inference_mode()
def test_more_structures_than_pytorch_keeps_variants_of_one_function_are_all_compiled(graphs):
    x = torch.rand(5, 4)
    count = torch._dynamo.config.recompile_limit + 3
    for width in range(10, 10 + count):
        model = network(width)
        assert torch.equal(compiled_network(model, x)(x), model(x))
    for size in range(6, 6 + count):
        compiled_network(network(9), torch.rand(size, 4))
    assert len(graphs) == 2 * count


@torch.inference_mode()
def test_where_pytorch_would_give_up_in_silence_it_is_an_error(graphs):
    class Keyed(nn.Module):
        """Looks the same in every variant, and is compiled anew for each."""

        def __init__(self, key):
            super().__init__()
            self.key = key

        def forward(self, x):
            return x * self.key

    x = torch.rand(5, 4)
    for key in range(torch._dynamo.config.recompile_limit):
        compiled_network(Keyed(0.5 + key), x)
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        compiled_network(Keyed(0.25), x)
