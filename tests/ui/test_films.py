"""The store of the page: names that reach nothing else, records that outlive the page."""

import json
from pathlib import Path

import pytest

from vsr.errors import OutputError
from vsr.ui.films import Film, FilmStore, film_name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("film.mp4", "film.mp4"),
        ("../../etc/passwd.mp4", "passwd.mp4"),
        ("/etc/cron.d/x.mkv", "x.mkv"),
        ("..\\..\\windows\\system.mov", "system.mov"),
        ("a\x00b\n.mp4", "a_b_.mp4"),
        ("-rf.mp4", "rf.mp4"),
        ("CON:<>|.MP4", "CON____.mp4"),
        ("x" * 500 + ".mp4", "x" * 120 + ".mp4"),
        ("Über Öl – Film 1.MKV", "Über Öl – Film 1.mkv"),
        ("\u202egnp.mp4", "_gnp.mp4"),
    ],
)
def test_a_name_of_an_upload_is_a_plain_file_name(given: str, name: str) -> None:
    assert film_name(given) == name


@pytest.mark.parametrize(
    "given", ["", "film", "..mp4", "film.exe", "list.m3u8", "film.mp4/", "film.py"]
)
def test_a_name_that_is_no_video_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(OutputError, match="is not a video by its name") as caught:
        film_name(given)
    assert "\n" not in str(caught.value)


@pytest.fixture
def store(tmp_path: Path) -> FilmStore:
    return FilmStore(tmp_path / "page")


def added(store: FilmStore) -> str:
    film_id = store.new_id()
    store.source(film_id, "film.mp4").write_bytes(b"film")
    store.add(Film(film_id, "film.mp4", "a film"))
    return film_id


def test_a_film_that_was_being_made_waits_when_the_next_page_starts(store: FilmStore) -> None:
    film_id = added(store)
    store.update(film_id, state="running", task="film", options={"height": 1080}, notes=("x",))
    store.close()
    film = FilmStore(store.folder).get(film_id)
    assert film is not None
    assert (film.state, film.task, film.options) == ("waiting", "film", {"height": 1080})
    assert film.notes == ("x",)


def test_an_upload_that_did_not_end_is_removed_at_the_next_start(store: FilmStore) -> None:
    broken = store.new_id()
    store.source(broken, "film.mp4").write_bytes(b"half a film")
    store.close()
    assert FilmStore(store.folder).films() == []
    assert not (store.folder / broken).exists()


def test_other_files_in_the_folder_stay(store: FilmStore) -> None:
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / "holiday").mkdir()
    store.close()
    FilmStore(store.folder)
    assert (store.folder / "notes.txt").exists()
    assert (store.folder / "holiday").exists()


def test_a_second_page_on_the_folder_is_sent_to_the_first(store: FilmStore) -> None:
    store.describe("http://127.0.0.1:7860")
    with pytest.raises(OutputError, match=r"http://127\.0\.0\.1:7860; open that one"):
        FilmStore(store.folder)


def test_removing_a_film_removes_all_of_it_and_nothing_else(store: FilmStore) -> None:
    first, second = added(store), added(store)
    store.remove(first)
    store.remove("../outside")
    assert [film.id for film in store.films()] == [second]
    assert not (store.folder / first).exists()


@pytest.mark.parametrize("name", ["", "../film.json", "/etc/hostname", "link.html", ".", "missing"])
def test_a_result_outside_the_folder_of_results_is_none(store: FilmStore, name: str) -> None:
    film_id = added(store)
    outside = store.folder / "secret.html"
    outside.write_text("secret")
    (store.output_folder(film_id) / "link.html").symlink_to(outside)
    film = store.get(film_id)
    assert film is not None
    assert store.result(film, name) is None


def test_a_record_with_an_unknown_field_is_read(store: FilmStore) -> None:
    film_id = added(store)
    path = store.folder / film_id / "film.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1, "id": "../.."}))
    store.close()
    (film,) = FilmStore(store.folder).films()
    assert film.id == film_id
