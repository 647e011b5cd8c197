"""The photographs and videos that a config selects: from folders or from a manifest."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from vsr.errors import ConfigError
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.manifest import (
    Manifest,
    open_manifest,
    read_manifest,
    require_rows,
    select,
)
from vsr.training.data.parts import Shot, VideoSource
from vsr.training.data.photos import PHOTO_SUFFIXES
from vsr.training.data.samples_config import TrainingClipsConfig
from vsr.training.data.videos import VIDEO_SUFFIXES

Captions = dict[Path, str]
"""Photographs with their captions; "" for none."""


def select_sources(config: TrainingClipsConfig) -> tuple[Captions, list[VideoSource]]:
    """Photographs with their captions, and videos."""
    photos, videos = _of_folders(config) if config.manifest is None else _of_manifest(config)
    return (
        {path: text for path, text in photos.items() if not _matches(path, config.exclude)},
        [video for video in videos if not _matches(video.path, config.exclude)],
    )


def select_captions(config: TrainingClipsConfig) -> tuple[str, ...]:
    """The captions of all that `select_sources` gives, without holding the clips in memory."""
    if config.manifest is None:
        return ()
    rows = select(open_manifest(config.manifest), split=config.split)
    return captions_in_order(
        {row.caption or "" for row in rows if not _matches(Path(row.source), config.exclude)}
    )


def captions_in_order(texts: set[str]) -> tuple[str, ...]:
    """The captions in alphabetical order, after the empty one; none without captions."""
    return ("", *sorted(texts - {""})) if texts - {""} else ()


def _of_folders(config: TrainingClipsConfig) -> tuple[Captions, list[VideoSource]]:
    photos = _files(config.photos, PHOTO_SUFFIXES)
    videos = [VideoSource(path) for path in _files(config.videos, VIDEO_SUFFIXES)]
    every = config.held_out_every
    held_out = [path for i, path in enumerate(photos) if i % every == every - 1]
    if config.split == "train":
        photos = [path for path in photos if path not in set(held_out)]
    elif config.split is not None:
        photos, videos = held_out, []
    return dict.fromkeys(photos, ""), videos


def _of_manifest(config: TrainingClipsConfig) -> tuple[Captions, list[VideoSource]]:
    assert config.manifest is not None
    manifest = read_manifest(config.manifest)
    rows = manifest.select(split=config.split)
    selected = f"of the split {config.split!r}" if config.split else "at all"
    require_rows(rows, config.manifest, selected)
    photos = {manifest.path(row): row.caption or "" for row in rows if row.kind == "image"}
    return photos, _videos_of_rows(manifest, [row for row in rows if row.kind == "video"])


def _videos_of_rows(manifest: Manifest, rows: Sequence[ClipRow]) -> list[VideoSource]:
    """The videos of shots; shots of one video with different captions become several videos."""
    shots: dict[tuple[Path, str], list[Shot]] = {}
    for row in rows:
        shot = Shot(row.start, row.end, row.bars)
        shots.setdefault((manifest.path(row), row.caption or ""), []).append(shot)
    return [VideoSource(file, tuple(found), text) for (file, text), found in shots.items()]


def _files(folders: Sequence[Path], suffixes: frozenset[str]) -> list[Path]:
    """The files below the folders; raises ConfigError if one is not a folder."""
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; give folders of photographs or videos")
        files += sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    return files


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path.stem, pattern) for pattern in patterns)
