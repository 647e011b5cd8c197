"""Image metrics of pyiqa (extra `eval`), whose weights it downloads at their first use.

pyiqa is under PolyForm Noncommercial and NTU S-Lab licences: not for commercial use.
"""

import contextlib
import sys
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from huggingface_hub.utils import logging as hub_logging
from jaxtyping import Float
from torch import Tensor

from vsr.errors import DependencyError, install_extra
from vsr.evaluation.meters import Figures, Moment, Picture

WITH_TRUTH = ("lpips", "dists")
WITHOUT_TRUTH = ("niqe", "brisque", "musiq", "clipiqa", "maniqa")
NAMES = (*WITH_TRUTH, *WITHOUT_TRUTH)


class ImageQuality:
    """One figure of pyiqa. Raises DependencyError if the package or its weights are missing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._metric = _load(name)

    @torch.inference_mode()
    def __call__(self, moment: Moment) -> Figures:
        """Return the figure of a frame."""
        pictures = [_tensor(moment.output)]
        if self.name in WITH_TRUTH:
            pictures.append(_tensor(moment.reference))
        return {self.name: float(self._metric(*pictures))}


def _load(name: str) -> Any:
    with loaded_by_pyiqa():
        import pyiqa

        return pyiqa.create_metric(name, device=torch.device("cpu"))


@contextlib.contextmanager
def loaded_by_pyiqa() -> Generator[None]:
    """Raise DependencyError for whatever keeps pyiqa from loading a network.

    It imports the packages of a network, and fetches its weights, when the network is made.
    """
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()  # it logs each try to reach the hub
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ImportError as error:
        raise DependencyError(
            f"the package {error.name} is missing: {install_extra('eval')} (not for commercial use)"
        ) from error
    except Exception as error:  # its packages raise every kind, and other figures go on
        reason = " ".join(str(error).split())
        raise DependencyError(
            f"pyiqa could not load its weights ({reason}); run once with a network"
        ) from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _tensor(picture: Picture) -> Float[Tensor, "1 3 h w"]:
    """The picture in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
