"""`vsr ui`: who needs a password, and what cannot be listened on or used."""

import socket
from pathlib import Path

import pytest

from vsr.cli import main
from vsr.errors import ConfigError, OutputError
from vsr.ui.server import PASSWORD, ServerConfig, page_password, parse_bytes, serve


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    monkeypatch.setattr("sys.stdin", None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_password(host: str) -> None:
    assert page_password(ServerConfig(host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example"])
def test_other_machines_need_a_password(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServerConfig(host=host)
    with pytest.raises(ConfigError, match="needs a password: set VSR_UI_PASSWORD"):
        page_password(config)
    monkeypatch.setenv(PASSWORD, "short")
    with pytest.raises(ConfigError, match="too short"):
        page_password(config)
    monkeypatch.setenv(PASSWORD, "long enough")
    assert page_password(config) == "long enough"


def test_no_option_takes_the_password(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", "--help"]) == 0
    assert "--password" not in capfd.readouterr().out


@pytest.mark.parametrize(("text", "count"), [("20GB", 20 * 10**9), ("500 mb", 500 * 10**6)])
def test_a_size_of_uploads_has_a_unit(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "20", "0GB", "-1GB", "1.5GB", "GB"])
def test_another_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size"):
        parse_bytes(text)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = ServerConfig(port=other.getsockname()[1], folder=tmp_path)
        with pytest.raises(OutputError, match=r"cannot be listened on .*; give another --port"):
            serve(config, lambda _: None)
