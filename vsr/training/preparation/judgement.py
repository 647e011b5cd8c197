"""The limits for clips to be kept, and the reasons for the others."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from vsr.errors import ConfigError
from vsr.training.data.clip_row import ClipRow
from vsr.training.preparation.near_duplicates import near_duplicates

_NONE = (-1, -1)


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """Limits for a clip to be kept; motion, sharpness and text as in the manifest.

    `duplicate_bits` of 64 may differ between near-duplicates; -1 keeps all.
    """

    min_side: int = 192
    min_frames: int = 8
    min_motion: float = 0.0
    max_motion: float = 60.0
    min_sharpness: float = 4.0
    max_text: float = 0.004
    duplicate_bits: int = 4

    def __post_init__(self) -> None:
        if self.min_side < 1 or self.min_frames < 1:
            raise ConfigError(f"{self.min_side = } and {self.min_frames = } must be at least 1")
        if not 0 <= self.min_motion < self.max_motion:
            raise ConfigError(f"{self.min_motion = } must be below {self.max_motion = }, both >= 0")
        if not -1 <= self.duplicate_bits <= 32:
            raise ConfigError(f"{self.duplicate_bits = } must lie between -1 and 32")


def judge(rows: Iterable[ClipRow], config: FilterConfig) -> Iterator[ClipRow]:
    """The rows with `kept` and `reason` as the config has it, whatever they were before.

    Rows that could not be measured stay as they are. The rows are read twice.
    """
    with TemporaryDirectory(prefix="vsr-keys-") as folder, _Keys(Path(folder)) as keys:
        candidates = (row for row in rows if _is_candidate(row, config))
        copies = near_duplicates(map(keys.note, candidates), max_bits=config.duplicate_bits)
        copy, original = next(copies, _NONE)
        place = 0
        for row in rows:
            if row.sharpness is None:
                yield row
                continue
            reason = _fault(row, config)
            if _is_candidate(row, config):
                if copy == place:
                    reason = f"near-duplicate of {keys[original]}"
                    copy, original = next(copies, _NONE)
                place += 1
            yield dataclasses.replace(row, kept=not reason, reason=reason)


class _Keys:
    """Keys of rows by number, in files."""

    def __init__(self, folder: Path) -> None:
        self._texts = (folder / "keys").open("w+b")
        self._ends = (folder / "ends").open("w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.close()
        self._ends.close()

    def note(self, row: ClipRow) -> str:
        """Add the key of a row; returns its hash."""
        self._texts.write(row.key.encode())
        self._ends.write(self._texts.tell().to_bytes(8, "little"))
        return row.phash or ""

    def __getitem__(self, number: int) -> str:
        start, end = (self._end(n) for n in (number - 1, number))
        self._texts.seek(start)
        return self._texts.read(end - start).decode()

    def _end(self, number: int) -> int:
        if number < 0:
            return 0
        self._ends.seek(8 * number)
        return int.from_bytes(self._ends.read(8), "little")


def _is_candidate(row: ClipRow, config: FilterConfig) -> bool:
    """True if the row is kept unless it is a near-duplicate."""
    return row.phash is not None and row.sharpness is not None and not _fault(row, config)


def _fault(row: ClipRow, config: FilterConfig) -> str:
    """Why the row is not kept; empty if it is."""
    width, height = row.picture_size
    if min(width, height) < config.min_side:
        return f"small: {width}x{height} inside its bars, at least {config.min_side} wanted"
    if row.kind == "image" and any(row.bars):
        return f"black bars {row.bars}"
    if row.kind == "video" and row.frames < config.min_frames:
        return f"short: {row.frames} frames, at least {config.min_frames} wanted"
    if row.motion is not None and not config.min_motion <= row.motion <= config.max_motion:
        return f"motion {row.motion:g}, {config.min_motion:g} to {config.max_motion:g} wanted"
    if row.sharpness is not None and row.sharpness < config.min_sharpness:
        return f"blurred: sharpness {row.sharpness:g}, at least {config.min_sharpness:g} wanted"
    if row.text is not None and row.text > config.max_text:
        return f"text on {row.text:.2%} of the picture, at most {config.max_text:.2%} wanted"
    return ""
