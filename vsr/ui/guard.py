"""The guard before the page: the paths that exist, who may ask, and headers for the browser."""

import asyncio
import base64
import binascii
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOCAL = ("127.0.0.1", "localhost", "::1")
_PATHS = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/assets/[\w./-]+|/static/[\w./-]+"
    r"|/films|/films/[0-9a-f]{16}/(?:output|report|preview)"
    r"|/gradio_api/(?:queue/(?:join|data)|heartbeat/\w+|startup-events|reset|cancel)/?"
)
"""All that the page needs: routes of its library that read files, or save them, are not here."""
_CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "frame-ancestors 'self'; base-uri 'self'; form-action 'self'"
)
_HEADERS = (
    (b"content-security-policy", _CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
)
_WRONG_PASSWORD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of the page."""

    status: int
    line: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Guard:
    """Lets through what the page needs, from who may ask.

    `password` is asked for as HTTP basic authentication, with any user name; None: nobody needs
    one. With `only_local` the address of the page must be one of this machine, so that a page of
    the web cannot reach it by a name of its own.
    """

    def __init__(self, app: App, *, password: str | None, only_local: bool) -> None:
        self._app = app
        self._password = password
        self._only_local = only_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # the page has no other connections; the server closes them
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        refusal = self.refusal(scope["method"], scope["path"], headers)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
            return
        if refusal.status == 401 and "authorization" in headers:
            await asyncio.sleep(_WRONG_PASSWORD_SECONDS)
        await _answer(send, refusal)

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return the reason why a request is not answered; None if it is."""
        host = headers.get("host", "")
        if self._only_local and _name(f"//{host}") not in _LOCAL:
            return Refusal(421, "this page is for this machine alone: open it as 127.0.0.1")
        if self._password is not None and not self._knows(headers.get("authorization", "")):
            ask = (b"www-authenticate", b'Basic realm="vsr", charset="UTF-8"')
            return Refusal(401, "the page needs its password; any user name will do", (ask,))
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return Refusal(403, "another site asked for this; it was refused")
        if _PATHS.fullmatch(path) is None:
            return Refusal(404, "there is nothing under this address")
        return None

    def _knows(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        expected = (self._password or "").encode()
        return kind.lower() == "basic" and secrets.compare_digest(given, expected)


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            more = [pair for pair in _HEADERS if pair[0] not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _answer(send: Send, refusal: Refusal) -> None:
    body = f"{refusal.line}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
