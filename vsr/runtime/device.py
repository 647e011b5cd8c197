"""Device and number format of the networks: the one place that decides them."""

from collections.abc import Sequence
from typing import Literal

import torch

from vsr.errors import DeviceError
from vsr.runtime.launcher import local_rank

HalfDtype = Literal["bfloat16", "float16"]


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; auto is the first of CUDA, MPS and the CPU that is there.

    Of several processes on one machine each gets the CUDA device of its number.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank() % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device {name} is not known; it can be auto, cpu, cuda, cuda:N or mps")
    _require(device)
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format called `name`; auto is bfloat16 where the device computes in it.

    Raises DeviceError for float16 on a CPU.
    """
    if name == "float16" and device.type == "cpu":
        raise DeviceError(
            "dtype float16 is ten times as slow as float32 on a CPU: leave it out (auto takes the "
            "fastest that this CPU computes in), or use bfloat16"
        )
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.bfloat16 if _computes_bfloat16(device) else torch.float32


def place_and_format(
    places: Sequence[torch.dtype | torch.device | str], device: torch.device, dtype: torch.dtype
) -> tuple[torch.device, torch.dtype]:
    """Return the device and number format that `places` name, as `to` takes them, or these."""
    for place in places:
        if isinstance(place, torch.dtype):
            dtype = place
        else:
            device = choose_device(str(place))
    return device, dtype


def threads_in_words() -> str:
    """Return the number of threads that PyTorch computes with on a CPU, as in "2 threads"."""
    count = torch.get_num_threads()
    return "1 thread" if count == 1 else f"{count} threads"


def smaller_dtype(device: torch.device) -> HalfDtype | None:
    """Return the number format with half the memory of float32 at no loss of speed, or None."""
    if _computes_bfloat16(device):
        return "bfloat16"
    return None if device.type == "cpu" else "float16"


def _require(device: torch.device) -> None:
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"device {device} is not there: PyTorch sees {count} CUDA devices; "
                "use --device auto or cpu"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps is not there; use --device auto or cpu")


def _computes_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is native: emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]
    return False
