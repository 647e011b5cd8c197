"""The ranges from which a degradation is drawn; every default lives here once.

A range is a pair (mild, strong). Each clip has one severity in [0, 1], and a value lies at
`mild + (strong - mild) * severity`, give or take 40 % of that, so that a clip is bad in all
respects or in few. All blur sigmas are in pixels of the high-quality clip, whatever the size of
the frames when they are blurred; noise is in grey levels of 255 at the size where it is added.
"""

from dataclasses import dataclass, field

from vsr.degradation.draw import Range, check_probabilities
from vsr.degradation.film_config import FilmConfig
from vsr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """A codec of `vsr.video.recompress.recompress`, with its weight and its range of quality."""

    name: str = "h264"
    weight: float = 1.0
    quality_option: str = "crf"
    quality: Range = (18.0, 38.0)
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ConfigError(f"codec {self.name}: {self.weight = } must not be negative")


# x264 as it is used for files: B-frames, lookahead, bits taken where they are referred to most.
_FILE = (("preset", "medium"), ("bf", "3"), ("rc-lookahead", "10"), ("x264-params", "mbtree=1"))
CODECS = (
    CodecConfig("h264", 0.4, options=_FILE),
    CodecConfig("h264", 0.4),
    CodecConfig("hevc", 0.04, quality=(20.0, 40.0)),
    CodecConfig("vp9", 0.04, quality=(20.0, 50.0), options=(("b", "0"),)),
    CodecConfig("mpeg4", 0.06, "qscale", (2.0, 14.0)),
    CodecConfig("mpeg2video", 0.06, "qscale", (2.0, 14.0)),
)


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """Probabilities that a stage ends in a video codec or in JPEG, and their ranges of quality."""

    codec_probability: float = 0.0
    codecs: tuple[CodecConfig, ...] = CODECS
    jpeg_probability: float = 0.2
    jpeg_quality: Range = (97.0, 40.0)

    def __post_init__(self) -> None:
        check_probabilities(self, "codec_probability", "jpeg_probability")
        if self.codec_probability + self.jpeg_probability > 1:
            raise ConfigError(
                f"{self.codec_probability = } and {self.jpeg_probability = } must not exceed 1 "
                "together"
            )
        if not 1 <= min(self.jpeg_quality) <= max(self.jpeg_quality) <= 100:
            raise ConfigError(f"{self.jpeg_quality = } must lie between 1 and 100")
        if self.codec_probability and not sum(codec.weight for codec in self.codecs):
            raise ConfigError(f"{self.codec_probability = } needs a codec with a weight above 0")


@dataclass(frozen=True, slots=True)
class DegradationStageConfig:
    """One pass of blur, resize, noise and compression (Real-ESRGAN uses two)."""

    blur_probability: float = 0.85
    blur_sigma: Range = (0.2, 3.0)
    anisotropic_share: float = 0.35
    generalised_share: float = 0.12
    plateau_share: float = 0.08
    generalised_beta: Range = (0.5, 4.0)
    plateau_beta: Range = (1.0, 2.0)
    sinc_probability: float = 0.0
    sinc_cutoff: Range = (1.05, 3.14)
    resize_probability: float = 0.5
    resize_scale: Range = (1.1, 0.25)
    aliased_share: float = 0.2
    noise_probability: float = 0.3
    noise_sigma: Range = (0.0, 14.0)
    shot_noise_share: float = 0.35
    grey_noise_share: float = 0.35
    compression: CompressionConfig = field(default_factory=CompressionConfig)

    def __post_init__(self) -> None:
        check_probabilities(
            self,
            "blur_probability",
            "sinc_probability",
            "resize_probability",
            "aliased_share",
            "noise_probability",
            "shot_noise_share",
            "grey_noise_share",
        )
        if self.anisotropic_share + self.generalised_share + self.plateau_share > 1:
            raise ConfigError("the shares of blur kernels must not exceed 1 together")
        if min(self.blur_sigma) <= 0 or min(self.resize_scale) <= 0:
            raise ConfigError(f"{self.blur_sigma = } and {self.resize_scale = } must be above 0")
        if min(self.noise_sigma) < 0:
            raise ConfigError(f"{self.noise_sigma = } must not be negative")


def _second_stage() -> DegradationStageConfig:
    return DegradationStageConfig(
        blur_probability=0.25,
        blur_sigma=(0.2, 2.0),
        sinc_probability=0.06,
        noise_probability=0.8,
        noise_sigma=(0.0, 13.0),
        compression=CompressionConfig(codec_probability=0.6, jpeg_probability=0.12),
    )


@dataclass(frozen=True, slots=True)
class DegradationConfig:
    """Real-ESRGAN's second-order degradation in RealBasicVSR's video form, milder by default.

    `severity` holds the two parameters of a Beta distribution; its default has mean 0.44, where
    the ranges give about blur 1.4, noise 6/255 and CRF 27. A clip is only reduced, and otherwise
    left as it is, with `clean_probability`; of these clips, `clean_area_share` by area, others by a
    bicubic kernel. `drift` is the relative step a frame of the random walk along which sigmas and
    qualities go in the course of a clip. A `film` is worn before all else.
    """

    scale: int = 4
    severity: tuple[float, float] = (3.6, 4.6)
    clean_probability: float = 0.06
    clean_area_share: float = 0.5
    drift: float = 0.03
    first: DegradationStageConfig = field(default_factory=DegradationStageConfig)
    second: DegradationStageConfig = field(default_factory=_second_stage)
    film: FilmConfig | None = None

    def __post_init__(self) -> None:
        check_probabilities(self, "clean_probability", "clean_area_share")
        if self.scale < 1 or min(self.severity) <= 0 or self.drift < 0:
            raise ConfigError(
                f"{self.scale = } must be at least 1, {self.severity = } above 0, "
                f"{self.drift = } not negative"
            )
