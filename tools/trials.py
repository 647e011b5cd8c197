"""Run every awkward input of a folder through `vsr plan` and `vsr upscale`, and print a table.

    python tools/trials.py FOLDER [--model NAME] [--only PATTERN]

Each file or folder in FOLDER is one trial, made in a process of its own: a crash is seen, and ends
no other trial. The exit status is 1 if a trial crashed, printed a trace, or ended well without an
output; errors in one line are results, which the table shows.
"""

import multiprocessing
import os
import re
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from vsr.cli import main as vsr
from vsr.video.probe import probe

_QUICK_MODEL = "realesr-animevideov3"
_OF_EVERY_RUN = ("flow by", " on cpu in ", "frames/s", "stored in")
"""Words of the lines that every run prints."""
_SECONDS = 300.0
"""A command that takes longer is ended: the inputs are small."""


@dataclass(frozen=True, slots=True)
class Run:
    """The end of one command: its exit code (negative: a signal), and what it printed."""

    code: int
    text: str

    @property
    def is_crash(self) -> bool:
        """True if a signal or an exception that nobody explained ended it."""
        return self.code < 0 or "Traceback" in self.text

    @property
    def lines(self) -> list[str]:
        """The lines about the input that it printed."""
        lines = [line for line in self.text.splitlines() if line.startswith("vsr: ")]
        return [line for line in lines if not any(word in line for word in _OF_EVERY_RUN)]


@dataclass(frozen=True, slots=True)
class Trial:
    """One input: the plan, the run, and the outputs in words."""

    name: str
    plan: Run
    upscale: Run
    outputs: tuple[str, ...]

    @property
    def is_failed(self) -> bool:
        """True for a crash, or a good end without an output."""
        silent = self.upscale.code == 0 and not self.outputs
        return self.plan.is_crash or self.upscale.is_crash or silent


def main() -> int:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of awkward inputs")
    parser.add_argument("--model", default=_QUICK_MODEL, help="a quick model")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names to try, as a05*")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a forked process waits for ever for threads that it lacks
    trials = [
        trial(path, options.model)
        for path in sorted(options.folder.iterdir())
        if path.suffix != ".md" and fnmatch(path.name, options.only)
    ]
    show(trials)
    return int(any(one.is_failed for one in trials))


def trial(path: Path, model: str) -> Trial:
    """Plan and upscale one input, into a scratch folder."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / path.name
        source.symlink_to(path.absolute())
        log = Path(scratch) / "log"
        small = ["--model", model, "--device", "cpu", "--scale", "2"]
        planned = run(["plan", str(source), *small], log)
        upscaled = run(["upscale", str(source), *small], log)
        paths = [made for made in sorted(Path(scratch).iterdir()) if made not in (source, log)]
        outputs = [_described(made) for made in paths]
    return Trial(path.name, planned, upscaled, tuple(outputs))


def run(args: Sequence[str], log: Path) -> Run:
    """Run a command of vsr in a forked process, which has imported everything already."""
    process = multiprocessing.get_context("fork").Process(target=_command, args=(args, log))
    process.start()
    process.join(_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    return Run(process.exitcode or 0, log.read_text(errors="replace"))


def show(trials: Sequence[Trial]) -> None:
    """Print a row for each trial, and how many failed."""
    table = Table("input", "plan", "upscale", "outputs", "lines", show_lines=True)
    for one in trials:
        lines = dict.fromkeys(re.sub(r"/\S*/", "", x) for x in one.plan.lines + one.upscale.lines)
        row = one.name, str(one.plan.code), str(one.upscale.code), "\n".join(one.outputs)
        table.add_row(*row, "\n".join(lines), style="red" if one.is_failed else None)
    console = Console(width=170)
    console.print(table)
    failed = sum(one.is_failed for one in trials)
    console.print(f"{len(trials)} trials, {failed} failed")


def _command(args: Sequence[str], log: Path) -> None:
    with log.open("w") as file, redirect_stdout(file), redirect_stderr(file):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = vsr(args)
        file.flush()
        os._exit(code)


def _described(path: Path) -> str:
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir())
        return f"{path.name}: {len(names)} files, {names[0]}..{names[-1]}" if names else path.name
    try:
        info = probe(path)
    except Exception as error:  # a table goes on, whatever the output is
        return f"{path.name}: {error}"
    seconds = "" if info.duration is None else f", {float(info.duration):.3f} s"
    size = f"{info.width}x{info.height}"
    return f"{path.name}: {size} {info.codec}, {info.frame_count} frames{seconds}"


if __name__ == "__main__":
    sys.exit(main())
