"""The viewer of a page: versions of one frame with a slider, flip, grid and difference view."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vsr.reporting.films import Picture, resized
from vsr.reporting.page import image

_VIEWS = (("slider", "Slider"), ("flip", "Flip"), ("grid", "Grid"), ("difference", "Difference"))
_ZOOMS = (("fit", "Fit"), ("1", "100%"), ("2", "200%"), ("4", "400%"))
_THUMBNAIL = 120  # pixels across
_KEYS = (
    ("← →", "move the divider"),
    ("Space", "swap left and right"),
    ("1 … 8", "choose the right film; with Shift the left one"),
    ("S F G D", "slider, flip, grid, difference"),
    ("Z", "next zoom"),
    ("N P", "next and previous moment"),
)


@dataclass(frozen=True, slots=True)
class View:
    """A moment of the viewer: its caption, and the frame of each film."""

    caption: str
    frames: tuple[Picture, ...]


def viewer(views: Sequence[View], labels: Sequence[str], *, stretch: float, main: int = 0) -> str:
    """Return the viewer, which shows moment `main` first; the page needs its script.

    `stretch` is the width of a pixel over its height.
    """
    height, width = views[0].frames[0].shape[:2]
    panes = "".join(
        _pane(number, label, [view.frames[number] for view in views], main)
        for number, label in enumerate(labels)
    )
    return (
        f'<section class="viewer" aria-label="Viewer" data-stretch="{stretch:.6g}">'
        f'<div class="bar">{_choices("view", "View", _VIEWS)}{_choices("zoom", "Zoom", _ZOOMS)}'
        f'<div class="films">{_select("before", "Left", labels, 0)}'
        '<button type="button" id="swap" title="Swap left and right (Space)" '
        'aria-label="Swap left and right">⇄</button>'
        f"{_select('after', 'Right', labels, 1)}</div></div>"
        f'<div class="stage" tabindex="0" style="--shape:{width * stretch / height:.6g}" '
        f'aria-label="Picture; the keys are listed below">{panes}'
        '<div class="handle"><span></span></div></div>'
        '<input id="divider" type="range" min="0" max="100" step="0.5" value="50" '
        'aria-label="Position of the divider in percent">'
        f"{_moments(views, main)}{_keys()}"
        "<noscript><p>The viewer needs JavaScript; the pictures below do not.</p></noscript>"
        "</section>\n"
    )


def _pane(number: int, label: str, frames: Sequence[Picture], main: int) -> str:
    images = "".join(
        image(frame, label, "" if moment == main else " hidden")
        for moment, frame in enumerate(frames)
    )
    return (
        f'<div class="pane" data-film="{number}"><div class="scroll">{images}</div>'
        f'<span class="name">{escape(label)}</span></div>'
    )


def _choices(name: str, title: str, options: Sequence[tuple[str, str]]) -> str:
    radios = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"'
        f"{' checked' if number == 0 else ''}><span>{text}</span></label>"
        for number, (value, text) in enumerate(options)
    )
    return f'<fieldset class="choice"><legend>{title}</legend>{radios}</fieldset>'


def _select(name: str, title: str, labels: Sequence[str], chosen: int) -> str:
    options = "".join(
        f'<option value="{number}"{" selected" if number == chosen else ""}>'
        f"{escape(label)}</option>"
        for number, label in enumerate(labels)
    )
    return f'<label><span>{title}</span><select id="{name}">{options}</select></label>'


def _moments(views: Sequence[View], main: int) -> str:
    if len(views) == 1:
        return f'<p class="when">{escape(views[0].caption)}</p>'
    buttons = "".join(
        f'<button type="button" data-moment="{number}" aria-pressed='
        f'"{"true" if number == main else "false"}">{_thumbnail(view)}'
        f"<span>{escape(view.caption)}</span></button>"
        for number, view in enumerate(views)
    )
    return f'<div class="moments" role="group" aria-label="Moments">{buttons}</div>'


def _thumbnail(view: View) -> str:
    frame = view.frames[-1]
    height = max(1, round(_THUMBNAIL * frame.shape[0] / frame.shape[1]))
    return image(resized(frame, (_THUMBNAIL, height)), "")


def _keys() -> str:
    rows = "".join(f"<dt>{key}</dt><dd>{escape(what)}</dd>" for key, what in _KEYS)
    return f"<details><summary>Keys</summary><dl>{rows}</dl></details>"
