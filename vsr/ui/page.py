"""The page: settings, films and results, laid out with gradio; all work is jobs of vsr."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from vsr.config import DEFAULT_MODEL, Deinterlace
from vsr.errors import VsrError
from vsr.ui.films import Film, FilmStore, Task
from vsr.ui.rows import film_rows, model_facts, progress_bar, result
from vsr.ui.settings import SIZES, Settings, command_line
from vsr.ui.tasks import TaskQueue, ask_now

_HERE = Path(__file__).parent
_CODECS = ("x264", "x265", "av1", "prores", "ffv1")
_TASKS: tuple[Task, ...] = ("preview", "plan", "film")
_SECONDS_BETWEEN = 1.0
REPAIR_LABELS = {
    "weave": "weave: the picture moves in the gate",
    "flicker": "flicker: the brightness pulses",
    "dust": "dust: specks of one frame",
    "grain": "grain: taken out before, given back after",
    "scratches": "scratches: vertical lines that stay",
    "fading": "fading: colours that have gone",
    "holes": "holes: regions lost for some frames",
}
"""The repairs on the page; those by pictures of single frames are of the command line alone."""
STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
THEME = gr.themes.Default(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "Consolas", "monospace"]
)
"""The look of gradio with the fonts of the system: no font is loaded from anywhere."""
_TITLE = """
<header class="vsr-title"><h1>vsr</h1>
<p>A video goes in; the same video comes out larger and clean, with its sound and its timing.</p>
</header>
"""
_CLICKS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-act]');
  if (button) trigger('click', {act: button.dataset.act, film: button.dataset.film});
});
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """The parts of the page that a tab shows, so that only what changed is sent to it."""

    rows: str = ""
    progress: str = ""
    result: str = ""


class Page:
    """The actions of the page: one method for each of its events."""

    def __init__(
        self, store: FilmStore, queue: TaskQueue, models: Sequence[Mapping[str, Any]]
    ) -> None:
        self._store, self._queue = store, queue
        self.models = {str(model["name"]): model for model in models}

    def add_sample(self) -> str:
        """Add the sample clip of vsr, and return its id."""
        sample = Path(str(files("vsr") / "assets" / "sample.mp4"))
        film_id = self._store.new_id()
        path = self._store.source(film_id, sample.name)
        shutil.copyfile(sample, path)
        facts = ask_now({"task": "info", "source": str(path)})
        self._store.add(Film(film_id, sample.name, facts))
        return film_id

    def uploaded(self, event: gr.EventData) -> str:
        """Return the id of a film that was uploaded, to show it."""
        return str(event.film)

    def act(self, event: gr.EventData, shown: str, *choices: Any) -> str:
        """Do what a button of a film says, and return the id of the film to show."""
        act, film_id = str(event.act), str(event.film)
        film = self._store.get(film_id)
        if film is None:
            return shown
        if act == "cancel":
            self._queue.cancel(film_id)
        elif act == "remove":
            self._queue.remove(film_id)
        elif act == "resume" and film.task is not None:
            self._queue.ask(film_id, film.task, film.options)
        elif act in _TASKS:
            self._queue.ask(film_id, act, _options(choices))
        return film_id

    def look(self, shown: str, seen: Seen) -> tuple[Any, Any, Any, Seen]:
        """Return rows, progress and result where a tab does not show them yet."""
        films = self._store.films()
        now = Seen(
            film_rows(films, shown),
            progress_bar(self._queue.progress, films),
            result(self._store.get(shown)),
        )
        changed = [
            value if value != old else gr.skip()
            for value, old in ((getattr(now, f.name), getattr(seen, f.name)) for f in fields(Seen))
        ]
        return changed[0], changed[1], changed[2], now

    def command(self, shown: str, *choices: Any) -> str:
        """Return the command line that is equal to the settings, or their error."""
        film = self._store.get(shown)
        try:
            return command_line(
                "FILM" if film is None else film.name, Settings.of(choices).options()
            )
        except VsrError as error:
            return f"# {error}"

    def facts(self, model: str) -> str:
        """Return the facts of a model."""
        return model_facts(self.models[model]) if model in self.models else ""


def build(page: Page, *, most_bytes: int) -> gr.Blocks:
    """Return the page; it is served by `vsr.ui.server`."""
    with gr.Blocks(title="vsr", analytics_enabled=False, fill_width=True) as blocks:
        shown, seen = gr.State(""), gr.State(Seen())
        gr.HTML(_TITLE)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=340):
                drop = gr.HTML(
                    _read("drop.html").replace("MOST", str(most_bytes)),
                    js_on_load=_read("upload.js"),
                )
                running = gr.HTML(elem_classes="vsr-quiet-block")
                rows = gr.HTML(js_on_load=_CLICKS)
            with gr.Column(scale=2, min_width=320):
                choices = _settings(page)
                command = gr.Code(
                    page.command("", *Settings().values()),
                    label="The equal command line",
                    language="shell",
                    interactive=False,
                    lines=2,
                    wrap_lines=True,
                    show_line_numbers=False,
                    buttons=["copy"],
                )
        outcome = gr.HTML(elem_classes="vsr-quiet-block")
        look: dict[str, Any] = {
            "fn": page.look,
            "inputs": [shown, seen],
            "outputs": [rows, running, outcome, seen],
        }
        say: dict[str, Any] = {"fn": page.command, "inputs": [shown, *choices], "outputs": command}
        quiet: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": None,
        }
        for event in (
            drop.upload(page.uploaded, None, shown, **quiet),
            drop.click(page.add_sample, None, shown, **quiet),
            rows.click(page.act, [shown, *choices], shown, **quiet),
        ):
            event.then(**look, **quiet).then(**say, **quiet)
        for choice in choices:
            choice.change(**say, **quiet)
        gr.Timer(_SECONDS_BETWEEN).tick(**look, **quiet)
        blocks.load(**look, **quiet)
    return blocks


def _settings(page: Page) -> list[Any]:
    """Lay out the settings, in the order of the fields of Settings."""
    here = [name for name, model in page.models.items() if model["path"] is not None]
    default = Settings()
    with gr.Group():
        model = gr.Dropdown(here, value=DEFAULT_MODEL, label="Model", filterable=False)
        facts = gr.HTML(page.facts(DEFAULT_MODEL), elem_classes="vsr-model-block")
        size = gr.Dropdown(
            list(SIZES), value=SIZES[0], label="Size of the output", allow_custom_value=True
        )
    with gr.Group():
        repairs = gr.CheckboxGroup(
            [(label, name) for name, label in REPAIR_LABELS.items()],
            label="Repairs of old films",
        )
        only = gr.Checkbox(label="Only repair, and keep the size")
    with gr.Accordion("More settings", open=False):
        start = gr.Textbox(label="Start", placeholder="0:10", max_length=20)
        duration = gr.Textbox(label="Length", placeholder="to the end", max_length=20)
        strength = gr.Slider(
            0, 100, default.texture_strength, step=1, label="Strength of the carried texture"
        )
        codec = gr.Dropdown(
            [("by the name of the film", ""), *((one, one) for one in _CODECS)],
            value="",
            label="Codec",
            filterable=False,
        )
        crf = gr.Textbox(label="CRF: 0 is best", placeholder="the codec's", max_length=2)
        lossless = gr.Checkbox(label="Lossless: FFV1 in RGB")
        fields_of = gr.Dropdown(
            list(get_args(Deinterlace)),
            value=default.deinterlace,
            label="Deinterlacing",
            filterable=False,
        )
        tolerant = gr.Checkbox(label="Accept a damaged film: upscale the frames that decode")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    model.change(page.facts, model, facts, **quiet)
    choices = [model, size, repairs, only, start, duration, strength, codec, crf, lossless]
    return [*choices, fields_of, tolerant]


def _options(choices: Sequence[Any]) -> dict[str, Any]:
    """Return the options of a run. Raises the error that gradio shows."""
    try:
        return Settings.of(choices).options()
    except VsrError as error:
        raise gr.Error(escape(str(error))) from error


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
