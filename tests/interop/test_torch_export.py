"""Exported programs: the votes are those of the network, whatever batch it was exported for."""

import numpy as np
import pytest
import torch
from torch import nn

import sfumato as sf
from sfumato.errors import ModelError

X = torch.tensor([[1.0, 0.0], [-1.0, 0.5]])


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3)).eval()


def exported(model, batch=4, **dynamic):
    return torch.export.export(model, (torch.zeros(batch, 2),), **dynamic)


def test_every_kind_of_batch_gives_the_votes_of_the_network(tmp_path):
    expected = sf.SmoothedClassifier(network(), 0.5, device="cpu").votes(X, 200)
    assert (expected.max(axis=1) < 200).any()
    limited = torch.export.Dim("batch", min=3, max=10)
    programs = {
        "fixed": exported(network()),
        "any": exported(network(), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)),
        "limited": exported(network(), dynamic_shapes=({0: limited},)),
    }
    torch.export.save(programs["any"], tmp_path / "net.pt2")
    programs["loaded"] = torch.export.load(tmp_path / "net.pt2")
    for kind, program in programs.items():
        found = sf.SmoothedClassifier(sf.from_exported(program), 0.5, device="cpu").votes(X, 200)
        assert np.array_equal(found, expected), kind


def test_the_fingerprint_is_that_of_graph_and_weights():
    first, again, other = (sf.from_exported(exported(network(seed))).fingerprint for seed in (0, 0, 1))
    assert first == again != other
    wider = nn.Sequential(*list(network())[:-1], nn.ReLU(), network()[-1]).eval()
    assert sf.from_exported(exported(wider)).fingerprint != first


def test_what_is_no_program_for_one_batch_is_refused():
    with pytest.raises(ModelError, match=r"or torch\.export\.load returns, got Sequential"):
        sf.from_exported(network())
    two = torch.export.export(nn.Bilinear(2, 2, 3).eval(), (torch.zeros(4, 2), torch.zeros(4, 2)))
    with pytest.raises(ModelError, match="this one takes 2"):
        sf.from_exported(two)
