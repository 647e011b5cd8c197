"""Job: one source and one output, with every choice made; all commands on a film begin with it."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from vsr import __version__
from vsr.checkpoints.find import is_picture_folder, look_ahead, makes_any_size, native_scale
from vsr.config import NATIVE_SCALE, PICTURE_REACH, UpscaleConfig
from vsr.errors import ConfigError, InputError, OutputError
from vsr.jobs.model import Model
from vsr.jobs.resume.identity import Identity, files_identity, options_identity, source_identity
from vsr.jobs.target import default_output, encoder_settings, with_picture_codec
from vsr.option_values import parse_guides, parse_reduction
from vsr.restoration.film_grain_fit import film_grain_of, plane_codes
from vsr.restoration.plan import RepairPlan
from vsr.restoration.repair_pictures import RepairPictures
from vsr.upscaling.framing import Framing, reuses_repeats, shot_analysis
from vsr.upscaling.repairs import repair_plan
from vsr.upscaling.sizes import Size, clip_length, log_size, output_size
from vsr.video.grain import Grain
from vsr.video.key_pictures import KeyPictures
from vsr.video.lossless import is_lossless
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.deinterlace import fields_of
from vsr.video.reading.reader import VideoReader
from vsr.video.reading.shot_traits import ShotAnalysis, ShotTraits
from vsr.video.times import exact_seconds
from vsr.video.writing.encoders import EncoderSettings, with_fitting_codec
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.film_grain import FilmGrain
from vsr.video.writing.output_file import check_output, encoding_of
from vsr.video.writing.stream_fates import without_streams
from vsr.video.writing.time_range import TimeRange, source_range


@dataclass(frozen=True, slots=True)
class Job:
    """A source, probed once, and its output.

    `size` is the output's; `clip_frames` is the largest number of frames in memory at once;
    `encoding` is None for pictures and animations.
    """

    source: Path
    output: Path
    config: UpscaleConfig
    info: VideoInfo
    size: Size
    clip_frames: int
    settings: EncoderSettings
    encoding: Encoding | None
    look_ahead: int = 0
    """Frames after a clip that the model looks at."""
    native: int = NATIVE_SCALE
    """The scale of the model."""

    @classmethod
    def of(cls, source: Path, output: Path | None, config: UpscaleConfig) -> "Job":
        """Probe the source and make the choices that `config` leaves open."""
        given, config = config, with_picture_codec(source, output, config)
        probed = probe(source, rate=config.frame_rate, playlists=config.allow_playlists)
        info = without_streams(probed, config.left_out)
        _check_fields(info, config)
        RepairPictures.of(config).check(info)
        small = Size(info.height, info.width)
        _check_pictures(info, config)
        scale = native_scale(config.model)
        _check_crop(config)
        size = output_size(small, config, native=scale)
        output = output or default_output(source, given, native=scale)
        pixels = (size.width, size.height)
        settings = with_fitting_codec(encoder_settings(config), output, pixels)
        return cls(
            source=source,
            output=output,
            config=config,
            info=info,
            size=size,
            clip_frames=clip_length(small, config),
            settings=settings,
            encoding=encoding_of(output, info, pixels, settings),
            look_ahead=max(
                look_ahead(config.model),
                PICTURE_REACH if is_picture_folder(config.texture_model) else 0,
            ),
            native=scale,
        )

    def check_output(self, *, makes_folder: bool = False) -> None:
        """Raise OutputError for anything that would keep the output from being written.

        With `makes_folder` its folder need not exist.
        """
        self._check_grain_table()
        check_output(
            self.output,
            source=self.info,
            settings=self.settings,
            overwrite=self.config.overwrite,
            makes_folder=makes_folder,
        )

    def _check_grain_table(self) -> None:
        if self.grain_table is None:
            return
        if self.encoding is None or self.encoding.codec != "av1":
            raise OutputError(
                f"{self.output} is not AV1, and only players of AV1 add grain: give --codec av1, "
                "or leave out --grain-table"
            )
        if self.grain_table.exists() and not self.config.overwrite:
            raise OutputError(
                f"{self.grain_table} exists; move it away, or replace it with --overwrite"
            )

    def identity(self, model: Model) -> Identity:
        """Return everything that decides the bytes of the output."""
        return {
            **source_identity(self.source),
            **options_identity(self.config, version=__version__),
            **model.identity(),
            **files_identity("the colour references", _folder(self.config.colour_references)),
            **_guides_identity(self.config),
            **files_identity("the masks", _folder(self.config.masks)),
            "size": str(self.size),
            "clip_frames": self.clip_frames,
        }

    @property
    def source_size(self) -> Size:
        """The size of the source's frames."""
        return Size(self.info.height, self.info.width)

    @property
    def analysis(self) -> ShotAnalysis:
        """The traits of shots to look for."""
        return shot_analysis(
            self.source_size,
            self.size,
            self.config,
            self._computed_scale,
            is_lossless=is_lossless(self.info),
        )

    @property
    def reuses_repeats(self) -> bool:
        """True if frames that repeat the one before are not computed."""
        return reuses_repeats(self.config)

    def framing(self, traits: ShotTraits) -> Framing:
        """Return the part and the size of a shot's frames that are computed."""
        factor = parse_reduction(self.config.reduce)
        native = self._computed_scale
        return Framing.of(self.source_size, self.size, traits, native=native, factor=factor)

    @property
    def _computed_scale(self) -> int | None:
        """The scale at which the model computes; None: that of the output."""
        return None if makes_any_size(self.config.model) else self.native

    def log_size(self) -> None:
        """Say where the size of the output is not the scaled one."""
        log_size(self.source_size, self.config, native=self.native)

    def reader(self) -> VideoReader:
        """Return the frames of the part of the source that the config asks for."""
        config = self.config
        return VideoReader(
            self.info,
            start=config.start,
            duration=config.duration,
            tolerant=config.tolerant,
            deinterlace=config.deinterlace,
        )

    def film_grain(self, grain: Grain | None) -> FilmGrain | None:
        """Return the parameters with which a player adds a shot's grain to the output."""
        if grain is None or self.encoding is None:
            return None
        codes = plane_codes(self.encoding.color, self.encoding.pix_fmt)
        return film_grain_of(grain, (self.size.height, self.size.width), codes)

    @property
    def grain_table(self) -> Path | None:
        """The file beside the output with the grain that the player adds; None: it adds none."""
        return self.output.with_suffix(".grain.tbl") if self.config.grain_table else None

    @property
    def repairs(self) -> RepairPlan:
        """The repairs that the config asks for."""
        return repair_plan(self.config)

    @property
    def repair_pictures(self) -> RepairPictures:
        """The pictures that these repairs take from folders, none of them used yet."""
        return RepairPictures.of(self.config)

    @property
    def span(self) -> TimeRange:
        """The part of the source that the config asks for."""
        length = self.config.duration
        exact = None if length is None else exact_seconds(length)
        return source_range(self.info, exact_seconds(self.config.start), exact)

    @property
    def expected_frames(self) -> int | None:
        """The number of frames of this part, as far as the container tells; an estimate."""
        info, start, length = self.info, exact_seconds(self.config.start), self.config.duration
        whole, count, rate = info.duration, info.frame_count, info.average_rate
        if not whole or rate is None:
            return count
        if count is None:
            count = round(whole * rate)
        end = whole if length is None else min(start + exact_seconds(length), whole)
        last = count if end == whole else min(ceil(end * rate), count)
        return max(0, last - ceil(start * rate))


def _check_pictures(info: VideoInfo, config: UpscaleConfig) -> None:
    """Raise InputError where the texture is a folder of pictures, none of them of this film."""
    name = config.texture_model
    if name is not None and is_picture_folder(name):
        seconds = None if info.duration is None else float(info.duration)
        KeyPictures(Path(name)).check_within(frames=info.frame_count, seconds=seconds)


def _check_crop(config: UpscaleConfig) -> None:
    """Raise ConfigError where the crop of SeedVR's makers is asked for with another model."""
    if config.seedvr_crop is not None and not makes_any_size(config.model):
        raise ConfigError(
            f"seedvr_crop = {config.seedvr_crop} is for SeedVR, and {config.model} is another "
            "model: leave it out"
        )


def _guides_identity(config: UpscaleConfig) -> Identity:
    """Return the content of the pictures of guides."""
    found = dict[str, Any]()
    for guide in parse_guides(config.guide):
        if guide.path is not None:
            found.update(files_identity(f"the guide {guide.name}", guide.path))
    return found


def _folder(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _check_fields(info: VideoInfo, config: UpscaleConfig) -> None:
    """Raise InputError where fields would stay woven, as the two of a frame move apart."""
    if not config.repairs or config.deinterlace != "off" or info.is_image_folder:
        return
    fields = fields_of(info.path)
    if fields.kind != "progressive":
        raise InputError(
            f"{info.path} is {fields}, and repairs need whole frames: leave out --deinterlace off"
        )
