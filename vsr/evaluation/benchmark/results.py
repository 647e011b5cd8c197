"""Results of a benchmark: cost and figures of each method on each clip, as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from vsr.errors import InputError
from vsr.evaluation.benchmark.timed import Timing
from vsr.evaluation.clip import mean_of
from vsr.evaluation.meters import Figures


@dataclass(frozen=True, slots=True)
class Row:
    """A method on a clip: the timings of its repeats, and its figures."""

    method: str
    clip: str
    timings: tuple[Timing, ...]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Results:
    """All rows of a set, with the day, the versions and the definitions of the figures.

    `inputs` are the hashes of inputs and truths by clip and name.
    """

    set_name: str
    degradation: str
    inputs: Mapping[str, Mapping[str, str]]
    date: str
    versions: Mapping[str, str]
    protocol: Mapping[str, object]
    missing: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, in their order."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def clips(self) -> tuple[str, ...]:
        """The names of the clips, in their order."""
        return tuple(dict.fromkeys(row.clip for row in self.rows))

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines that the methods ran on."""
        return tuple(dict.fromkeys(one.machine for row in self.rows for one in row.timings))

    def of_method(self, method: str) -> Figures:
        """Return the means of a method's figures over the clips, and its costs.

        Costs are medians over clips and repeats; `peak_gigabytes` is the largest.
        """
        rows = [row for row in self.rows if row.method == method]
        return mean_of([row.figures for row in rows]) | costs([t for r in rows for t in r.timings])

    def to_json(self) -> str:
        """Return everything, for `of_json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read results; InputError if the file holds none."""
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(_row(row) for row in content.pop("rows"))
            return cls(rows=rows, **content)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} holds no results of vsr benchmark") from error


def costs(timings: Sequence[Timing]) -> Figures:
    """Return frames/s, megapixels/s, seconds to the first frames and peak gigabytes.

    Nothing for outputs that another tool made.
    """
    if not timings:
        return {}
    return {
        "frames_per_second": median(one.frames / one.seconds for one in timings),
        "megapixels_per_second": median(
            one.frames * one.pixels / one.seconds / 1e6 for one in timings
        ),
        "first_seconds": median(one.first_seconds for one in timings),
        "peak_gigabytes": max(one.peak_bytes for one in timings) / 1e9,
    }


def _row(content: Any) -> Row:
    timings = tuple(Timing(**one) for one in content["timings"])
    return Row(content["method"], content["clip"], timings, content["figures"])
