"""A page that is served for a test, and a browser that looks at it."""

import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vsr.ui.films import FilmStore
from vsr.ui.server import page_server

MOST_BYTES = 3_000_000


@dataclass(frozen=True)
class Served:
    """A page at an address of this machine, and its store."""

    port: int
    store: FilmStore

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def upload(self, name: str, body: bytes) -> tuple[int, bytes]:
        from urllib.parse import quote

        status, answer, _ = self.ask("PUT", f"/films?name={quote(name, safe='')}", body)
        return status, answer


@pytest.fixture
def served(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A page with the tiny model among its models."""
    pytest.importorskip("gradio")
    monkeypatch.setenv("VSR_MODELS", str(tiny_model.parent))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    store = FilmStore(tmp_path / "page")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with page_server(store, password=None, only_local=True, most_bytes=MOST_BYTES) as server:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield Served(listener.getsockname()[1], store)
            finally:
                server.should_exit = True
                thread.join(timeout=20)
    store.close()
