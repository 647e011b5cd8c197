"""The page in a browser: slider, keys, views, moments, phones."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from tests.reporting.films import film
from vsr.reporting.batch_page import FilmEntry, write_batch_page
from vsr.reporting.compare import compare

BROWSER = shutil.which("chromium")

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="chromium is not installed"),
    pytest.mark.slow,
]

STATE = """
const key = (key, more) => document.body.dispatchEvent(
  new KeyboardEvent('keydown', {key, bubbles: true, ...more}));
const state = () => ({
  view: chosen('view'), zoom: chosen('zoom'),
  left: +get('before').value, right: +get('after').value,
  divider: +get('divider').value, shown: panes.map(pane => !pane.hidden),
  moment: moments.findIndex(button => button.getAttribute('aria-pressed') === 'true'),
});
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    films = [film(folder / name, spot=name == "b") for name in "abc"]
    return compare(films, folder / "out").page


def dumped(page: Path) -> str:
    """The elements of a page after its script ran."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent}/user"]
    command = [BROWSER, *options, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


def after(page: Path, actions: str) -> dict[str, object]:
    """The state of the viewer after `actions` in JavaScript."""
    script = f"{STATE}{actions};document.body.dataset.state = JSON.stringify(state());"
    changed = page.with_name("actions.html")
    code = f"<script>addEventListener('load', () => {{{script}}})</script></body>"
    changed.write_text(page.read_text().replace("</body>", code))
    found = re.search(r'data-state="([^"]*)"', dumped(changed))
    assert found
    return json.loads(unescape(found[1]))


def test_the_slider_clips_the_right_film_in_the_middle(page: Path) -> None:
    elements = dumped(page)
    assert 'class="pane after"' in elements
    assert "inset(0px 0px 0px 50%)" in elements


def test_keys_move_the_divider_and_choose_films(page: Path) -> None:
    keys = (
        "key('ArrowRight'); key('3', {code: 'Digit3'}); key('@', {code: 'Digit2', shiftKey: true})"
    )
    state = after(page, keys)
    assert (state["divider"], state["left"], state["right"]) == (52, 1, 2)
    assert state["shown"] == [False, True, True]


def test_space_swaps_left_and_right(page: Path) -> None:
    state = after(page, "key(' ')")
    assert (state["left"], state["right"]) == (1, 0)


def test_flip_shows_one_film_and_space_the_other(page: Path) -> None:
    assert after(page, "key('f')")["shown"] == [True, False, False]
    assert after(page, "key('f'); key(' ')")["shown"] == [False, True, False]


def test_the_grid_shows_all_films_and_zooms(page: Path) -> None:
    state = after(page, "key('g'); key('z')")
    assert (state["shown"], state["zoom"]) == ([True] * 3, "1")


def test_a_crop_is_shown_in_the_viewer_at_200_percent(page: Path) -> None:
    assert after(page, "document.querySelector('[data-box]').click()")["zoom"] == "2"


def test_keys_go_through_the_moments(page: Path) -> None:
    first, second = (after(page, action)["moment"] for action in ("", "key('n')"))
    assert isinstance(first, int)
    assert second == (first + 1) % 3


def on_a_phone(page: Path) -> str:
    """The elements of a page that shows another in 360 pixels, and whose title is the overflow."""
    phone = page.with_name("phone.html")
    state = page.with_name("state.html")
    size = "document.documentElement"
    report = f"parent.postMessage({size}.scrollWidth - {size}.clientWidth, '*')"
    code = f"<script>addEventListener('load', () => {{{report}}})</script></body>"
    state.write_text(page.read_text().replace("</body>", code))
    phone.write_text(
        "<script>onmessage = event => { document.title = event.data; }</script>"
        f'<iframe src="{state.name}" style="width:360px;height:640px;border:0"></iframe>'
    )
    return dumped(phone)


def test_nothing_is_wider_than_a_phone(page: Path) -> None:
    assert "<title>0</title>" in on_a_phone(page)


def test_the_index_of_a_batch_is_no_wider_than_a_phone(tmp_path: Path) -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    name = f"{'folder/' * 9}{'film' * 9}.mkv"
    entries = [FilmEntry(name, f"failed: {name * 3}"), FilmEntry(name, "done", "a.html", picture)]
    index = tmp_path / "report.html"
    write_batch_page(index, entries, [name * 3], title="Report on films", summary="1 of 2 done")
    assert "<title>0</title>" in on_a_phone(index)
