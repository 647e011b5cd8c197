"""The process that does one task of the page: `python -m vsr.ui.worker`, asked on standard input.

The first line of the input is the task, in JSON. Lines of JSON go out: progress, lines of the log,
and at last the result or the error. When the input ends, the page has ended, and so does the task;
finished work is on the disk at any instant, and the same task goes on there.
"""

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsr.config import UpscaleConfig
from vsr.errors import VsrError
from vsr.jobs.progress import Advance, Meter, ShowProgress, TellingMeter
from vsr.runtime.explained import explained
from vsr.runtime.interrupts import ended_after
from vsr.runtime.standard_streams import own_stdout

STOPPED = 130
_GRACE_SECONDS = 1.2
_SECONDS_BETWEEN = 0.3

Send = Callable[[dict[str, Any]], None]


def main() -> int:
    """Do the task of standard input, and return the exit code."""
    send = _sender()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_page, daemon=True).start()
    logging.basicConfig(level=logging.INFO, handlers=[_Notes(send)], force=True)
    try:
        with ended_after(_GRACE_SECONDS, lambda: os._exit(STOPPED)):
            send({"result": _TASKS[request["task"]](request, send)})
    except (VsrError, MemoryError, OSError, ImportError) as error:
        traceback.print_exc()
        send({"error": " ".join(str(explained(error)).split())})
        return 1
    except KeyboardInterrupt:
        return STOPPED
    return 0


def _models(request: dict[str, Any], send: Send) -> list[dict[str, Any]]:
    """List the models, as `vsr models` does."""
    del request, send
    from vsr.checkpoints.catalog import PLACES, catalog
    from vsr.checkpoints.costs import Machine

    return [
        {**asdict(one), "path": None if one.path is None else str(one.path)}
        | {"place": PLACES[one.place]}
        for one in catalog(machine=Machine.here())
    ]


def _info(request: dict[str, Any], send: Send) -> str:
    """Say in short what a video is."""
    del send
    from vsr.video.probe import probe

    info = probe(Path(request["source"]))
    parts = [f"{info.width} × {info.height}", info.codec]
    if info.average_rate is not None:
        parts.append(f"{float(info.average_rate):.3f}".rstrip("0").rstrip(".") + " frames/s")
    if info.duration is not None:
        minutes, seconds = divmod(float(info.duration), 60)
        parts.append(f"{int(minutes)}:{seconds:04.1f}")
    return ", ".join(parts)


def _plan(request: dict[str, Any], send: Send) -> dict[str, str]:
    """Say what a run makes of each stream, and its time, memory and disk; see `plan`."""
    del send
    from vsr.jobs.planning.plan import plan

    found = plan(*_film(request))
    if found.refusal is not None:
        raise found.refusal
    return {"plan": str(found), "line": "the plan is made"}


def _preview(request: dict[str, Any], send: Send) -> dict[str, str]:
    """Upscale some seconds and make the page that compares them; see `preview`."""
    from vsr.jobs.preview import preview

    seconds = request["seconds"]
    made = preview(*_film(request), seconds=seconds, progress=_progress(send))
    folder = Path(request["output"])
    return {"preview": made.page.relative_to(folder).as_posix(), "line": str(made.report)}


def _upscale(request: dict[str, Any], send: Send) -> dict[str, str]:
    """Upscale the film, and make the page about the run; see `upscale_with_report`."""
    from vsr.jobs.report import upscale_with_report

    made = upscale_with_report(*_film(request), progress=_progress(send))
    page = "" if made.page is None else made.page.name
    return {"output": made.report.output.name, "report": page, "line": str(made.report)}


_TASKS: dict[str, Callable[[dict[str, Any], Send], Any]] = {
    "models": _models,
    "info": _info,
    "plan": _plan,
    "preview": _preview,
    "film": _upscale,
}


def _film(request: dict[str, Any]) -> tuple[Path, Path | None, UpscaleConfig]:
    """Return the source, the output in the folder of results, and the options."""
    from vsr.jobs.target import film_output

    source, config = Path(request["source"]), UpscaleConfig(**request["options"])
    return source, film_output(source, Path(request["output"]), config), config


def _progress(send: Send) -> ShowProgress:
    """Return the progress that is sent at once, and then some times a second."""

    def tell(meter: Meter) -> None:
        share = meter.position / meter.total if meter.total else None
        send({"share": share, "words": str(meter)})

    @contextmanager
    def show(total: int | None) -> Generator[Advance]:
        meter = TellingMeter(total, tell, _SECONDS_BETWEEN)
        tell(meter)
        yield meter

    return show


class _Notes(logging.Handler):
    """Hands the lines of the log on."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        if record.name.split(".")[0] == "vsr":
            self._send({"note": record.getMessage()})


def _sender() -> Send:
    """Return the function that writes a line; whatever else prints goes to the file of traces."""
    channel = os.fdopen(own_stdout(), "w", encoding="utf-8")
    guard = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with guard:
            channel.write(f"{json.dumps(message)}\n")
            channel.flush()

    return send


def _end_with_the_page() -> None:
    with open(0, "rb", buffering=0, closefd=False) as requests:
        requests.read()  # nothing comes: it waits for the end
    os._exit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())
