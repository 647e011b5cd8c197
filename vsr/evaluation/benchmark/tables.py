"""Tables of a benchmark: Markdown for pages, CSV for everything."""

import csv
import io
from dataclasses import dataclass

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
    Column("effnet", "EfficientNet distance, lower", 2),
    Column("tdiff", "flicker (tdiff), lower", 2),
    Column("frames_per_second", "frames/s", 2),
    Column("megapixels_per_second", "megapixels/s", 2),
    Column("first_seconds", "first frames after, s", 1),
    Column("peak_gigabytes", "memory, GB", 2),
)


def as_markdown(results: Results) -> str:
    """Return a table with a row for each method, and a line on its making below.

    Figures that no method has are left out; they are named in the line.
    """
    means = {method: results.of_method(method) for method in results.methods}
    columns = [one for one in COLUMNS if any(one.figure in mean for mean in means.values())]
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
