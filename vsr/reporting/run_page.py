"""The page of a run of `vsr upscale`: what was made, how long it took, and how it looks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vsr.reporting.comparison_page import comparison_page
from vsr.reporting.films import Film, Films, Picture, resized
from vsr.reporting.page import block, image, table, warnings_block
from vsr.reporting.pictures import crops_of_difference
from vsr.reporting.watch import Watch
from vsr.runtime.files import write_atomically

_THUMBNAIL = 160  # pixels across
_MOST_THUMBNAILS = 60


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Rows of (name, value) about a run; `shots` are their first frames, counted from the film's.

    `seconds` are those of each stage; stages run side by side, so they may add up to more than the
    run. `streams` are rows of (stream, what became of it).
    """

    rows: Sequence[tuple[str, str]]
    seconds: Mapping[str, float]
    shots: Sequence[int]
    streams: Sequence[tuple[str, str]]
    warnings: Sequence[str]


def write_run_page(films: Sequence[Film], page: Path, facts: RunFacts, *, title: str) -> None:
    """Write the page of the source and the output. An OSError means that it cannot be written."""
    shown = Films.of(films)
    watch = Watch(shown, row=shown.size[1] // 2)
    wanted = _spread(facts.shots, _MOST_THUMBNAILS)
    thumbnails: dict[int, Picture] = {}
    for number, (_, frames) in enumerate(watch.frames()):
        if number in wanted:
            height = max(1, round(_THUMBNAIL / shown.shape))
            thumbnails[number] = resized(frames[-1], (_THUMBNAIL, height))
    boxes = crops_of_difference(watch.main.frames)
    more = list(_blocks(facts, thumbnails))
    write_atomically(page, comparison_page(shown, watch, boxes, title=title, more=more).encode())


def _blocks(facts: RunFacts, thumbnails: Mapping[int, Picture]) -> Iterator[str]:
    yield block("The run", "", table(("", ""), facts.rows))
    yield warnings_block(facts.warnings)
    if facts.streams:
        yield block("Streams", "", table(("Stream", "In the output"), facts.streams))
    if facts.seconds:
        text = "Stages run side by side: together they may take longer than the run."
        yield block("Time", text, _bars(facts.seconds))
    if thumbnails:
        count = len(facts.shots)
        text = "1 shot" if count == 1 else f"{count} shots"
        if count > len(thumbnails):
            text += f", of which {len(thumbnails)} are shown"
        yield block("Shots", f"{text}: the first frame of each.", _strip(thumbnails))


def _bars(seconds: Mapping[str, float]) -> str:
    """A bar for each stage, the longest first."""
    longest = max(*seconds.values(), 1e-9)
    rows = "".join(
        f'<div class="row"><span>{escape(stage)}</span><span class="bar-line">'
        f'<i style="width:{100 * value / longest:.1f}%"></i></span><span>{value:.1f} s</span></div>'
        for stage, value in sorted(seconds.items(), key=lambda item: -item[1])
    )
    return f'<div class="bars">{rows}</div>'


def _strip(thumbnails: Mapping[int, Picture]) -> str:
    figures = "".join(
        f"<figure>{image(picture, caption)}<figcaption>{caption}</figcaption></figure>"
        for caption, picture in ((f"frame {n}", one) for n, one in thumbnails.items())
    )
    return f'<div class="strip">{figures}</div>'


def _spread(numbers: Sequence[int], most: int) -> set[int]:
    """At most `most` of the numbers, evenly spread."""
    if len(numbers) <= most:
        return set(numbers)
    return {numbers[place * len(numbers) // most] for place in range(most)}
