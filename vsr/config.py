"""The dataclasses that hold every default of the commands; flags and files only override them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal

from vsr.errors import ConfigError

Color = Literal["none", "wavelet", "adain"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Flow = Literal["auto", "dis", "raft"]
Attention = Literal["sdpa", "xformers"]
Deinterlace = Literal["off", "auto", "on"]
Codec = Literal["x264", "x265", "av1", "prores", "ffv1", "png", "gif", "apng"]

NATIVE_SCALE = 4
"""How many times larger the frames of a model folder are."""
NETWORK_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""A model that is one file, a network for images, ends so."""


@dataclass(frozen=True, slots=True)
class UpscaleConfig:
    """Every choice of `vsr upscale`, with its help; None: the model or the source decides."""

    model: Annotated[
        str, "name of an embedded model, a model folder, or a network for images as one file"
    ] = "compact"
    scale: Annotated[
        float | None, "1 to the model's own, which is the default; below it frames are reduced"
    ] = None
    preset: Annotated[
        str | None, "sampling values by name, as upscale-a-video, or a YAML file of them"
    ] = None
    height: Annotated[int | None, "height of the output, in place of --scale"] = None
    steps: Annotated[int | None, "denoising steps; default: the model's own"] = None
    noise_level: Annotated[int | None, "noise on the small frames: more invents more detail"] = None
    guidance_scale: Annotated[float | None, "how strongly the prompt steers; 1: not at all"] = None
    prompt: Annotated[str | None, "what is to be seen (models with text)"] = None
    negative_prompt: Annotated[str | None, "what is not to be seen (models with text)"] = None
    propagation_steps: Annotated[
        str | int | list[int] | None,
        "steps after which latents are carried along the flow, as 0,2; or none",
    ] = None
    seed: Annotated[int, "the same seed makes the same noise"] = 0
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps"] = "auto"
    dtype: Annotated[Dtype, "number format of the networks; auto: a fast one"] = "auto"
    attention: Annotated[Attention, "who computes attention; xformers needs its extra"] = "sdpa"
    flow: Annotated[Flow, "optical flow; auto: RAFT where its weights are, else DIS"] = "auto"
    flow_weights: Annotated[str | None, "file with the weights of RAFT"] = None
    segment_length: Annotated[int | None, "frames that the network sees together"] = None
    max_clip_frames: Annotated[
        int | None, "frames in memory at once; default: 16, fewer where frames are large"
    ] = None
    tile: Annotated[int | None, "size of the spatial tiles, in pixels of the source"] = None
    color: Annotated[Color | None, "how colours are matched to the source"] = None
    codec: Annotated[Codec | None, "x264 by default; png: a folder of images; gif, apng"] = None
    crf: Annotated[int | None, "quality of x264, x265 and av1: lower is better and larger"] = None
    lossless: Annotated[bool, "FFV1 in RGB"] = False
    deinterlace: Annotated[
        Deinterlace, "make fields whole; auto: where the first frames show them"
    ] = "auto"
    start: Annotated[float, "seconds of the source to skip"] = 0.0
    duration: Annotated[float | None, "seconds of the source to upscale"] = None
    overwrite: Annotated[bool, "replace an output that exists"] = False
    restart: Annotated[bool, "begin anew instead of going on with what is finished"] = False
    share: Annotated[bool, "make one output together with other processes with --share"] = False
    tolerant: Annotated[bool, "a damaged source is no error: what decodes is the result"] = False

    def __post_init__(self) -> None:
        """Check the ranges that hold for every source and model."""
        _in_range("scale", self.scale, 1)
        _in_range("height", self.height, 2)
        _in_range("steps", self.steps, 1, 1000)
        _in_range("noise_level", self.noise_level, 0, 1000)
        _in_range("guidance_scale", self.guidance_scale, 0)
        _in_range("seed", self.seed, 0, 2**63 - 1)
        _in_range("segment_length", self.segment_length, 1)
        _in_range("max_clip_frames", self.max_clip_frames, 1)
        _in_range("tile", self.tile, 16)
        _in_range("crf", self.crf, 0, 63)
        _in_range("start", self.start, 0)
        _in_range("duration", self.duration, 0)
        if self.duration == 0:
            raise ConfigError("duration is 0 seconds; leave it out for everything to the end")
        if self.height is not None and self.scale is not None:
            raise ConfigError(
                f"height = {self.height} and scale = {self.scale:g}: give one of them"
            )
        if self.lossless and self.codec not in (None, "ffv1"):
            raise ConfigError(
                f"lossless means ffv1, but codec = {self.codec}: give one of lossless and codec"
            )
        _parse_steps(self.propagation_steps)

    @property
    def propagation(self) -> tuple[int, ...] | None:
        """The steps after which latents are propagated; None: the model's own choice."""
        return _parse_steps(self.propagation_steps)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return "; did you mean X?" with the name of `known` that is closest, or an empty string."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _in_range(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        allowed = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise ConfigError(f"{name} = {value} is out of range; it can be {allowed}")


def _parse_steps(value: str | int | Sequence[int] | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        parts = [] if value.strip() == "none" else value.split(",")
    else:
        parts = [value] if isinstance(value, int) else list(value)
    try:
        steps = tuple(int(part) for part in parts)
    except ValueError:
        steps = (-1,)
    if any(step < 0 for step in steps):
        raise ConfigError(
            f"propagation_steps = {value} is not known; it can be none, or step numbers from 0 "
            "as 0,2,4"
        )
    return steps
