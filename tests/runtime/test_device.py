"""Devices and number formats are decided in one place."""

import pytest
import torch

from vsr.errors import DeviceError
from vsr.runtime.device import choose_device, choose_dtype

CPU = torch.device("cpu")


def test_a_device_that_is_there_is_taken() -> None:
    assert choose_device("cpu") == CPU


def test_auto_takes_an_accelerator_where_there_is_one() -> None:
    assert (choose_device("auto").type == "cuda") == torch.cuda.is_available()


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:x", "meta", ""])
def test_a_device_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(DeviceError, match="auto"):
        choose_device(name)


def test_a_named_format_is_taken() -> None:
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16
    assert choose_dtype("float16", torch.device("cuda")) == torch.float16


def test_float16_on_a_cpu_is_refused_for_its_slowness() -> None:
    with pytest.raises(DeviceError, match=r"ten times as slow .* use bfloat16"):
        choose_dtype("float16", CPU)


def test_auto_is_a_format_that_the_processor_computes_in() -> None:
    native = torch.cpu._is_avx512_bf16_supported()
    assert choose_dtype("auto", CPU) == (torch.bfloat16 if native else torch.float32)
