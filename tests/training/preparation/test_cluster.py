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
from tests.training.folders import save_folder
from tests.training.preparation.blip import save_blip
from vsr.training.data.manifest import open_manifest

pytest.importorskip("pyarrow")
ROOT = Path(__file__).parents[3]

STEPS = (
    ("probe", "media", "clips"),
    ("split", "clips"),
    ("filter", "clips", "--min-side", "64"),
    ("degrade", "clips", "pairs", "--frames", "1", "--max-side", "64"),
)


MODEL_STEPS = (
    ("probe", "media", "clips"),
    ("caption", "clips", "--model", "blip", "--max-tokens", "6"),
    (
        *("precompute", "clips", "latents", "--model", "upscaler", "--cache", "cache"),
        *("--samples", "6", "--shard-samples", "2", "--crop", "16", "--frames", "2"),
    ),
)


def run_steps(
    folder: Path, given: Path, *options: str, steps: tuple[tuple[str, ...], ...] = STEPS
) -> dict[str, bytes]:
    """The bytes of all files that the commands write, with the same relative names."""
    folder.mkdir()
    for path in given.iterdir():
        (folder / path.name).symlink_to(path, target_is_directory=True)
    # In processes of their own, where type checks do not wrap what Ray sends. The last bit of a
    # latent depends on the number of threads that add it up.
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
    for step in steps:
        command = [sys.executable, "-m", "vsr", "data", *step, *options]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    made = ("clips", "pairs", "latents")
    written = [path for name in made for path in (folder / name).rglob("*.*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(written)}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    media = pictures(tmp_path / "given" / "media")
    (media / "broken.png").write_bytes(b"no picture")
    one = run_steps(tmp_path / "one", media.parent)
    assert one == run_steps(tmp_path / "ray", media.parent, "--cluster")
    assert one == run_steps(tmp_path / "two", media.parent, "--workers", "2")
    assert len(json.loads(one["pairs/pairs.json"])["pairs"]) == 5


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_models_describe_and_encode_on_a_cluster_as_in_one_process(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    given = tmp_path / "given"
    pictures(given / "media")
    save_blip(given / "blip")
    save_folder(given / "upscaler")
    one = run_steps(tmp_path / "one", given, steps=MODEL_STEPS)
    assert one == run_steps(tmp_path / "ray", given, "--cluster", steps=MODEL_STEPS)
    assert sum(name.startswith("latents/shard") for name in one) == 3
    captions = [row.caption for row in open_manifest(tmp_path / "one" / "clips")]
    assert len(captions) == 5
    assert all(captions)


def pictures(media: Path) -> Path:
    """A folder of five pictures."""
    media.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)
    for number in range(5):
        picture = cv2.addWeighted(texture(160, 160, number), 0.7, noise, 0.3, 0)
        cv2.imwrite(str(media / f"{number}.png"), picture)
    return media
