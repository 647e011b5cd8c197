"""Sets of clips: which files are measured, and which ground truth belongs to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import InputError
from vsr.video.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_TRUTH_ENDING = "_gt"
_SEPARATORS = ("_", "-", ".")


@dataclass(frozen=True, slots=True)
class Pair:
    """A clip to measure and its ground truth, if there is one."""

    name: str
    output: Path
    truth: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The output, and the truth if there is one."""
        return (self.output,) if self.truth is None else (self.output, self.truth)


def find_pairs(outputs: Path, truth: Path | None = None) -> tuple[Pair, ...]:
    """Return the clips of `outputs`, each with its ground truth from `truth`.

    Both are a video, a folder of pictures, or a folder of these. Two single clips belong together.
    In folders an output belongs to the truth of its name: `city_x4.mkv` to `city.mkv` or
    `city_gt.mkv`. Raises InputError for an output without a truth.
    """
    clips = find_clips(outputs)
    names = _unique_names(clips)
    if truth is None:
        return tuple(map(Pair, names, clips))
    truths = find_clips(truth)
    if clips == [outputs] and truths == [truth]:
        return (Pair(names[0], outputs, truth),)
    marked = [clip for clip in truths if _name(clip).endswith(_TRUTH_ENDING)]
    return tuple(
        Pair(name, clip, _truth_of(clip, marked or truths))
        for name, clip in zip(names, clips, strict=True)
    )


def find_clips(path: Path) -> list[Path]:
    """Return the path itself if it is one clip, or else the clips of the folder."""
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if not path.is_dir() or _holds_pictures(path):
        return [path]
    clips = [one for one in sorted(path.iterdir()) if _is_clip(one)]
    if not clips:
        raise InputError(f"{path} holds neither videos nor pictures nor folders of pictures")
    return clips


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return _holds_pictures(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES


def _holds_pictures(path: Path) -> bool:
    suffixes = (one.suffix.lower() for one in path.iterdir() if not one.name.startswith("."))
    return path.is_dir() and any(suffix in IMAGE_SUFFIXES for suffix in suffixes)


def output_of(folder: Path, scene: str) -> Path:
    """Return the clip of a folder that belongs to a scene by its name; InputError if none does."""
    found = [clip for clip in find_clips(folder) if _belongs(_name(clip), scene)]
    if not found:
        raise InputError(f"{folder} holds no output of {scene}; name it {scene} or {scene}_x4")
    return min(found, key=lambda clip: len(_name(clip)))


def _unique_names(clips: Sequence[Path]) -> list[str]:
    """The names of clips without their endings; with them where several would have one name."""
    names = [_name(clip) for clip in clips]
    return [
        name if names.count(name) == 1 else clip.name
        for name, clip in zip(names, clips, strict=True)
    ]


def _name(path: Path) -> str:
    name = path.resolve().name
    return name if path.is_dir() else Path(name).stem


def _truth_of(output: Path, truths: Sequence[Path]) -> Path:
    """The truth with the longest name that the output's name begins with."""
    found = [one for one in truths if _belongs(_name(output), _scene(one))]
    if not found:
        names = ", ".join(path.name for path in truths)
        raise InputError(f"{output} has no ground truth of its name; there are {names}")
    return max(found, key=lambda path: len(_scene(path)))


def _scene(truth: Path) -> str:
    return _name(truth).removesuffix(_TRUTH_ENDING)


def _belongs(name: str, scene: str) -> bool:
    return name == scene or name.startswith(tuple(scene + end for end in _SEPARATORS))
