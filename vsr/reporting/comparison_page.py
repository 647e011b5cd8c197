"""The page of a comparison: the viewer, crops, profiles, curves, maps, and a table of the films."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from vsr.reporting.charts import line_chart
from vsr.reporting.films import Film, Films, Picture, resized
from vsr.reporting.page import Section, block, page, table
from vsr.reporting.pictures import Box, cropped, difference_map, flow_maps
from vsr.reporting.viewer import View, viewer
from vsr.reporting.watch import Moment, Watch

_PAGE_PIXELS = 25_000_000  # of the viewer, at about 2 bytes each: a larger page opens slowly
_MAP_WIDTH = 960  # pixels: maps have no fine detail
_PROFILE_HEIGHT = 160  # pixels: the least, by repeating rows


def comparison_page(
    films: Films, watch: Watch, boxes: Sequence[Box], *, title: str, more: Sequence[str] = ()
) -> str:
    """Return the page of films that `watch` has seen; `boxes` are the crops of its main moment.

    `more` are blocks of HTML that follow the viewer.
    """
    moments = _shown_moments(films, watch)
    main = moments.index(watch.main)
    views = [View(caption(films, moment), moment.frames) for moment in moments]
    stretch = float(films.pixel_aspect)
    body = [
        viewer(views, films.labels, stretch=stretch, main=main),
        *more,
        _crops(films, watch.main, boxes, main),
        str(_profiles(films, watch)),
        _curves(films, watch),
        str(_differences(films, watch.main)),
        *(str(section) for section in _flows(films, watch.main)),
        block("The films", "", _facts(films)),
    ]
    frames = "1 frame" if watch.count == 1 else f"{watch.count} frames"
    subtitle = (
        f"{len(films.films)} versions of a film, {frames} of {films.size[0]} × {films.size[1]}"
    )
    return page(title, subtitle, body, script=True)


def _shown_moments(films: Films, watch: Watch) -> list[Moment]:
    """As many of the moments as the page has room for; the one that differs most is among them."""
    pixels = films.size[0] * films.size[1] * len(films.films)
    most = max(1, _PAGE_PIXELS // pixels)
    best = sorted(watch.moments, key=lambda moment: -moment.score)[:most]
    return [moment for moment in watch.moments if moment in best]


def caption(films: Films, moment: Moment) -> str:
    """Return the number and the time of a moment."""
    info = films.infos[0]
    return f"frame {moment.number}, {_clock((moment.pts - info.start_pts) * info.time_base)}"


def _clock(seconds: Fraction) -> str:
    minutes, rest = divmod(float(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def _crops(films: Films, moment: Moment, boxes: Sequence[Box], main: int) -> str:
    width, height = films.size
    text = f"Frame {moment.number} at 200 %: each pixel is a square of four."
    return block(
        "Where they differ most",
        text,
        "".join(
            f'<div class="head"><h3>{w} × {h} at {x}, {y}</h3><button type="button" '
            f'data-box="{(x + w / 2) / width:.4f},{(y + h / 2) / height:.4f},{main}">'
            "Show in the viewer</button></div>"
            + Section(
                f"Crop {x},{y},{w},{h}",
                "",
                tuple(
                    (label, cropped(one, (x, y, w, h)))
                    for label, one in zip(films.labels, moment.frames, strict=True)
                ),
                stretch=float(films.pixel_aspect),
            ).figures_html()
            for x, y, w, h in boxes
        ),
    )


def _profiles(films: Films, watch: Watch) -> Section:
    step = watch.profiles[0].step
    every = "every frame" if step == 1 else f"each frame in {step}"
    return Section(
        "Temporal profile",
        f"Row {watch.row} of {every}, from the first frame at the top to the last: smooth lines "
        "are steady, jagged ones flicker.",
        tuple(
            (label, _tall(np.stack(kept.entries)))
            for label, kept in zip(films.labels, watch.profiles, strict=True)
        ),
        is_stacked=True,
    )


def _tall(profile: Picture) -> Picture:
    return profile.repeat(-(-_PROFILE_HEIGHT // profile.shape[0]), axis=0)


def _curves(films: Films, watch: Watch) -> str:
    ends = ("frame 0", f"frame {watch.count - 1}")
    changes = [
        (f"{label} against {films.labels[0]}", kept.entries)
        for label, kept in zip(films.labels[1:], watch.differences, strict=True)
    ]
    levels = [
        (label, kept.entries) for label, kept in zip(films.labels, watch.brightness, strict=True)
    ]
    return block(
        "Difference over time",
        "Mean absolute difference of a frame, in levels of 255: peaks are worth a look.",
        line_chart(changes, ends=ends),
    ) + block(
        "Brightness over time",
        "Mean brightness of a frame, in levels of 255: a ragged line is flicker.",
        line_chart(levels, ends=ends),
    )


def _differences(films: Films, moment: Moment) -> Section:
    maps = [
        (f"{label} against {films.labels[0]}", _small(difference_map(moment.frames[0], other)))
        for label, other in zip(films.labels[1:], moment.frames[1:], strict=True)
    ]
    return Section(
        "Difference",
        f"Frame {moment.number}, absolute difference times 4: dark is equal.",
        tuple(maps),
        stretch=float(films.pixel_aspect),
    )


def _flows(films: Films, moment: Moment) -> list[Section]:
    """The motion at a moment; nothing for films of a single frame."""
    if moment.neighbours is None:
        return []
    if moment.number == 0:
        way, ends = "to the frame after", (moment.frames, moment.neighbours)
    else:
        way, ends = "from the frame before", (moment.neighbours, moment.frames)
    maps, longest = flow_maps(*ends)
    text = (
        f"Motion {way}, by DIS: hue is direction, brightness is length up to {longest:.1f} pixels."
    )
    figures = zip(films.labels, map(_small, maps), strict=True)
    return [Section("Flow", text, tuple(figures), stretch=float(films.pixel_aspect))]


def _small(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    if width <= _MAP_WIDTH:
        return picture
    return resized(picture, (_MAP_WIDTH, max(1, round(height * _MAP_WIDTH / width))))


def _facts(films: Films) -> str:
    headings = ("Film", "Pixels", "Format", "Frames", "Rate", "Size on disk")
    return table(headings, [_fact(*pair) for pair in zip(films.labels, films.films, strict=True)])


def _fact(label: str, film: Film) -> tuple[str, ...]:
    info = film.info
    files = info.path.iterdir() if info.is_image_folder else (info.path,)
    rate = "unknown" if info.average_rate is None else f"{float(info.average_rate):.3f} frames/s"
    return (
        label,
        f"{film.size[0]} × {film.size[1]}",
        f"{info.codec}, {info.pix_fmt}",
        "unknown" if info.frame_count is None else str(info.frame_count),
        rate,
        f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB",
    )
