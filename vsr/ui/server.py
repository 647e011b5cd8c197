"""`vsr ui`: serves the page on this machine, or, with a password, to others."""

import asyncio
import getpass
import ipaddress
import logging
import os
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.errors import ConfigError, DependencyError, OutputError, install_extra
from vsr.ui.films import FilmStore
from vsr.ui.guard import Guard

if TYPE_CHECKING:  # it is an extra
    import uvicorn

PASSWORD = "VSR_UI_PASSWORD"
"""The environment variable with the password of the page."""
LOCAL_HOST, PORT = "127.0.0.1", 7860
_SHORTEST_PASSWORD = 8
_SECONDS_OF_ENDING = 1
_ENDED = "the page has ended; its queue goes on when vsr ui starts again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The options of `vsr ui`."""

    host: str = LOCAL_HOST
    port: int = PORT
    folder: Path | None = None
    max_upload: str = "20GB"
    open_browser: bool = False

    @property
    def is_local(self) -> bool:
        """True if only this machine can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def most_bytes(self) -> int:
        """The size of the largest upload."""
        return parse_bytes(self.max_upload)


def serve(config: ServerConfig, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; `say` shows its address.

    Raises ConfigError for an address that others reach without a password, OutputError for a port
    or a folder that is in use, DependencyError without gradio.
    """
    _quieten_gradio()
    password = page_password(config)
    most = config.most_bytes
    with closing(_listening(config)) as listener:
        store = FilmStore(config.folder or default_folder())
        address = f"http://{config.host}:{listener.getsockname()[1]}"
        with (
            closing(store),
            page_server(
                store, password=password, only_local=config.is_local, most_bytes=most
            ) as server,
        ):
            store.describe(address)
            say(f"the page is at {address}; Ctrl-C ends it")
            if config.open_browser:
                webbrowser.open(address)
            try:
                server.run(sockets=[listener])
            except KeyboardInterrupt:
                raise KeyboardInterrupt(_ENDED) from None


@contextmanager
def page_server(
    store: FilmStore, *, password: str | None, only_local: bool, most_bytes: int
) -> Generator["uvicorn.Server"]:
    """Give the server of the page of a store; its queue works as long as the context lasts."""
    try:
        import uvicorn

        from vsr.ui.app import page_app
    except ImportError as error:
        raise DependencyError(f"the page needs gradio: {install_extra('ui')}") from error
    from vsr.ui.tasks import TaskQueue, ask_now

    models = ask_now({"task": "models"})
    with closing(TaskQueue(store)) as queue:
        app = page_app(store, queue, models, most_bytes=most_bytes)
        settings = uvicorn.Config(
            Guard(app, password=password, only_local=only_local),
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_OF_ENDING,
        )
        yield uvicorn.Server(settings)


def page_password(config: ServerConfig) -> str | None:
    """Return the password from the environment or a prompt; None for a page without one."""
    password = os.environ.get(PASSWORD)
    if password is None and config.is_local:
        return None
    if password is None and sys.stdin is not None and sys.stdin.isatty():
        password = getpass.getpass("password for the page: ")
    if password is None:
        raise ConfigError(
            f"--host {config.host} lets other machines reach the page, which needs a password: set "
            f"{PASSWORD} in the environment, or start vsr ui in a terminal, which asks for it"
        )
    if len(password) < _SHORTEST_PASSWORD:
        raise ConfigError(
            f"the password is too short; take {_SHORTEST_PASSWORD} characters or more"
        )
    return password


def default_folder() -> Path:
    """Return the folder of the page: VSR_UI_FOLDER, or `vsr/page` of the user's data."""
    if chosen := os.environ.get("VSR_UI_FOLDER"):
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "vsr" / "page"


def parse_bytes(text: str) -> int:
    """Return the bytes of `20GB` or `500MB`. Raises ConfigError for anything else."""
    plain = text.strip().upper()
    for ending, factor in (("GB", 10**9), ("MB", 10**6)):
        number = plain.removesuffix(ending)
        if plain.endswith(ending) and number.strip().isdecimal() and int(number) > 0:
            return int(number) * factor
    raise ConfigError(f"max_upload = {text} is not a size; it can be as 20GB or 500MB")


def _listening(config: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise OutputError(
            f"{config.host}:{config.port} cannot be listened on "
            f"({getattr(error, 'strerror', None) or error}); give another --port"
        ) from error
    return listener


def _quieten_gradio() -> None:
    """Let gradio tell nobody of its use, and keep its files apart. Must run before its import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / "vsr-page"))
    logging.getLogger("uvicorn.error").addFilter(_is_no_ending)
    for name in ("httpx", "httpcore", "asyncio", "multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_no_ending(record: logging.LogRecord) -> bool:
    """Drop the traces of connections that are closed because the page ends."""
    kind = record.exc_info[0] if record.exc_info else None
    is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
    return not is_cancelled and "graceful shutdown exceeded" not in record.getMessage()
