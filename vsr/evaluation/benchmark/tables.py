"""Tables of a benchmark: Markdown for pages, CSV for everything.

A page holds a table between two marks, and is filled from the results that the first one names:

    <!-- benchmark dev-v1: psnr_y stlpips frames_per_second -->
    <!-- end of benchmark -->
"""

import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import ConfigError
from vsr.evaluation.benchmark.results import Results, costs


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the table: its heading and its decimals."""

    figure: str
    heading: str
    decimals: int


COLUMNS = (
    Column("psnr_y", "PSNR (Y), dB", 2),
    Column("ssim_y", "SSIM (Y)", 3),
    Column("stlpips", "ST-LPIPS, lower is better", 3),
    Column("robust", "ST-LPIPS after a blur, lower", 3),
    Column("effnet", "EfficientNet distance, lower", 2),
    Column("ewarp", "change along motion (ewarp)", 2),
    Column("tdiff", "flicker (tdiff), lower", 2),
    Column("grid", "hatching (grid), lower", 3),
    Column("frames_per_second", "frames/s", 2),
    Column("megapixels_per_second", "megapixels/s", 2),
    Column("first_seconds", "first frames after, s", 1),
    Column("peak_gigabytes", "memory, GB", 2),
)
_TABLE = re.compile(
    r"(<!-- benchmark (?P<name>[\w.-]+): (?P<figures>[\w ]+) -->\n).*?(<!-- end of benchmark -->)",
    re.DOTALL,
)


def as_markdown(results: Results, figures: Collection[str] | None = None) -> str:
    """Return a table with a row for each method, and a line on its making below.

    `figures` are those to show (None: all). Figures that no method has are left out; the line names
    them.
    """
    means = {method: results.of_method(method) for method in results.methods}
    columns = [
        one
        for one in COLUMNS
        if (figures is None or one.figure in figures)
        and any(one.figure in mean for mean in means.values())
    ]
    lines = [
        "| | " + " | ".join(column.heading for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for method, mean in means.items():
        cells = [_cell(mean.get(column.figure), column.decimals) for column in columns]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _origin(results)]) + "\n"


def as_csv(results: Results) -> str:
    """Return a row for each method and clip, with every figure."""
    rows = [(row, row.figures | costs(row.timings)) for row in results.rows]
    names = dict.fromkeys(name for _, figures in rows for name in figures)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("method", "clip", *names))
    for row, figures in rows:
        writer.writerow((row.method, row.clip, *(figures.get(name, "") for name in names)))
    return text.getvalue()


def filled(page: str, folder: Path) -> str:
    """Return a page with its tables made anew from the results in `folder`.

    Raises InputError for results that do not exist, ConfigError for a figure that is no column.
    """

    def table(mark: re.Match[str]) -> str:
        figures = mark["figures"].split()
        if unknown := set(figures) - {column.figure for column in COLUMNS}:
            raise ConfigError(f"{unknown.pop()} is no figure of a benchmark's table")
        results = Results.load(folder / f"{mark['name']}.json")
        return f"{mark[1]}\n{as_markdown(results, figures)}\n{mark[4]}"

    return _TABLE.sub(table, page)


def _origin(results: Results) -> str:
    count = "1 clip" if len(results.clips) == 1 else f"{len(results.clips)} clips"
    clips = f"{count} of {results.set_name} ({results.degradation})"
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lacking = [one.figure for one in COLUMNS if one.figure in results.missing]
    missing = f" Not measured: {', '.join(lacking)}." if lacking else ""
    return (
        f"Means over {clips}; costs are medians, memory is the largest. "
        f"{'; '.join(results.machines)}; {versions}; {results.date}.{missing}"
    )


def _cell(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
