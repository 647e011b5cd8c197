"""Results of the public tool vsreval: DOVER, FasterVQA and its warping error by RAFT.

They need old versions of torch, so vsreval runs in an environment of its own, and its
`results.json` is read in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.errors import InputError
from vsr.evaluation.meters import Figures

FIGURES = {"dover": "dover", "fastervqa": "fastervqa", "ewarp": "ewarp_vsreval"}
"""Our names of its figures, by its own."""


@dataclass(frozen=True, slots=True)
class VsrevalResults:
    """The figures of each clip, and the protocol and versions that they were measured with."""

    clips: Mapping[str, Figures]
    protocol: str
    versions: Mapping[str, str]

    @classmethod
    def load(cls, path: Path) -> "VsrevalResults":
        """Read `results.json`; InputError if it is not one of vsreval's."""
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            clips = {
                str(name): {FIGURES[key]: float(row[key]) for key in FIGURES if key in row}
                for name, row in content["per_sample"].items()
            }
            return cls(clips, str(content["protocol"]), dict(content["versions"]))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path} holds no results of vsreval; give the results.json of its --out folder"
            ) from error


def command(outputs: Path) -> str:
    """Return the command by which vsreval measures the clips, for the list of missing figures."""
    folder = outputs if outputs.is_dir() else outputs.parent
    return (
        f"uvx vsreval eval --pred {folder} --metrics {','.join(FIGURES)} --out vsreval_out, then "
        "add --vsreval vsreval_out/results.json"
    )
