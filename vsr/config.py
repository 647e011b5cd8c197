"""The options of an upscaling run: every default is here; flags and files only override them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

from vsr.errors import ConfigError
from vsr.option_values import (
    Flag,
    check_folders,
    check_grain,
    check_one_size,
    check_pattern,
    in_range,
    parse_guides,
    parse_keyframes,
    parse_rate,
    parse_reduction,
    parse_repairs,
    parse_size,
    parse_steps,
    parse_streams,
)

Color = Literal["none", "wavelet", "adain", "lab"]
Storage = Literal["auto", "fp8"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Flow = Literal["auto", "dis", "raft"]
AttentionBackend = Literal["sdpa", "xformers"]
Deinterlace = Literal["off", "auto", "on"]
SeedVRCrop = Literal["official"]
Clean = Literal["auto", "on", "off"]
Codec = Literal["x264", "x265", "av1", "prores", "ffv1", "png", "tiff", "exr", "dpx", "gif", "apng"]

DEFAULT_MODEL, DEFAULT_TEXTURE = "compact", "realesrgan-x4plus"
"""The model of a run, and whose texture it carries; other models carry none by default."""
INTERPOLATIONS = ("bicubic", "lanczos")
"""Models that need no network."""
NATIVE_SCALE = 4
"""Scale of a model folder: width and height of the output over those of the source."""
PICTURE_REACH = 24
"""Frames before the frame of a given picture from which on its detail is carried back."""
NO_MODEL = "none"
"""The model of `vsr restore`: frames keep their size, and no network is loaded."""
NETWORK_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""Suffixes of a model that is one file: an image network."""


@dataclass(frozen=True, slots=True)
class UpscaleConfig:
    """Every option of `vsr upscale`, with its help; None leaves it to the model or the source."""

    model: Annotated[
        str,
        Flag(
            "model",
            "NAME",
            "name (vsr models lists them), model folder, network file, or hf:OWNER/NAME"
            " (default: compact)",
        ),
    ] = DEFAULT_MODEL
    start: Annotated[
        float,
        Flag("input and output", "TIME", "where to start, as 90, 2.5s or 1:02:03.5 (default: 0)"),
    ] = 0.0
    duration: Annotated[
        float | None,
        Flag("input and output", "TIME", "how much to upscale, as --start (default: to the end)"),
    ] = None
    fps: Annotated[
        str | None,
        Flag(
            "input and output",
            "RATE",
            "frame rate of a folder of pictures, as 18 or 24000/1001 (default: 25)",
        ),
    ] = None
    name: Annotated[
        str | None,
        Flag(
            "input and output",
            "PATTERN",
            'name of outputs, as "{stem}_4k" or "{stem}.large.mkv" (default: "{stem}_{scale}")',
        ),
    ] = None
    recursive: Annotated[
        bool, Flag("input and output", "", "with a folder: upscale the videos of subfolders too")
    ] = False
    without: Annotated[
        str | None,
        Flag(
            "input and output",
            "LIST",
            "streams to leave out, as audio:2 (the second sound), subtitle (all) or data,audio:1",
        ),
    ] = None
    overwrite: Annotated[bool, Flag("input and output", "", "replace an output that exists")] = (
        False
    )
    restart: Annotated[
        bool,
        Flag("input and output", "", "discard the finished work of an earlier run and start again"),
    ] = False
    tolerant: Annotated[
        bool,
        Flag("input and output", "", "accept a damaged source: upscale the frames that decode"),
    ] = False
    allow_playlists: Annotated[
        bool,
        Flag("input and output", "", "let a playlist (.m3u8) read the local files that it names"),
    ] = False
    lora: Annotated[
        str | None, Flag("model", "FILE", "LoRA of the model (peft), as FILE or FILE=0.8")
    ] = None
    preset: Annotated[
        str | None,
        Flag(
            "model",
            "NAME",
            "sampling settings: upscale-a-video, upscale-a-video-fast, or a .yaml file",
        ),
    ] = None
    prompt: Annotated[
        str | None, Flag("model", "TEXT", "text prompt, for models with a text encoder")
    ] = None
    negative_prompt: Annotated[
        str | None, Flag("model", "TEXT", "text prompt to steer away from")
    ] = None
    scale: Annotated[
        float | None,
        Flag("quality", "X", "output size / input size, from 1 (default: the model's, usually 4)"),
    ] = None
    width: Annotated[
        int | None, Flag("quality", "PIXELS", "width of the output, instead of --scale")
    ] = None
    height: Annotated[
        int | None, Flag("quality", "PIXELS", "height of the output, instead of --scale")
    ] = None
    max_size: Annotated[
        str | None,
        Flag(
            "quality",
            "SIZE",
            "largest shorter side of the output, as 1080p, or none (default: 2160p unless --scale,"
            " --width or --height is given)",
        ),
    ] = None
    reduce: Annotated[
        str | None,
        Flag(
            "quality",
            "MODE",
            "reduce frames before they are enlarged: auto where they hold less detail than pixels,"
            " off, or a factor from 1 to 8 (default: auto above 288 lines, else off)",
        ),
    ] = None
    clean: Annotated[
        Clean,
        Flag(
            "quality",
            "MODE",
            "frames that lost nothing but size are computed as such by models that know them: auto"
            " finds them in lossless sources, on, or off (default: auto)",
        ),
    ] = "auto"
    steps: Annotated[
        int | None, Flag("quality", "N", "denoising steps, 1 to 1000 (default: the model's)")
    ] = None
    noise_level: Annotated[
        int | None,
        Flag(
            "quality",
            "N",
            "noise added to the input, 0 to 1000: more invents more detail (default: the model's)",
        ),
    ] = None
    guidance_scale: Annotated[
        float | None,
        Flag("quality", "X", "strength of the text prompt; 1 turns it off (default: the model's)"),
    ] = None
    color: Annotated[
        Color | None,
        Flag(
            "quality",
            "METHOD",
            "colour matching to the source: none, wavelet, adain or lab (default: the model's)",
        ),
    ] = None
    guide: Annotated[
        str | None,
        Flag(
            "quality",
            "LIST",
            "guides of models of several steps: lightness, structure, colour=REF.png or"
            " inpaint=MASK.png, each with a weight up to 1 as structure:0.5",
        ),
    ] = None
    texture: Annotated[
        str | None,
        Flag(
            "texture",
            "NAME",
            "whose fine detail is carried from key frames onto all others: an embedded model, a"
            " model folder, a network file, a folder of pictures, or none (default:"
            " realesrgan-x4plus for compact, else none)",
        ),
    ] = None
    texture_strength: Annotated[
        float, Flag("texture", "N", "strength of the carried detail, 0 to 100 (default: 50)")
    ] = 50.0
    keyframes: Annotated[
        str,
        Flag(
            "texture",
            "N",
            "frames from one key frame to the next, or auto: where something new is seen"
            " (default: auto)",
        ),
    ] = "auto"
    texture_prompt: Annotated[
        str | None, Flag("texture", "TEXT", "text prompt for the model of --texture")
    ] = None
    texture_steps: Annotated[
        int | None,
        Flag("texture", "N", "denoising steps of the model of --texture (default: the model's)"),
    ] = None
    device: Annotated[
        str, Flag("speed and memory", "NAME", "auto, cpu, cuda, cuda:N or mps (default: auto)")
    ] = "auto"
    dtype: Annotated[
        Dtype,
        Flag(
            "speed and memory",
            "NAME",
            "precision: auto, float32, bfloat16 or float16 (default: auto: the fastest)",
        ),
    ] = "auto"
    storage: Annotated[
        Storage,
        Flag("speed and memory", "NAME", "SeedVR's weights: fp8, or as --dtype (default: auto)"),
    ] = "auto"
    attention: Annotated[
        AttentionBackend,
        Flag("speed and memory", "NAME", "attention backend: sdpa or xformers (default: sdpa)"),
    ] = "sdpa"
    tile: Annotated[
        int | None,
        Flag(
            "speed and memory",
            "PIXELS",
            "tile size in pixels of the source, from 16: less memory (default: whole frames;"
            " image networks: 512)",
        ),
    ] = None
    max_clip_frames: Annotated[
        int | None,
        Flag("speed and memory", "N", "frames in memory at once (default: 16, fewer if large)"),
    ] = None
    codec: Annotated[
        Codec | None,
        Flag(
            "encoding",
            "NAME",
            "x264, x265, av1, prores, ffv1, gif, apng, or for pictures png, tiff, exr, dpx"
            " (default: by the output's name, else x264)",
        ),
    ] = None
    crf: Annotated[
        int | None,
        Flag(
            "encoding",
            "N",
            "constant rate factor, 0 (best) to 51, av1 to 63 (default: x264 16, x265 18, av1 24)",
        ),
    ] = None
    lossless: Annotated[bool, Flag("encoding", "", "lossless FFV1 in RGB")] = False
    deinterlace: Annotated[
        Deinterlace,
        Flag(
            "film",
            "MODE",
            "deinterlacing: off, on, or auto, where the frames show it (default: auto)",
        ),
    ] = "auto"
    restore: Annotated[
        str | None,
        Flag(
            "film",
            "LIST",
            "repairs of old films: film for weave,flicker,dust,grain, or any of these, scratches,"
            " fading, colour and holes, with a strength up to 1 as dust=0.8",
        ),
    ] = None
    colour_references: Annotated[
        str | None,
        Flag("film", "FOLDER", "coloured pictures of frames, as 000120.png, for --restore colour"),
    ] = None
    masks: Annotated[
        str | None,
        Flag("film", "FOLDER", "pictures, white where a frame is lost (default: holes are found)"),
    ] = None
    grain: Annotated[
        str | float,
        Flag("film", "VALUE", "grain given back after repairs: keep, or 0 to 1.5 (default: keep)"),
    ] = "keep"
    grain_table: Annotated[bool, Flag("film", "", "AV1: leave the grain to the player")] = False
    seed: Annotated[
        int, Flag("advanced", "N", "random seed: the same seed gives the same output (default: 0)")
    ] = 0
    segment_length: Annotated[
        int | None, Flag("advanced", "N", "frames per call of the U-Net (default: the model's)")
    ] = None
    propagation_steps: Annotated[
        str | int | list[int] | None,
        Flag(
            "advanced",
            "LIST",
            "steps after which latents are propagated along the flow, as 0,2,4; or none"
            " (default: the model's)",
        ),
    ] = None
    flow: Annotated[
        Flow,
        Flag("advanced", "NAME", "optical flow: dis, raft, or auto: raft if here (default: auto)"),
    ] = "auto"
    flow_weights: Annotated[str | None, Flag("advanced", "FILE", "weights of RAFT")] = None
    seedvr_crop: Annotated[
        SeedVRCrop | None,
        Flag("advanced", "MODE", "official: crop to multiples of 16, as SeedVR's makers do"),
    ] = None

    def __post_init__(self) -> None:
        """Check the ranges that hold for every source and model."""
        for name in ("model", "device", "preset", "flow_weights", "texture", "lora"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} is empty; leave it out, or give a name")
        in_range("scale", self.scale, 1)
        in_range("width", self.width, 2)
        in_range("height", self.height, 2)
        in_range("steps", self.steps, 1, 1000)
        in_range("noise_level", self.noise_level, 0, 1000)
        in_range("guidance_scale", self.guidance_scale, 0)
        in_range("texture_strength", self.texture_strength, 0, 100)
        in_range("texture_steps", self.texture_steps, 1, 1000)
        in_range("seed", self.seed, 0, 2**63 - 1)
        in_range("segment_length", self.segment_length, 1)
        in_range("max_clip_frames", self.max_clip_frames, 1)
        in_range("tile", self.tile, 16)
        in_range("crf", self.crf, 0, 63)
        in_range("start", self.start, 0)
        in_range("duration", self.duration, 0)
        if self.duration == 0:
            raise ConfigError("duration is 0 seconds; leave it out to upscale to the end")
        check_one_size(width=self.width, height=self.height, scale=self.scale)
        if self.lossless and self.codec not in (None, "ffv1"):
            raise ConfigError(
                f"lossless means ffv1, but codec = {self.codec}: give one of lossless and codec"
            )
        parse_steps(self.propagation_steps)
        parse_keyframes(self.keyframes)
        parse_rate(self.fps)
        parse_streams(self.without)
        parse_size(self.max_size)
        parse_reduction(self.reduce)
        check_pattern(self.name)
        check_grain(self.grain, self.repairs, is_told=self.grain_table)
        parse_guides(self.guide)
        check_folders(self.repairs, colour_references=self.colour_references, masks=self.masks)

    @property
    def repairs(self) -> dict[str, float]:
        """The strengths of the repairs that are asked for, by name."""
        return parse_repairs(self.restore)

    @property
    def propagation(self) -> tuple[int, ...] | None:
        """The steps after which latents are propagated; None leaves them to the model."""
        return parse_steps(self.propagation_steps)

    @property
    def texture_model(self) -> str | None:
        """The model or folder that gives the texture; None for no texture."""
        default = DEFAULT_TEXTURE if self.model == DEFAULT_MODEL else "none"
        name = default if self.texture is None else self.texture
        return None if name == "none" or self.texture_strength == 0 else name

    @property
    def key_distance(self) -> int | None:
        """Frames from one key frame to the next; None places them by what is new."""
        return parse_keyframes(self.keyframes)

    @property
    def left_out(self) -> tuple[tuple[str, int | None], ...]:
        """The streams to leave out: pairs of a kind and a number from 1; None means all of it."""
        return parse_streams(self.without)

    @property
    def frame_rate(self) -> Fraction | None:
        """The frame rate of a folder of pictures; None means the usual one."""
        return parse_rate(self.fps)
