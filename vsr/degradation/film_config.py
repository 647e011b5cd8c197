"""The ranges from which the wear of an old film is drawn.

Lengths are in pixels of the high-quality clip, counts by its size, so that a crop of a frame is as
worn as the whole. The literature gives forms and not ranges (Kokaram, Motion Picture Restoration,
1998; van Roosmalen et al. 1999; Iizuka and Simo-Serra 2019; Wan et al. 2022): the ranges here are
chosen by eye on sheets of 720p frames (`vsr data degrade --grid`), from a well-kept print to
one that is hard to watch.
"""

from dataclasses import dataclass, field

from vsr.degradation.draw import Range, check_probabilities, check_ranges
from vsr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ScratchConfig:
    """Lines along the film, from dirt in the transport: they last for many frames and drift.

    Their profile is the damped cosine of Kokaram 1998. `wander` is the speed in pixels a frame,
    `life` the mean number of frames.
    """

    probability: float = 0.6
    per_1000_pixels: Range = (0.8, 7.0)
    """Number visible at once, per width of the frame."""
    width: Range = (0.8, 3.0)
    contrast: Range = (0.06, 0.45)
    wander: Range = (0.05, 0.8)
    life: Range = (400.0, 40.0)
    dark_share: float = 0.5
    tinted_share: float = 0.3
    """Share that reaches only some layers of a colour film."""

    def __post_init__(self) -> None:
        check_probabilities(self, "probability", "dark_share", "tinted_share")
        check_ranges(self, "per_1000_pixels", "contrast", "wander")
        check_ranges(self, "width", "life", above_zero=True)


@dataclass(frozen=True, slots=True)
class DustConfig:
    """Specks and short fibres on the film, each visible in one frame (Kokaram 1998)."""

    probability: float = 0.9
    per_megapixel: Range = (4.0, 90.0)
    radius: Range = (0.8, 3.5)
    """Median size; sizes are log-normal."""
    opacity: Range = (0.5, 0.95)
    dark_share: float = 0.5
    fibre_share: float = 0.15

    def __post_init__(self) -> None:
        check_probabilities(self, "probability", "dark_share", "fibre_share")
        check_ranges(self, "per_megapixel", "opacity")
        check_ranges(self, "radius", above_zero=True)


@dataclass(frozen=True, slots=True)
class HairConfig:
    """Hairs in the gate of the projector: dark, in one place for several frames, swaying."""

    probability: float = 0.25
    per_megapixel: Range = (0.8, 4.0)
    length: Range = (30.0, 140.0)
    thickness: Range = (0.8, 2.2)
    opacity: Range = (0.4, 0.9)
    life: Range = (60.0, 10.0)
    """Mean duration in frames."""

    def __post_init__(self) -> None:
        check_probabilities(self, "probability")
        check_ranges(self, "per_megapixel", "opacity")
        check_ranges(self, "length", "thickness", "life", above_zero=True)


@dataclass(frozen=True, slots=True)
class FlickerConfig:
    """Exposure that changes from frame to frame: a gain that varies slowly over the frame.

    The form of van Roosmalen et al. 1999. `strength` is the standard deviation of its logarithm,
    `local` that of its part that differs over the frame, `memory` what a frame keeps of the one
    before.
    """

    probability: float = 0.7
    strength: Range = (0.01, 0.14)
    local: Range = (0.0, 0.05)
    memory: float = 0.3

    def __post_init__(self) -> None:
        check_probabilities(self, "probability", "memory")
        check_ranges(self, "strength", "local")


@dataclass(frozen=True, slots=True)
class WeaveConfig:
    """Movement of the film in the gate: smooth shifts and a little rotation, zero on average.

    `shift` (pixels) and `rotation` (degrees) are standard deviations, `period` the number of
    frames over which they change.
    """

    probability: float = 0.7
    shift: Range = (0.2, 2.5)
    rotation: Range = (0.0, 0.06)
    period: Range = (12.0, 4.0)

    def __post_init__(self) -> None:
        check_probabilities(self, "probability")
        check_ranges(self, "shift", "rotation")
        check_ranges(self, "period", above_zero=True)


@dataclass(frozen=True, slots=True)
class GrainConfig:
    """Grain: different in each frame, strongest in mid-grey, with a size.

    Its variance follows u (1 - u), that of the Boolean model of grains (Newson et al. 2017).
    `sigma` is in grey levels of 255 at mid-grey, `size` the sigma of the grains' shape.
    """

    probability: float = 0.85
    sigma: Range = (2.0, 20.0)
    size: Range = (0.4, 1.5)
    colour_share: float = 0.5
    """Share of clips in which each colour has its own grain."""

    def __post_init__(self) -> None:
        check_probabilities(self, "probability", "colour_share")
        check_ranges(self, "sigma")
        check_ranges(self, "size", above_zero=True)


@dataclass(frozen=True, slots=True)
class FadingConfig:
    """Loss of dye density: colours turn pink or wash out, blacks turn grey.

    `loss` is the share of its density that the weakest dye loses, `stain` the density that the
    base gains, most in the blue.
    """

    probability: float = 0.5
    loss: Range = (0.05, 0.5)
    stain: Range = (0.0, 0.1)
    monochrome_share: float = 0.3
    """Share of clips that are black and white with a warm tint."""

    def __post_init__(self) -> None:
        check_probabilities(self, "probability", "monochrome_share")
        check_ranges(self, "loss", "stain")
        if max(self.loss) >= 1:
            raise ConfigError(f"{self.loss = } must be below 1: nothing would be left")


@dataclass(frozen=True, slots=True)
class HalationConfig:
    """A red glow around highlights: light reflected by the base of the film."""

    probability: float = 0.4
    strength: Range = (0.05, 0.5)
    radius: Range = (3.0, 20.0)
    threshold: float = 0.7

    def __post_init__(self) -> None:
        check_probabilities(self, "probability", "threshold")
        check_ranges(self, "strength")
        check_ranges(self, "radius", above_zero=True)
        if self.threshold == 1:
            raise ConfigError(f"{self.threshold = } must be below 1")


@dataclass(frozen=True, slots=True)
class FilmConfig:
    """All kinds of wear, in the order in which they occur."""

    halation: HalationConfig = field(default_factory=HalationConfig)
    grain: GrainConfig = field(default_factory=GrainConfig)
    fading: FadingConfig = field(default_factory=FadingConfig)
    dust: DustConfig = field(default_factory=DustConfig)
    weave: WeaveConfig = field(default_factory=WeaveConfig)
    scratches: ScratchConfig = field(default_factory=ScratchConfig)
    hairs: HairConfig = field(default_factory=HairConfig)
    flicker: FlickerConfig = field(default_factory=FlickerConfig)
