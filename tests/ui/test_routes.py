"""The page under abuse: huge, broken and odd uploads, many requests, paths outside its folder."""

import json
import threading
from pathlib import Path

import pytest

from tests.ui.conftest import MOST_BYTES, Served

pytestmark = pytest.mark.slow


def files_outside(folder: Path, page: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and page not in path.parents}


def line(answer: bytes) -> str:
    text = json.loads(answer)["error"]
    assert "\n" not in text
    return text


def test_uploads(served: Served, source: Path, tmp_path: Path) -> None:
    outside = files_outside(tmp_path, served.store.folder)
    film = source.read_bytes()

    status, answer = served.upload("big.mp4", bytes(MOST_BYTES + 1))
    assert status == 413
    assert "larger than 3 MB" in line(answer)

    status, answer = served.upload("zeros.mp4", bytes(MOST_BYTES))
    assert status == 415
    assert "zeros.mp4" in line(answer)
    assert str(tmp_path) not in line(answer)

    assert served.upload("empty.mp4", b"")[0] == 400
    assert served.upload("script.py", film)[0] == 400
    assert served.upload("", film)[0] == 400
    assert served.store.films() == []

    tricks = ["../../../evil.mp4", "/etc/evil.mp4", "..\\..\\evil.mp4", "a\x00/../evil.mp4"]
    for name in tricks:
        status, answer = served.upload(name, film)
        assert status == 200, answer
    assert {one.name for one in served.store.films()} == {"evil.mp4"}
    assert {path.parent.parent.parent for path in tmp_path.rglob("evil.mp4")} == {
        served.store.folder
    }
    assert files_outside(tmp_path, served.store.folder) == outside
    assert served.ask("GET", "/")[0] == 200


def test_nothing_outside_the_folder_is_read(served: Served, source: Path) -> None:
    status, answer = served.upload("film.mp4", source.read_bytes())
    assert status == 200
    film_id = json.loads(answer)["film"]
    for path in (
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file/etc/hostname",
        f"/films/{film_id}/../page.lock",
        f"/films/{film_id}/..%2f..%2fpage.lock/output",
        "/films/%2e%2e/output",
        "/gradio_api/upload",
        "/gradio_api/component_server",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/docs",
        "/openapi.json",
    ):
        assert served.ask("GET", path)[0] == 404, path
    for what in ("output", "report", "preview"):
        assert served.ask("GET", f"/films/{film_id}/{what}")[0] == 404
    assert served.ask("POST", "/gradio_api/upload", b"x")[0] == 404


def test_twenty_requests_at_once_are_answered_and_the_page_lives(
    served: Served, source: Path
) -> None:
    film, found = source.read_bytes(), []

    def upload(number: int) -> None:
        found.append(served.upload(f"{number}.mp4", film)[0])

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert len(found) == 30
    assert set(found) <= {200, 429}
    assert len(served.store.films()) == found.count(200) >= 4
    assert served.ask("GET", "/")[0] == 200


def test_an_upload_that_breaks_off_leaves_nothing(served: Served) -> None:
    import socket
    import time

    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        head = "PUT /films?name=half.mp4 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        connection.sendall(f"{head}\r\n".encode() + bytes(1000))
        time.sleep(1)
    time.sleep(1)
    assert [path.name for path in served.store.folder.iterdir()] == ["page.lock"]
    assert served.ask("GET", "/")[0] == 200


def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(served: Served) -> None:
    headers = {name.lower(): value for name, value in served.ask("GET", "/")[2].items()}
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_another_host_or_site_is_refused(served: Served) -> None:
    assert served.ask("GET", "/", headers={"Host": "evil.example"})[0] == 421
    evil = {"Host": f"127.0.0.1:{served.port}", "Origin": "https://evil.example"}
    assert served.ask("PUT", "/films?name=a.mp4", b"x", evil)[0] == 403
