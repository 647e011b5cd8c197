"""A module is on a device for a while, and then has the memory that it had."""

import pytest
import torch

from vsr.models.placement import on_device


def test_weights_are_their_own_again_after_the_context_and_after_an_error():
    layer = torch.nn.Linear(3, 2)
    weight = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="stop"), on_device(layer, torch.device("cpu")):
        layer.weight.data = torch.zeros(2, 3)  # as a copy on another device is
        raise ValueError("stop")
    assert torch.equal(layer.weight, weight)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_weights_are_on_the_gpu_inside_and_not_copied_back():
    layer = torch.nn.Linear(3, 2)
    place = layer.weight.data_ptr()
    with on_device(layer, torch.device("cuda")):
        assert layer.weight.is_cuda
    assert layer.weight.data_ptr() == place
