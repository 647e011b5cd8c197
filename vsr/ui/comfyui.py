"""Nodes of ComfyUI: load a model, upscale or repair frames, and upscale a video file.

They follow ComfyUI's public description of nodes (docs.comfy.org, "Server overview"): a class names
its inputs, outputs and function, and an IMAGE is a float tensor `b h w c` in [0, 1].
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt16
from torch import Tensor

from vsr.checkpoints.find import embedded_models, own_models
from vsr.checkpoints.load import Pipeline, load
from vsr.config import DEFAULT_MODEL, INTERPOLATIONS, NO_MODEL, Dtype, UpscaleConfig
from vsr.errors import InputError
from vsr.jobs.upscale import upscale
from vsr.option_values import FILM
from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.upscaling.stream import UpscaleStream
from vsr.video.reading.reader import Frame
from vsr.video.reading.shots import CutMarker, ShotDetector

_CATEGORY = "video/vsr"
_MODEL = "VSR_MODEL"
_PIECE = 16
"""Frames that are handed to the networks at once."""
_WHITE = 65535
_REPAIRS = ("STRING", {"default": "", "tooltip": "repairs of old films, as film or dust,scratches"})
_SEED = ("INT", {"default": 0, "min": 0, "max": 2**63 - 1})

Images = Float[Tensor, "b h w c"]
Pixels = UInt16[np.ndarray, "b h w 3"]


@dataclass(slots=True)
class LoadedModel:
    """A model that is loaded when it is first needed, and the sequences that it is in."""

    config: UpscaleConfig
    sequences: dict[str, UpscaleStream] = field(default_factory=dict[str, UpscaleStream])
    _pipe: Pipeline | None = None

    @property
    def pipe(self) -> Pipeline:
        """The loaded pipeline."""
        if self._pipe is None:
            self._pipe = load(self.config.model, device=self.config.device, dtype=self.config.dtype)
        return self._pipe

    def stream(self, config: UpscaleConfig, sequence: str) -> UpscaleStream:
        """Return the stream of a sequence, a new one if it has not begun; "" is always new."""
        if sequence and sequence in self.sequences:
            return self.sequences[sequence]
        stream = UpscaleStream(self.pipe, config)
        if sequence:
            self.sequences[sequence] = stream
        return stream


class LoadModel:
    """Chooses a model, which is loaded at its first use."""

    RETURN_TYPES = (_MODEL,)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Chooses a model of vsr; vsr models lists them with licence and speed."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  (ComfyUI's name)
        """Return the inputs with their types and ranges."""
        names = [DEFAULT_MODEL, *embedded_models(), *own_models(), *INTERPOLATIONS]
        return {
            "required": {
                "name": (list(dict.fromkeys(names)),),
                "device": ("STRING", {"default": "auto"}),
                "dtype": (list(get_args(Dtype)),),
            }
        }

    def load(self, name: str, device: str, dtype: Dtype) -> tuple[LoadedModel]:
        """Return the model."""
        return (LoadedModel(UpscaleConfig(model=name, device=device, dtype=dtype)),)


class UpscaleFrames:
    """Upscales a batch of images as frames of a film, in bounded memory."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "upscale"
    CATEGORY = _CATEGORY
    DESCRIPTION = (
        "Upscales frames, steady from one to the next. Batches with the same sequence are one "
        "film: frames that wait for later ones come out with the next batch; ends gives the rest."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """Return the inputs with their types and ranges."""
        return {
            "required": {
                "model": (_MODEL,),
                "images": ("IMAGE",),
                "scale": ("FLOAT", {"default": 4.0, "min": 1.0, "max": 16.0, "step": 0.05}),
                "seed": _SEED,
            },
            "optional": {
                "repairs": _REPAIRS,
                "sequence": ("STRING", {"default": "", "tooltip": "name of a film in batches"}),
                "ends": ("BOOLEAN", {"default": True, "tooltip": "the last batch of a sequence"}),
            },
        }

    @classmethod
    def IS_CHANGED(cls, sequence: str = "", **_: Any) -> float | str:  # noqa: N802
        """Return a value that differs from the last where the result depends on earlier batches."""
        return float("nan") if sequence else ""

    def upscale(
        self,
        model: LoadedModel,
        images: Images,
        scale: float,
        seed: int,
        repairs: str = "",
        sequence: str = "",
        ends: bool = True,
    ) -> tuple[Float[Tensor, "b2 h2 w2 3"]]:
        """Return the frames that are finished; all of them where the sequence ends."""
        config = UpscaleConfig(scale=scale, seed=seed, restore=repairs.strip() or None)
        stream = model.stream(config, sequence)
        finished = [stream.push(piece) for piece in _pieces(images)]
        if ends or not sequence:
            finished.append(stream.flush())
            model.sequences.pop(sequence, None)
        return (_images([one for one in finished if one.shape[1]]),)


class RepairFrames:
    """Repairs images as frames of an old film, at their own size; no network is needed."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "repair"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Repairs weave, flicker, dust and scratches of old films; the size stays."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """Return the inputs with their types and ranges."""
        kind, about = _REPAIRS
        return {"required": {"images": ("IMAGE",), "repairs": (kind, {**about, "default": FILM})}}

    def repair(self, images: Images, repairs: str) -> tuple[Float[Tensor, "b h w 3"]]:
        """Return the repaired frames, as many as came in."""
        config = UpscaleConfig(model=NO_MODEL, restore=repairs.strip() or FILM)
        restorer = Restorer(RepairPlan.of(config.repairs))
        repaired = [frame.pixels for frame, _ in restorer.frames(_marked(images))]
        return (_images([np.stack(repaired)]),)


class UpscaleFile:
    """Upscales a video file into another, with every stream kept, as `vsr upscale` does."""

    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    FUNCTION = "upscale"
    CATEGORY = _CATEGORY
    OUTPUT_NODE = True
    DESCRIPTION = "Upscales a video file; sound, subtitles and times are kept. It can be resumed."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """Return the inputs with their types and ranges."""
        return {
            "required": {
                "model": (_MODEL,),
                "source": ("STRING", {"default": ""}),
                "output": ("STRING", {"default": "", "tooltip": "empty: beside the source"}),
                "height": ("INT", {"default": 0, "min": 0, "max": 8640, "tooltip": "0: by scale"}),
                "seed": _SEED,
            },
            "optional": {
                "repairs": _REPAIRS,
                "overwrite": ("BOOLEAN", {"default": False}),
            },
        }

    def upscale(
        self,
        model: LoadedModel,
        source: str,
        output: str,
        height: int,
        seed: int,
        repairs: str = "",
        overwrite: bool = False,
    ) -> tuple[str]:
        """Return the path of the film that was made."""
        if not source.strip():
            raise InputError("the node Upscale video file needs the path of a source")
        config = replace(
            model.config,
            height=height or None,
            seed=seed,
            restore=repairs.strip() or None,
            overwrite=overwrite,
        )
        report = upscale(Path(source), Path(output) if output.strip() else None, config)
        return (str(report.output),)


NODE_CLASS_MAPPINGS = {
    "VsrLoadModel": LoadModel,
    "VsrUpscaleFrames": UpscaleFrames,
    "VsrRepairFrames": RepairFrames,
    "VsrUpscaleFile": UpscaleFile,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "VsrLoadModel": "Load vsr model",
    "VsrUpscaleFrames": "Upscale frames (vsr)",
    "VsrRepairFrames": "Repair frames (vsr)",
    "VsrUpscaleFile": "Upscale video file (vsr)",
}


def _pieces(images: Images) -> Iterator[Pixels]:
    """Yield the images a few at a time, with 16 bits a channel."""
    if images.ndim != 4 or images.shape[-1] < 3:
        raise InputError(f"images are {tuple(images.shape)}; give (frames, height, width, 3)")
    for first in range(0, len(images), _PIECE):
        piece = images[first : first + _PIECE, ..., :3].detach().float().cpu()
        yield (piece.clamp(0, 1) * _WHITE).round().numpy().astype(np.uint16)


def _marked(images: Images) -> Iterator[tuple[Frame, bool]]:
    """Yield the images as frames, with the cuts between them."""
    marker = CutMarker(ShotDetector())
    number = 0
    for piece in _pieces(images):
        for pixels in piece:
            yield from marker.push(Frame(pixels, number, Fraction(1)))
            number += 1
    yield from marker.flush()


def _images(parts: Sequence[np.ndarray]) -> Float[Tensor, "b h w 3"]:
    """Return pixels as ComfyUI's images; parts are written into one tensor, one by one."""
    if not parts:
        return torch.zeros(0, 1, 1, 3)
    made = torch.empty(sum(map(len, parts)), *parts[0].shape[1:])
    place = 0
    for part in parts:
        white = 255 if part.dtype == np.uint8 else _WHITE
        made[place : place + len(part)] = torch.from_numpy(part.astype(np.float32) / white)
        place += len(part)
    return made
