"""Runs all methods on all clips of a set, and writes tables, pictures and pages."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

from vsr import __version__
from vsr.degradation.benchmark_set import SET, BenchmarkSet, SetClip
from vsr.errors import ConfigError, OutputError
from vsr.evaluation.benchmark.methods import Method
from vsr.evaluation.benchmark.results import Results, Row
from vsr.evaluation.benchmark.tables import as_csv, as_markdown
from vsr.evaluation.benchmark.timed import Timing, timed_run
from vsr.evaluation.clip import evaluate_clip
from vsr.evaluation.meters import Figures
from vsr.evaluation.networks import Networks, load_networks
from vsr.evaluation.protocol import protocol
from vsr.evaluation.sets import Pair, find_pairs, output_of
from vsr.reporting.films import Film
from vsr.reporting.preview import write_preview
from vsr.runtime.files import write_atomically

_log = logging.getLogger(__name__)

_SHOWN = 8  # films of a page


@dataclass(frozen=True, slots=True)
class Settings:
    """Number of runs of each method, and distance of the frames that networks see."""

    every: int = 4
    repeats: int = 1
    scale: int = 4

    def __post_init__(self) -> None:
        for name in ("every", "repeats", "scale"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name} = {value} is too small; it must be 1 or more")


def benchmark_set(inputs: Path, truth: Path | None, output: Path) -> BenchmarkSet:
    """Return the set of a file or a folder that holds `set.json`, or one of inputs and truths.

    The latter is also written to `output`, so that it can be checked later.
    """
    if truth is None:
        return BenchmarkSet.load(inputs / SET if inputs.is_dir() else inputs)
    pairs = [(one.name, one.output, one.truth) for one in find_pairs(inputs, truth) if one.truth]
    found = BenchmarkSet.of(
        pairs, name=inputs.resolve().stem, degradation="as given", seed=None, folder=output
    )
    _make_folder(output)
    found.save(output / SET)
    return found


def benchmark(
    clips: BenchmarkSet, methods: Sequence[Method], output: Path, settings: Settings | None = None
) -> Results:
    """Run and measure all methods; write `results.json`, `table.md`, `table.csv` and pages.

    Finished runs are kept in `output`, so that an interrupted benchmark goes on.
    """
    _make_folder(output)
    bench = _Bench(clips, output, settings or Settings(), load_networks())
    rows = tuple(bench.row(method, clip) for clip in clips.clips for method in methods)
    results = Results(
        set_name=clips.name,
        degradation=clips.degradation,
        inputs={clip.name: clip.hashes for clip in clips.clips},
        date=date.today().isoformat(),
        versions={"vsr": __version__, "torch": version("torch")},
        protocol=protocol(bench.networks, bench.settings.every, None),
        missing=dict(bench.networks.missing),
        rows=rows,
    )
    for name, content in (
        ("results.json", results.to_json()),
        ("table.md", as_markdown(results)),
        ("table.csv", as_csv(results)),
    ):
        write_atomically(output / name, content.encode())
    for clip in clips.clips:
        bench.write_page(clip, methods)
    return results


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class _Bench:
    clips: BenchmarkSet
    output: Path
    settings: Settings
    networks: Networks

    def row(self, method: Method, clip: SetClip) -> Row:
        """The row of a method and a clip, from an earlier run if nothing has changed."""
        film = self._film(method, clip)
        if method.outputs is not None:
            return Row(method.name, clip.name, (), self._figures(film, clip))
        note = film.with_suffix(".json")
        key = self._key(method, clip)
        if film.is_file() and note.is_file():
            kept = json.loads(note.read_text())
            if kept["key"] == key:
                timings = tuple(Timing(**one) for one in kept["timings"])
                return Row(method.name, clip.name, timings, kept["figures"])
        _log.info("%s: %s", clip.name, method.name)
        row = self._measured(method, clip, film)
        content = {"key": key, **asdict(row)}
        write_atomically(note, json.dumps(content).encode())
        return row

    def write_page(self, clip: SetClip, methods: Sequence[Method]) -> None:
        """Write `CLIP.html` and `CLIP.png`: the truth and the first methods beside each other."""
        truth = replace(Film.of(self.clips.truth_path(clip)), name="truth")
        films = [replace(Film.of(self._film(method, clip)), name=method.name) for method in methods]
        write_preview(
            [truth, *films][:_SHOWN],
            page=self.output / f"{clip.name}.html",
            picture=self.output / f"{clip.name}.png",
            title=f"{self.clips.name}: {clip.name}",
        )

    def _measured(self, method: Method, clip: SetClip, film: Path) -> Row:
        _make_folder(film.parent)
        source = self.clips.input_path(clip)
        timings = tuple(
            timed_run(method, source, film, scale=self.settings.scale)
            for _ in range(self.settings.repeats)
        )
        return Row(method.name, clip.name, timings, self._figures(film, clip))

    def _figures(self, film: Path, clip: SetClip) -> Figures:
        pair = Pair(clip.name, film, self.clips.truth_path(clip))
        return evaluate_clip(pair, self.networks, every=self.settings.every).figures

    def _film(self, method: Method, clip: SetClip) -> Path:
        if method.outputs is not None:
            return output_of(Path(method.outputs), clip.name)
        return self.output / "clips" / clip.name / f"{method.folder}.mkv"

    def _key(self, method: Method, clip: SetClip) -> str:
        missing = sorted(self.networks.missing)
        parts = (__version__, asdict(method), asdict(clip), asdict(self.settings), missing)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
