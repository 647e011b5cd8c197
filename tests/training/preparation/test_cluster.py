"""The commands of `vsr data` on a cluster make what they make in one process."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.data.test_samples import texture

pytest.importorskip("pyarrow")
ROOT = Path(__file__).parents[3]

STEPS = (
    ("probe", "media", "clips"),
    ("split", "clips"),
    ("filter", "clips", "--min-side", "64"),
    ("degrade", "clips", "pairs", "--frames", "1", "--max-side", "64"),
)


def run_steps(folder: Path, media: Path, *options: str) -> dict[str, bytes]:
    """The bytes of all files that the commands write, with the same relative names."""
    folder.mkdir()
    (folder / "media").symlink_to(media, target_is_directory=True)
    # In processes of their own, where type checks do not wrap what Ray sends.
    for step in STEPS:
        command = [sys.executable, "-m", "vsr", "data", *step, *options]
        done = subprocess.run(
            command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    written = [path for name in ("clips", "pairs") for path in (folder / name).rglob("*.*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(written)}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)
    for number in range(5):
        picture = cv2.addWeighted(texture(160, 160, number), 0.7, noise, 0.3, 0)
        cv2.imwrite(str(media / f"{number}.png"), picture)
    (media / "broken.png").write_bytes(b"no picture")
    one = run_steps(tmp_path / "one", media)
    assert one == run_steps(tmp_path / "ray", media, "--cluster")
    assert one == run_steps(tmp_path / "two", media, "--workers", "2")
    assert len(json.loads(one["pairs/pairs.json"])["pairs"]) == 5
