import copy

import pytest
import torch
from torch import nn

from sfumato.smoothing.pooling import SlicedMaxPool2d, slice_max_pools


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (2, 3)])
def test_the_slices_give_the_values_of_pytorchs_own_pooling(dtype, size):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((3, 5, *size), generator=generator).to(dtype).to(memory_format=torch.channels_last)
    x[0, 0, 0, 0], x[1, 1, 1, 1], x[2, 2, 0, 1] = float("nan"), float("inf"), float("-inf")
    torch.testing.assert_close(SlicedMaxPool2d(2)(x), nn.MaxPool2d(2)(x), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(SlicedMaxPool2d(2)(x[1]), nn.MaxPool2d(2)(x[1]))


def test_every_pooling_over_two_by_two_is_replaced_where_it_stands():
    shared = nn.MaxPool2d(2)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), shared), shared, nn.MaxPool2d((2, 2), stride=2)
    ).eval()
    x = torch.randn(2, 1, 34, 34)
    expected = copy.deepcopy(model)(x)
    slice_max_pools(model)
    assert [type(module) for module in model.modules()].count(SlicedMaxPool2d) == 3
    assert torch.equal(model(x), expected)
    assert not any(module.training for module in model.modules())


def test_other_poolings_stay_what_they_are():
    class Own(nn.MaxPool2d):
        pass

    hooked = nn.MaxPool2d(2)
    hooked.register_forward_hook(lambda module, inputs, output: output + 1)
    others = (
        *(nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d(2, stride=1), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2, return_indices=True), Own(2), hooked, nn.AvgPool2d(2)),
    )
    model = nn.ModuleList(others)
    slice_max_pools(model)
    assert [type(module) for module in model] == [type(module) for module in others]
    assert not any(isinstance(module, SlicedMaxPool2d) for module in model)
