"""The routes of the page for files: uploads come in, and results go out."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vsr.errors import VsrError
from vsr.ui.films import Film, FilmStore, film_name
from vsr.ui.tasks import ask_now

_log = logging.getLogger(__name__)

_UPLOADS_AT_ONCE = 4
_UPLOADS_WAITING = 16
_FREE_BYTES = 1 << 30
"""Disk that an upload leaves free."""
_PAGE_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""For pages about films, whose texts come from files: they load nothing and reach nothing."""


class _RefusedError(Exception):
    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Uploads:
    """Takes uploads into a store: of limited size, a few at once, only what is a video."""

    def __init__(self, store: FilmStore, *, most_bytes: int) -> None:
        self._store = store
        self._most = most_bytes
        self._turns = asyncio.Semaphore(_UPLOADS_AT_ONCE)
        self._count = 0

    async def __call__(self, request: Request) -> Response:
        """Take the body of a request as the film of the given name."""
        if self._count >= _UPLOADS_AT_ONCE + _UPLOADS_WAITING:
            return _error(429, "too many uploads at once; try it again when they are done")
        self._count += 1
        try:
            async with self._turns:
                return JSONResponse({"film": await self._taken(request)})
        except ClientDisconnect:
            return _error(400, "the upload was broken off")
        except _RefusedError as error:
            return _error(error.status, str(error))
        except (VsrError, OSError) as error:
            return _error(400, str(error))
        finally:
            self._count -= 1

    async def _taken(self, request: Request) -> str:
        name = film_name(request.query_params.get("name", ""))
        self._check_size(int(request.headers.get("content-length") or 0))
        film_id = self._store.new_id()
        try:
            path = self._store.source(film_id, name)
            await self._receive(request, path)
            facts = await run_in_threadpool(_facts, path)
            self._store.add(Film(film_id, name, facts))
        except BaseException:
            self._store.remove(film_id)
            raise
        return film_id

    async def _receive(self, request: Request, path: Path) -> None:
        count = 0
        with path.open("xb") as file:
            async for block in request.stream():
                count += len(block)
                self._check_size(count, before=count - len(block))
                await run_in_threadpool(file.write, block)
        if count == 0:
            raise _RefusedError(400, f"{path.name} is empty; choose another file")

    def _check_size(self, count: int, *, before: int = 0) -> None:
        """Raise for an upload that is too large, for the page or for the disk."""
        if count > self._most:
            raise _RefusedError(
                413,
                f"the file is larger than {_sized(self._most)}, the most that this page takes; "
                "vsr ui --max-upload sets another limit, and vsr upscale FILE needs none",
            )
        free = shutil.disk_usage(self._store.folder).free
        if count - before > free - _FREE_BYTES:
            raise _RefusedError(507, "the disk of the page is full; remove films that are done")


def routes(store: FilmStore, *, most_bytes: int) -> list[Route]:
    """Return the routes for uploads and results."""
    return [
        Route("/films", Uploads(store, most_bytes=most_bytes).__call__, methods=["PUT"]),
        Route("/films/{film_id}/output", _output(store)),
        Route("/films/{film_id}/report", _page(store, "report")),
        Route("/films/{film_id}/preview", _page(store, "preview")),
    ]


def _output(store: FilmStore) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        film = store.get(request.path_params["film_id"])
        path = None if film is None else store.result(film, film.output)
        if path is None:
            return _missing()
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    return answer


def _page(store: FilmStore, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        film = store.get(request.path_params["film_id"])
        path = None if film is None else store.result(film, getattr(film, name))
        if path is None:
            return _missing()
        headers = {"content-security-policy": _PAGE_POLICY, "cache-control": "no-store"}
        return FileResponse(path, media_type="text/html", headers=headers)

    return answer


def _facts(path: Path) -> str:
    """Say what a film is; the video is read in a process of its own."""
    try:
        return ask_now({"task": "info", "source": str(path)})
    except VsrError as error:
        raise _RefusedError(415, str(error).replace(str(path), path.name)) from error


def _error(status: int, line: str) -> Response:
    _log.info("an upload was refused: %s", line)
    return JSONResponse({"error": line}, status)


def _missing() -> Response:
    return PlainTextResponse("this result is not there any more\n", 404)


def _sized(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
