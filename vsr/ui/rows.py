"""The films of the page, their progress and their results as HTML."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from vsr.ui.films import Film
from vsr.ui.tasks import Progress

_NOTHING = '<p class="vsr-empty">No films yet. They stay on this machine until you remove them.</p>'


def film_rows(films: list[Film], shown: str) -> str:
    """Return the list of films, the newest first, with a button for each thing to do."""
    if not films:
        return _NOTHING
    rows = "".join(_row(film, is_shown=film.id == shown) for film in reversed(films))
    return f'<ul class="vsr-films">{rows}</ul>'


def progress_bar(progress: Progress | None, films: list[Film]) -> str:
    """Return the running task with its bar; nothing if none runs."""
    if progress is None:
        return ""
    name = next((film.name for film in films if film.id == progress.film_id), "")
    percent = "" if progress.share is None else f' value="{100 * progress.share:.1f}"'
    words = "looking at it" if progress.task == "plan" else progress.words
    return (
        f'<div class="vsr-running"><span>{escape(progress.task.capitalize())} of '
        f"<b>{escape(name)}</b></span><span>{escape(words)}</span>"
        f'<progress max="100"{percent} aria-label="Progress"></progress></div>'
    )


def model_facts(model: Mapping[str, Any]) -> str:
    """Return use, licence, speed and memory of a model, as `vsr models` has them."""
    rows = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(str(model[key]))}</dd>"
        for key in ("use", "licence", "speed", "memory")
    )
    return f'<dl class="vsr-model">{rows}</dl>'


def result(film: Film | None) -> str:
    """Return the plan and the preview of a film, or a hint."""
    if film is None:
        return ""
    parts = list(_results(film))
    return f'<section class="vsr-result">{"".join(parts)}</section>' if parts else ""


def _results(film: Film) -> Iterator[str]:
    name = escape(film.name)
    if film.plan:
        yield f"<h3>Plan of {name}</h3>{_plan(film.plan)}"
    if film.preview:
        address = f"/films/{film.id}/preview"
        yield (
            f'<h3>Preview of {name} <a href="{address}" target="_blank" rel="noopener">'
            f'open in a tab of its own</a></h3><iframe src="{address}?of={film.asked}" '
            f'title="Preview of {name}" sandbox="allow-scripts allow-downloads"></iframe>'
        )


def _plan(text: str) -> str:
    """Return the rows of a plan as a table; a row is a word, and a sentence about it."""
    pairs = (line.strip().partition("  ") for line in text.splitlines())
    rows = "".join(
        f'<tr><th scope="row">{escape(head)}</th><td>{escape(rest.strip())}</td></tr>'
        for head, _, rest in pairs
    )
    return f'<table class="vsr-plan"><tbody>{rows}</tbody></table>'


def _row(film: Film, *, is_shown: bool) -> str:
    state = f'<span class="vsr-state vsr-is-{film.state}">{escape(_state(film))}</span>'
    line = f'<p class="vsr-line">{escape(film.line)}</p>' if film.line else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in film.notes)
    if notes:
        count = "1 note" if len(film.notes) == 1 else f"{len(film.notes)} notes"
        notes = f"<details><summary>{count} of the run</summary><ul>{notes}</ul></details>"
    current = ' aria-current="true"' if is_shown else ""
    return (
        f'<li{current}><div class="vsr-head"><b>{escape(film.name)}</b>{state}</div>'
        f'<p class="vsr-facts">{escape(film.facts)}</p>{line}{notes}'
        f'<div class="vsr-buttons">{"".join(_buttons(film))}</div></li>'
    )


def _state(film: Film) -> str:
    task = film.task or ""
    return {
        "added": "ready",
        "waiting": f"{task} waits",
        "running": f"{task} is being made",
        "done": f"{task} is done",
        "failed": f"{task} failed",
        "stopped": f"{task} stopped",
    }[film.state]


def _buttons(film: Film) -> Iterator[str]:
    if film.output:
        yield _link(film, "output", "Download", "vsr-main")
    if film.report:
        yield _link(film, "report", "Report", "")
    if film.state in ("waiting", "running"):
        yield _button(film, "cancel", "Cancel", "vsr-stop")
    else:
        if film.state in ("stopped", "failed"):
            yield _button(film, "resume", "Resume" if film.state == "stopped" else "Try again", "")
        yield _button(film, "preview", "Preview 2 s", "" if film.output else "vsr-main")
        yield _button(film, "plan", "Plan", "")
        yield _button(film, "film", "Upscale", "")
    if film.plan or film.preview:
        yield _button(film, "show", "Show", "")
    yield _button(film, "remove", "Remove", "vsr-quiet")


def _button(film: Film, act: str, text: str, kind: str) -> str:
    label = escape(f"{text}: {film.name}")
    return (
        f'<button type="button" class="{kind}" data-act="{act}" data-film="{film.id}" '
        f'aria-label="{label}">{escape(text)}</button>'
    )


def _link(film: Film, what: str, text: str, kind: str) -> str:
    way = "download" if what == "output" else 'target="_blank" rel="noopener"'
    return f'<a class="vsr-button {kind}" href="/films/{film.id}/{what}" {way}>{escape(text)}</a>'
