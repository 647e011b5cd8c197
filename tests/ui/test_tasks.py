"""The queue of the page, with the processes that do its tasks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vsr.errors import InputError
from vsr.ui.films import Film, FilmStore, State
from vsr.ui.settings import Settings
from vsr.ui.tasks import TaskQueue, ask_now

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "vsr" / "assets" / "sample.mp4"
REPAIR = Settings(only_repair=True, repairs=["flicker"]).options()


@pytest.fixture
def store(tmp_path: Path) -> FilmStore:
    return FilmStore(tmp_path / "page")


@pytest.fixture
def queue(store: FilmStore) -> Iterator[TaskQueue]:
    queue = TaskQueue(store)
    yield queue
    queue.close()


def added(store: FilmStore, film: Path, name: str = "film.mp4") -> str:
    film_id = store.new_id()
    store.source(film_id, name).write_bytes(film.read_bytes())
    store.add(Film(film_id, name, "a film"))
    return film_id


def wait(store: FilmStore, film_id: str, *states: State, seconds: float = 120) -> Film:
    return until(lambda: (film := store.get(film_id)) and film.state in states and film, seconds)


def until(found: Callable[[], object], seconds: float = 120) -> Film:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if film := found():
            return film  # type: ignore[return-value]
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_what_a_film_is_comes_from_a_process_of_its_own(source: Path) -> None:
    facts = ask_now({"task": "info", "source": str(source)})
    assert facts.startswith("32 × 24, h264, 23.976 frames/s, 0:00.")


def test_a_file_that_is_no_video_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "film.mp4"
    bad.write_bytes(bytes(5000))
    with pytest.raises(InputError) as caught:
        ask_now({"task": "info", "source": str(bad)})
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.slow
def test_the_page_makes_the_bytes_of_the_command(
    store: FilmStore, queue: TaskQueue, source: Path, tmp_path: Path
) -> None:
    from vsr.cli import main

    film_id = added(store, source, "clip.mp4")
    queue.ask(film_id, "film", REPAIR)
    film = wait(store, film_id, "done", "failed")
    assert film.state == "done", film.line
    own = tmp_path / "own"
    own.mkdir()
    (own / "clip.mp4").write_bytes(source.read_bytes())
    assert main(["restore", str(own / "clip.mp4"), "--restore", "flicker"]) == 0
    made = store.result(film, film.output)
    assert made is not None
    assert made.read_bytes() == (own / "clip_restored.mp4").read_bytes()
    assert store.result(film, film.report) is not None
    assert str(store.folder) not in film.line


@pytest.mark.slow
def test_a_second_film_waits_and_previews_go_before_films(
    store: FilmStore, queue: TaskQueue, source: Path
) -> None:
    first, second, third = (added(store, source, f"{n}.mp4") for n in range(3))
    queue.ask(first, "film", REPAIR)
    wait(store, first, "running")
    queue.ask(second, "film", REPAIR)
    queue.ask(third, "preview", REPAIR)
    states = [film.state for film in store.films()]
    assert states == ["running", "waiting", "waiting"]
    wait(store, third, "running")
    assert wait(store, second, "waiting").state == "waiting"
    assert wait(store, third, "done", "failed").preview.endswith(".preview.html")
    assert wait(store, second, "done", "failed").state == "done"


@pytest.mark.slow
def test_a_cancelled_film_ends_within_two_seconds_and_goes_on_to_the_same_bytes(
    store: FilmStore, queue: TaskQueue, tmp_path: Path
) -> None:
    whole, film_id = added(store, SAMPLE), added(store, SAMPLE)
    options = {"texture": "none", "max_clip_frames": 4}
    queue.ask(film_id, "film", options)
    work = store.output_folder(film_id)
    until(lambda: list(work.glob("*.vsr/*/*")), 300)
    began = time.monotonic()
    queue.cancel(film_id)
    film = wait(store, film_id, "stopped", "done", seconds=5)
    assert time.monotonic() - began < 2.5
    assert film.state == "stopped"
    queue.ask(film_id, "film", options)
    queue.ask(whole, "film", options)
    resumed = wait(store, film_id, "done", "failed", seconds=600)
    other = wait(store, whole, "done", "failed", seconds=600)
    paths = [store.result(one, one.output) for one in (resumed, other)]
    assert paths[0] is not None
    assert paths[1] is not None
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.slow
def test_a_film_goes_on_when_the_page_was_ended_and_starts_again(
    store: FilmStore, source: Path
) -> None:
    film_id = added(store, source)
    first = TaskQueue(store)
    first.ask(film_id, "film", REPAIR)
    wait(store, film_id, "running")
    first.close()
    store.close()
    again = FilmStore(store.folder)
    second = TaskQueue(again)
    try:
        assert wait(again, film_id, "done", "failed").state == "done"
    finally:
        second.close()


@pytest.mark.slow
def test_a_broken_film_fails_in_one_line_and_the_next_is_made(
    store: FilmStore, queue: TaskQueue, source: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(source.read_bytes()[:1500] + bytes(3000))
    bad, good = added(store, broken, "bad.mp4"), added(store, source)
    for film_id in (bad, good):
        queue.ask(film_id, "film", REPAIR)
    film = wait(store, bad, "failed", "done")
    assert film.state == "failed"
    assert film.line
    assert "\n" not in film.line
    assert wait(store, good, "done", "failed").state == "done"


@pytest.mark.slow
def test_removing_a_film_ends_its_task(store: FilmStore, queue: TaskQueue, source: Path) -> None:
    film_id = added(store, source)
    queue.ask(film_id, "film", REPAIR)
    wait(store, film_id, "running")
    queue.remove(film_id)
    assert store.get(film_id) is None
    assert not (store.folder / film_id).exists()


def test_a_task_out_of_the_queue_is_not_made(store: FilmStore, source: Path) -> None:
    store.close()
    still = TaskQueue(store)
    still.close()  # nothing works on it
    film_id = added(store, source)
    still.ask(film_id, "film", {})
    still.ask(film_id, "plan", {})  # one task of a film at a time
    still.cancel(film_id)
    film = store.get(film_id)
    assert film is not None
    assert (film.state, film.task) == ("stopped", "film")


def test_other_settings_begin_a_film_anew(store: FilmStore, source: Path) -> None:
    still = TaskQueue(store)
    still.close()
    film_id = added(store, source)
    still.ask(film_id, "film", {"height": 48})
    still.cancel(film_id)
    part = store.output_folder(film_id) / "film_x4.mp4.vsr"
    part.mkdir()
    still.ask(film_id, "film", {"height": 48})
    assert part.exists()
    still.cancel(film_id)
    still.ask(film_id, "film", {"height": 96})
    assert not part.exists()
