"""The encoders, their settings, and the containers that hold each codec."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import cv2

from vsr.errors import ConfigError, OutputError
from vsr.video.color import FULL, LIMITED, MATRIX_BT601, MATRIX_BT709, MATRIX_RGB, ColorTags
from vsr.video.hdr import HdrMetadata
from vsr.video.pixels import chroma_of, depth_of, is_gray, is_rgb
from vsr.video.siting import LEFT, TAGGED_SITINGS, has_siting
from vsr.video.suffixes import IMAGE_SUFFIXES, ending

_log = logging.getLogger(__name__)

CONTAINER_SUFFIXES = (".mp4", ".mkv", ".mov", ".m4v", ".webm")
"""The file types that can be written: those that hold any frame time."""
PNG, DPX, EXR = "png", "dpx", "exr"
PICTURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {PNG: (".png",), "tiff": (".tiff", ".tif"), EXR: (".exr",), DPX: (".dpx",)}
)
"""The codecs of pictures, each with its file types: a folder of them, or one file."""
ANIMATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"gif": (".gif",), "apng": (".apng", ".png")}
)
"""The codecs of animated pictures, each with its file types."""

_SITINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"x264": TAGGED_SITINGS, "x265": TAGGED_SITINGS, "av1": (LEFT, "topleft")}
)
"""The sitings that a codec can tag."""
_EXACT_TIME_SUFFIXES = (".mp4", ".mov", ".m4v")


@dataclass(frozen=True, slots=True)
class Encoder:
    """One encoder: its name in libavcodec, where it may go, and the settings it takes.

    `crf_range` is None where there is no such setting. HDR10 metadata is told by the option
    `hdr_option`; None: there is none. `largest` is the largest width and height.
    """

    name: str
    suffixes: tuple[str, ...]
    pix_fmts: tuple[str, ...]
    crf: int | None = None
    crf_range: tuple[int, int] | None = None
    preset: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    hdr_option: str | None = None
    largest: tuple[int, int] = (65_535, 65_535)


_OPENCV_AVX_512F = 13
STEADY_X264: Mapping[str, str] = MappingProxyType(
    {"x264-params": "asm=AVX2"} if cv2.checkHardwareSupport(_OPENCV_AVX_512F) else {}
)
"""In AVX-512 the lookahead of x264 reads memory that nobody wrote: no two runs are the same."""

_EIGHT_BITS = ("yuv420p", "yuv422p", "yuv444p")
_TEN_BITS = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
_TWELVE_BITS = ("yuv420p12le", "yuv422p12le", "yuv444p12le")

ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        "x264": Encoder(
            "libx264",
            (".mp4", ".mkv", ".mov", ".m4v"),
            (*_EIGHT_BITS, *_TEN_BITS),
            crf=16,
            crf_range=(0, 51),
            preset="medium",
            hdr_option="x264-params",
            options=STEADY_X264,
            largest=(16_384, 16_384),
        ),
        "x265": Encoder(
            "libx265",
            (".mp4", ".mkv", ".mov", ".m4v"),
            (*_EIGHT_BITS, *_TEN_BITS, *_TWELVE_BITS),
            crf=18,
            crf_range=(0, 51),
            preset="medium",
            hdr_option="x265-params",
            options={"x265-params": "log-level=error:info=0:frame-threads=2"},
        ),
        "av1": Encoder(
            "libsvtav1",
            (".mp4", ".mkv", ".webm"),
            ("yuv420p", "yuv420p10le"),
            crf=24,
            crf_range=(0, 63),
            preset="6",
            hdr_option="svtav1-params",
            largest=(16_384, 8_704),
        ),
        "prores": Encoder("prores_ks", (".mov", ".mkv"), ("yuv422p10le", "yuv444p10le")),
        "ffv1": Encoder(
            "ffv1",
            (".mkv",),
            ("bgr0", "gbrp16le"),
            options={"level": "3", "g": "1", "slices": "4", "slicecrc": "1"},
        ),
    }
)
CODECS = (*ENCODERS, *PICTURES, *ANIMATIONS)
"""Every value of `EncoderSettings.codec`."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Settings of the output's encoder. None leaves a setting to the codec.

    Without a codec, the output's name decides: a folder gets PNG files, `.webm` AV1, an animation
    or a picture its own codec, and everything else x264. `lossless` selects FFV1 in RGB (pictures
    are lossless anyway). A smaller `crf` gives better quality and a larger file.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in CODECS:
            raise ConfigError(f"unknown codec {self.codec!r}; allowed: {', '.join(CODECS)}")
        if self.lossless and self.codec not in (None, "ffv1", *PICTURES):
            raise ConfigError(
                f"lossless output is FFV1, but codec is {self.codec!r}; give one or the other"
            )
        if self.lossless and self.pix_fmt is not None:
            raise ConfigError(f"lossless output is RGB, but pix_fmt is {self.pix_fmt!r}")

    def codec_for(self, path: Path) -> str:
        """The codec for an output: as set, or what its name suggests."""
        if self.codec is not None:
            return self.codec
        if path.suffix == "":
            return PNG
        if self.lossless:
            return "ffv1"
        for codec, suffixes in (*ANIMATIONS.items(), *PICTURES.items()):
            if path.suffix.lower() in suffixes:
                return codec
        return "av1" if path.suffix.lower() == ".webm" else "x264"


def check_codec(path: Path, settings: EncoderSettings) -> str:
    """The name of the codec; OutputError if the output's type does not hold it."""
    codec = settings.codec_for(path)
    suffix = path.suffix.lower()
    if codec in PICTURES:
        if ending(path) and suffix not in PICTURES[codec]:
            raise OutputError(
                f"{path}: {codec} writes pictures; give a name without the ending {suffix} for a "
                f"folder of them, or with {PICTURES[codec][0]} for one"
            )
        _check_quality_settings(codec, settings, None)
        return codec
    encoder = ENCODERS.get(codec)
    suffixes = ANIMATIONS[codec] if encoder is None else encoder.suffixes
    if suffix not in suffixes:
        found = f"the ending {suffix}" if suffix else "no ending"
        others = [name for name, other in ENCODERS.items() if suffix in other.suffixes]
        hint = f", and {suffix} holds {', '.join(others)}" if others else ""
        if suffix in IMAGE_SUFFIXES:
            hint = (
                f"; one picture is written to {', '.join(kinds[0] for kinds in PICTURES.values())}"
            )
        raise OutputError(f"{path} has {found}; {codec} is written to {', '.join(suffixes)}{hint}")
    _check_quality_settings(codec, settings, encoder)
    return codec


def with_fitting_codec(
    settings: EncoderSettings, path: Path, size: tuple[int, int]
) -> EncoderSettings:
    """The settings, with another codec where none was asked for and the usual one is too small.

    Raises OutputError if no codec fits that the output may have.
    """
    codec = settings.codec_for(path)
    if codec not in ENCODERS or _fits(codec, size):
        return settings
    fitting = [
        name
        for name, encoder in ENCODERS.items()
        if path.suffix.lower() in encoder.suffixes and _fits(name, size)
    ]
    limit = f"{codec} holds at most {'x'.join(map(str, ENCODERS[codec].largest))} pixels"
    if settings.codec is not None or not fitting:
        hint = f"give --codec {fitting[0]}" if fitting else "write to .mkv"
        raise OutputError(
            f"{path} would have {size[0]}x{size[1]} pixels, but {limit}: {hint}, or a smaller "
            "--scale"
        )
    _log.warning("%s: %s, so %s is taken", path, limit, fitting[0])
    return replace(settings, codec=fitting[0])


def _fits(codec: str, size: tuple[int, int]) -> bool:
    return all(side <= most for side, most in zip(size, ENCODERS[codec].largest, strict=True))


def picture_codec(path: Path) -> str | None:
    """The codec of pictures with the ending of a path; None if there is none."""
    suffix = path.suffix.lower()
    return next((codec for codec, suffixes in PICTURES.items() if suffix in suffixes), None)


def pixel_format(
    encoder: Encoder, settings: EncoderSettings, source: str, *, width: int, height: int
) -> str:
    """The pixel format to encode in: the encoder's nearest to the source's in depth and chroma.

    Halved chroma needs even sizes, odd ones get it whole. See `wanted_chroma`.
    """
    if settings.pix_fmt is not None:
        return settings.pix_fmt
    depth = depth_of(source)
    columns, rows = wanted_chroma(source)
    wanted = (1 if width % 2 else columns, 1 if height % 2 else rows)

    def distance(pix_fmt: str) -> tuple[int, int, int, int]:
        """Missing depth, missing chroma, unneeded depth and unneeded chroma, worst first."""
        more = depth_of(pix_fmt) - depth
        coarser = [a - b for a, b in zip(chroma_of(pix_fmt), wanted, strict=True)]
        missing, spare = (sum(max(0, sign * n) for n in coarser) for sign in (1, -1))
        return max(0, -more), missing, max(0, more), spare

    return min(encoder.pix_fmts, key=distance)


def wanted_chroma(source: str) -> tuple[int, int]:
    """The chroma (as `chroma_of` has it) that keeps all of a source: of 8-bit RGB and gray 4:2:0.

    Most RGB of 8 bits is pictures and animations, which people want to play anywhere.
    """
    if is_gray(source) or (is_rgb(source) and depth_of(source) <= 8):
        return (2, 2)
    return chroma_of(source)


def losses(encoder: Encoder, source: str, pix_fmt: str, *, hdr: HdrMetadata) -> list[str]:
    """One message for each property of the source's pixels or HDR metadata that is lost."""
    found: list[str] = []
    if depth_of(pix_fmt) < depth_of(source):
        found.append(f"its {depth_of(source)} bits a colour are rounded to {depth_of(pix_fmt)}")
    if any(a > b for a, b in zip(chroma_of(pix_fmt), wanted_chroma(source), strict=True)):
        found.append(f"its colours ({source}) are kept at the lower resolution of {pix_fmt}")
    if encoder.hdr_option is None and (hdr.display or hdr.light):
        found.append(f"{encoder.name} holds no HDR10 metadata: it is left out ({hdr})")
    found += [f"{name} metadata, which changes by the scene, is left out" for name in hdr.dynamic]
    return found


def encoder_options(
    encoder: Encoder, settings: EncoderSettings, *, pix_fmt: str, hdr: HdrMetadata
) -> dict[str, str]:
    """The encoder's options, as libavcodec wants them."""
    options = dict(encoder.options)
    crf = settings.crf if settings.crf is not None else encoder.crf
    preset = settings.preset if settings.preset is not None else encoder.preset
    if crf is not None:
        options["crf"] = str(crf)
    if preset is not None:
        options["preset"] = preset
    if encoder.name == "prores_ks":
        options["profile"] = "4444" if chroma_of(pix_fmt) == (1, 1) else "hq"
    if encoder.hdr_option is not None and (parameters := _hdr_parameters(encoder.name, hdr)):
        given = [options[encoder.hdr_option]] if encoder.hdr_option in options else []
        options[encoder.hdr_option] = ":".join([*given, *parameters])
    return options


def _hdr_parameters(encoder: str, hdr: HdrMetadata) -> list[str]:
    display, light = {
        "libx264": ("mastering-display", "cll"),
        "libx265": ("master-display", "max-cll"),
        "libsvtav1": ("mastering-display", "content-light"),
    }[encoder]
    parameters: list[str] = []
    if hdr.display is not None:
        decimals = encoder == "libsvtav1"
        value = hdr.display.decimals() if decimals else hdr.display.whole_numbers()
        parameters.append(f"{display}={value}")
    if hdr.light is not None:
        parameters.append(f"{light}={hdr.light}")
    return parameters


def output_color(source: ColorTags, codec: str, pix_fmt: str, height: int) -> ColorTags:
    """The tags of the output, given the source's with nothing missing.

    The matrix and range by which the source was read are kept, so that colours cannot shift; RGB
    sources get those that players assume for the size.
    """
    if is_rgb(pix_fmt):
        matrix, color_range = MATRIX_RGB, FULL
    elif source.matrix == MATRIX_RGB:
        matrix, color_range = MATRIX_BT709 if height >= 720 else MATRIX_BT601, LIMITED
    else:
        matrix, color_range = source.matrix, source.range
    if codec == "prores":
        color_range = LIMITED  # the format has no flag for anything else
    return ColorTags(source.primaries, source.transfer, matrix, color_range)


def output_siting(source: str | None, codec: str, pix_fmt: str) -> str | None:
    """The chroma siting of the output, given the source's; None without chroma to be sited.

    H.264 and H.265 tag any siting of 4:2:0, AV1 two. Without a tag players assume the left.
    """
    if not has_siting(pix_fmt):
        return None
    allowed = _SITINGS.get(codec, (LEFT,)) if chroma_of(pix_fmt) == (2, 2) else (LEFT,)
    return source if source in allowed else LEFT


def siting_options(siting: str | None, pix_fmt: str) -> dict[str, str]:
    """The encoder's option that tags a chroma siting: only 4:2:0 has a tag for it."""
    if siting is None or chroma_of(pix_fmt) != (2, 2):
        return {}
    return {"chroma_sample_location": siting}


def holds_exact_times(path: Path) -> bool:
    """True if the file type keeps any time base; others round times to 1 ms."""
    return path.suffix.lower() in _EXACT_TIME_SUFFIXES


def _check_quality_settings(codec: str, settings: EncoderSettings, encoder: Encoder | None) -> None:
    crf_range = encoder.crf_range if encoder is not None else None
    if settings.crf is not None:
        if crf_range is None:
            raise OutputError(f"{codec} has no crf; leave it out")
        if not crf_range[0] <= settings.crf <= crf_range[1]:
            raise OutputError(
                f"crf = {settings.crf} is out of range; {codec} takes {crf_range[0]} (best) to "
                f"{crf_range[1]}"
            )
    if settings.preset is not None and (encoder is None or encoder.preset is None):
        raise OutputError(f"{codec} has no preset; leave it out")
    if settings.pix_fmt is not None and encoder is None:
        raise OutputError(f"{codec} has no choice of pix_fmt; leave it out")
