"""Sets of clips for benchmarks: one small file with inputs, truths, hashes and the degradation."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsr.errors import InputError
from vsr.runtime.files import write_atomically
from vsr.video.content import content_hash

SET = "set.json"
"""The usual name of the file; its paths are relative to its folder."""


@dataclass(frozen=True, slots=True)
class SetClip:
    """An input and its ground truth, each with the SHA-256 of its content."""

    name: str
    input: str
    truth: str
    input_sha256: str
    truth_sha256: str

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes by name, without paths."""
        return {"input_sha256": self.input_sha256, "truth_sha256": self.truth_sha256}


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """Clips of one degradation; `seed` is None where the degradation draws nothing."""

    name: str
    clips: tuple[SetClip, ...]
    degradation: str
    seed: int | None = None
    folder: Path = Path()

    @classmethod
    def of(
        cls,
        clips: Sequence[tuple[str, Path, Path]],
        *,
        name: str,
        degradation: str,
        seed: int | None,
        folder: Path,
    ) -> "BenchmarkSet":
        """Hash clips of (name, input, truth); their paths become relative to `folder`."""
        found = [
            SetClip(
                clip,
                _relative(source, folder),
                _relative(truth, folder),
                content_hash(source),
                content_hash(truth),
            )
            for clip, source, truth in clips
        ]
        return cls(name, tuple(found), degradation, seed, folder)

    @classmethod
    def load(cls, path: Path) -> "BenchmarkSet":
        """Read a set; InputError if the file is no set or its clips are not the hashed ones."""
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            clips = tuple(SetClip(**clip) for clip in content["clips"])
            found = cls(
                content["name"], clips, content["degradation"], content["seed"], path.parent
            )
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} is no set of clips; vsr data degrade and vsr benchmark INPUTS --gt "
                "TRUTHS write one"
            ) from error
        for clip in clips:
            found._check(clip)
        return found

    def save(self, path: Path) -> None:
        """Write the set."""
        content = {
            "name": self.name,
            "degradation": self.degradation,
            "seed": self.seed,
            "clips": [asdict(clip) for clip in self.clips],
        }
        write_atomically(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def input_path(self, clip: SetClip) -> Path:
        """Return the place of a clip's input."""
        return self.folder / clip.input

    def truth_path(self, clip: SetClip) -> Path:
        """Return the place of a clip's ground truth."""
        return self.folder / clip.truth

    def _check(self, clip: SetClip) -> None:
        for path, expected in (
            (self.input_path(clip), clip.input_sha256),
            (self.truth_path(clip), clip.truth_sha256),
        ):
            if not path.exists():
                raise InputError(f"{path} of the clip {clip.name} does not exist")
            if content_hash(path) != expected:
                raise InputError(
                    f"{path} is not the clip {clip.name} of the set: its content has another hash"
                )


def _relative(path: Path, folder: Path) -> str:
    """The path relative to the folder, or the absolute path where it lies elsewhere."""
    path, folder = path.resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
