"""The guard: who may ask the page for what."""

import base64

import pytest

from vsr.ui.guard import Guard

ID = "0123456789abcdef"


def guard(password: str | None = None, only_local: bool = True) -> Guard:
    async def app(*_: object) -> None:
        raise AssertionError

    return Guard(app, password=password, only_local=only_local)


def status(
    path: str = "/", method: str = "GET", host: str = "127.0.0.1:7860", **headers: str
) -> int | None:
    found = guard().refusal(method, path, {"host": host, **headers})
    return None if found is None else found.status


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/index-a1.js", "/films", f"/films/{ID}/output"]
)
def test_the_page_and_its_files_are_answered(path: str) -> None:
    assert status(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/upload",
        "/gradio_api/proxy=http://example.com",
        "/gradio_api/process_video",
        "/films/../../etc/passwd/output",
        f"/films/{ID}/film.json",
        "/films/x/output",
        "/assets/../../page.py\n",
        "/docs",
    ],
)
def test_there_is_nothing_else(path: str) -> None:
    assert status(path) == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "", "127.0.0.1.evil", "["])
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    assert status(host=host) == 421


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860"])
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    assert status(host=host) is None


def test_another_site_can_start_nothing() -> None:
    assert status("/films", "PUT", origin="https://evil.example") == 403
    assert status("/films", "PUT", origin="null") == 403
    assert status("/films", "PUT", origin="http://127.0.0.1:7860") is None


def basic(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("user:wrong"),
        basic("secret word"),
        basic("user:"),
        {"authorization": "Basic %%%"},
        {"authorization": "Bearer secret word"},
    ],
)
def test_without_the_password_there_is_nothing(headers: dict[str, str]) -> None:
    closed = guard("secret word", only_local=False)
    found = closed.refusal("GET", "/", {"host": "any", **headers})
    assert found is not None
    assert found.status == 401


def test_any_user_name_will_do_with_the_password() -> None:
    closed = guard("secret: wörd", only_local=False)
    for user in ("", "me"):
        assert closed.refusal("GET", "/", {"host": "any", **basic(f"{user}:secret: wörd")}) is None
