"""The page in a real browser: upload, preview, upscale, download, queue, cancel, errors."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ui.conftest import Served

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SAMPLE = Path(__file__).parents[2] / "vsr" / "assets" / "sample.mp4"


@pytest.fixture
def tab(served: Served) -> Iterator[Any]:
    """The page in a tab, which may load from nowhere else."""
    if BROWSER is None:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        tab.set_default_timeout(60_000)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(served.address)
        yield tab
        hosts = {urlsplit(url).hostname for url in asked if url.startswith("http")}
        browser.close()
    assert hosts == {"127.0.0.1"}


def choose_tiny(tab: Any) -> None:
    """Choose the tiny model, as a person does."""
    tab.get_by_label("Model", exact=True).click()
    tab.get_by_role("option", name="tiny").click()
    tab.get_by_text("a model of yours").wait_for()


def test_a_film_goes_in_and_the_same_film_comes_out_larger(
    served: Served, tab: Any, source: Path, tmp_path: Path
) -> None:
    from vsr.cli import main

    choose_tiny(tab)
    tab.locator("input[type=file]").set_input_files(source)
    tab.get_by_role("button", name="Preview 2 s: clip.mp4").click()
    frame = tab.frame_locator("iframe")
    divider = frame.locator("#divider")
    divider.wait_for()
    before = frame.locator(".handle").get_attribute("style")
    divider.fill("20")
    assert frame.locator(".handle").get_attribute("style") != before
    frame.get_by_role("heading", name="Temporal profile").wait_for()

    tab.get_by_role("button", name="Plan: clip.mp4").click()
    tab.locator("table.vsr-plan").get_by_text("frames/s)").wait_for()

    tab.get_by_role("button", name="Upscale: clip.mp4").click()
    link = tab.locator("a.vsr-button[download]")
    link.wait_for()
    with tab.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "clip_x4.mp4"
    own = tmp_path / "own"
    own.mkdir()
    (own / "clip.mp4").write_bytes(source.read_bytes())
    line = tab.locator(".cm-content").inner_text().split()
    assert line == ["vsr", "upscale", "clip.mp4", "--model", "tiny"]
    assert main(["upscale", str(own / "clip.mp4"), "--model", "tiny"]) == 0
    assert Path(download.value.path()).read_bytes() == (own / "clip_x4.mp4").read_bytes()
    with tab.expect_popup() as report:
        tab.get_by_role("link", name="Report").click()
    report.value.get_by_text("Report on clip_x4.mp4").first.wait_for()

    tab.get_by_role("button", name="Remove: clip.mp4").click()
    tab.get_by_text("No films yet").wait_for()
    assert [path.name for path in served.store.folder.iterdir()] == ["page.lock"]


def test_a_second_film_queues_and_cancel_stops_the_first(served: Served, tab: Any) -> None:
    tab.get_by_text("Try the sample clip").click()
    tab.get_by_role("button", name="Upscale: sample.mp4").click()
    tab.get_by_text("film is being made").wait_for()
    tab.get_by_text("Try the sample clip").click()
    tab.get_by_role("button", name="Upscale: sample.mp4").click()
    tab.get_by_text("film waits").wait_for()
    first, second = served.store.films()
    assert (first.state, second.state) == ("running", "waiting")
    tab.locator(f"button[data-act=cancel][data-film='{second.id}']").click()
    tab.get_by_text("taken out of the queue").wait_for()
    began = time.monotonic()
    tab.locator(f"button[data-act=cancel][data-film='{first.id}']").click()
    tab.get_by_text("stopped; finished work is kept").wait_for()
    assert time.monotonic() - began < 4  # 2 s, and a look of the page each second
    tab.get_by_role("button", name="Resume: sample.mp4").first.wait_for()


def test_a_broken_file_is_one_line_and_a_second_tab_shows_the_same(
    served: Served, tab: Any, tmp_path: Path, source: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(bytes(5000))
    tab.locator("input[type=file]").set_input_files(bad)
    alert = tab.get_by_role("alert").filter(has_text="bad.mp4")
    alert.wait_for()
    assert "Traceback" not in alert.inner_text()
    assert served.store.films() == []
    tab.locator("input[type=file]").set_input_files(source)
    tab.get_by_role("button", name="Upscale: clip.mp4").wait_for()
    other = tab.context.new_page()
    other.goto(served.address)
    other.get_by_role("button", name="Upscale: clip.mp4").wait_for()


def test_settings_that_no_run_can_have_are_said(tab: Any, source: Path) -> None:
    tab.locator("input[type=file]").set_input_files(source)
    tab.get_by_label("Only repair, and keep the size").check()
    tab.locator(".cm-content").get_by_text("nothing is chosen to repair").wait_for()
    tab.get_by_role("button", name="Upscale: clip.mp4").click()
    tab.get_by_text("choose one repair at least").last.wait_for()


def test_the_first_preview_is_two_clicks_away(served: Served, tab: Any) -> None:
    """Opening the address is the third."""
    tab.get_by_text("Try the sample clip").click()
    tab.get_by_role("button", name="Preview 2 s: sample.mp4").click()
    tab.get_by_text("preview is being made").wait_for()
    assert [film.task for film in served.store.films()] == ["preview"]
