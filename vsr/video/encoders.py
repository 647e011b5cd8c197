"""Which encoders there are, how each is set, and which containers hold what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from vsr.errors import ConfigError, OutputError
from vsr.video.color import FULL, LIMITED, MATRIX_BT601, MATRIX_BT709, MATRIX_RGB, ColorTags
from vsr.video.pixels import is_rgb

CONTAINER_SUFFIXES = (".mp4", ".mkv", ".mov", ".m4v", ".webm")
"""The file types that can be written: those that hold any frame time."""
PNG = "png"

_EXACT_TIME_SUFFIXES = (".mp4", ".mov", ".m4v")


@dataclass(frozen=True, slots=True)
class Encoder:
    """One encoder: its name in libavcodec, where it may go, and the settings it takes.

    `crf_range` is None where there is no such setting; `odd_pix_fmt` serves odd sizes.
    """

    name: str
    suffixes: tuple[str, ...]
    pix_fmt: str
    odd_pix_fmt: str
    crf: int | None = None
    crf_range: tuple[int, int] | None = None
    preset: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])


ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        "x264": Encoder(
            "libx264",
            (".mp4", ".mkv", ".mov", ".m4v"),
            "yuv420p",
            "yuv444p",
            crf=16,
            crf_range=(0, 51),
            preset="medium",
        ),
        "x265": Encoder(
            "libx265",
            (".mp4", ".mkv", ".mov", ".m4v"),
            "yuv420p",
            "yuv444p",
            crf=18,
            crf_range=(0, 51),
            preset="medium",
            options={"x265-params": "log-level=error:info=0:frame-threads=2"},
        ),
        "av1": Encoder(
            "libsvtav1",
            (".mp4", ".mkv", ".webm"),
            "yuv420p",
            "yuv420p",
            crf=24,
            crf_range=(0, 63),
            preset="6",
        ),
        "prores": Encoder(
            "prores_ks", (".mov", ".mkv"), "yuv422p10le", "yuv422p10le", options={"profile": "hq"}
        ),
        "ffv1": Encoder(
            "ffv1",
            (".mkv",),
            "bgr0",
            "bgr0",
            options={"level": "3", "g": "1", "slices": "4", "slicecrc": "1"},
        ),
    }
)
CODECS = (*ENCODERS, PNG)
"""Every value of `EncoderSettings.codec`."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How the output is encoded; None leaves a choice to the codec, and the codec to the output.

    Without a codec, folders get PNG files, `.webm` gets AV1 and all else x264. `lossless` is FFV1
    in RGB (a PNG folder is lossless anyway). Smaller `crf` is better quality and a larger file.
    """

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in CODECS:
            raise ConfigError(f"unknown codec {self.codec!r}; allowed: {', '.join(CODECS)}")
        if self.lossless and self.codec not in (None, "ffv1", PNG):
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
        return "av1" if path.suffix.lower() == ".webm" else "x264"


def check_codec(path: Path, settings: EncoderSettings) -> str:
    """The name of the codec; OutputError if the output's type does not hold it."""
    codec = settings.codec_for(path)
    suffix = path.suffix.lower()
    if codec == PNG:
        if suffix:
            raise OutputError(
                f"{path}: png writes a folder of pictures; give a name without the ending {suffix}"
            )
        _check_quality_settings(codec, settings, None)
        return codec
    encoder = ENCODERS[codec]
    if suffix not in encoder.suffixes:
        found = f"the ending {suffix}" if suffix else "no ending"
        others = [name for name, other in ENCODERS.items() if suffix in other.suffixes]
        hint = f", and {suffix} holds {', '.join(others)}" if others else ""
        raise OutputError(
            f"{path} has {found}; {codec} is written to {', '.join(encoder.suffixes)}{hint}"
        )
    _check_quality_settings(codec, settings, encoder)
    return codec


def pixel_format(encoder: Encoder, settings: EncoderSettings, width: int, height: int) -> str:
    """The pixel format to encode in; halved chroma needs even sizes, odd ones get it whole."""
    if settings.pix_fmt is not None:
        return settings.pix_fmt
    return encoder.odd_pix_fmt if width % 2 or height % 2 else encoder.pix_fmt


def encoder_options(encoder: Encoder, settings: EncoderSettings) -> dict[str, str]:
    """The encoder's options, as libavcodec wants them."""
    options = dict(encoder.options)
    crf = settings.crf if settings.crf is not None else encoder.crf
    preset = settings.preset if settings.preset is not None else encoder.preset
    if crf is not None:
        options["crf"] = str(crf)
    if preset is not None:
        options["preset"] = preset
    return options


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


def holds_exact_times(path: Path) -> bool:
    """Whether the file type keeps any time base, or rounds to 1 ms."""
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
