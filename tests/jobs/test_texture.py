"""Texture of key frames through the whole job: same frames for any clips, same bytes resumed."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

import vsr
from tests.conftest import moving_pictures
from tests.decoded import pixels
from tests.networks import compact, saved
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, InputError, ModelError
from vsr.jobs.upscale import upscale

_ROOT = Path(__file__).parents[2]
_TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(compact(), tmp_path_factory.mktemp("texture") / "strong.safetensors")


def config(texture: Path | str, **options) -> UpscaleConfig:
    given = {"model": "bicubic", "device": "cpu", "lossless": True, "texture_strength": 100.0}
    return UpscaleConfig(texture=str(texture), **{**given, **options})


def test_frames_do_not_depend_on_the_length_of_clips(
    source: Path, network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        upscale(source, tmp_path / "a.mkv", config(network, max_clip_frames=3))
    assert "texture was drawn on" in caplog.text
    upscale(source, tmp_path / "b.mkv", config(network, max_clip_frames=7))
    upscale(source, tmp_path / "plain.mkv", config("none"))
    first = pixels(tmp_path / "a.mkv")
    assert np.array_equal(first, pixels(tmp_path / "b.mkv"))
    assert not np.array_equal(first, pixels(tmp_path / "plain.mkv"))


class _Interrupted:
    """A progress bar whose owner presses Ctrl-C after some frames."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, total: int | None) -> "_Interrupted":
        return self

    def __enter__(self):
        return self.advance

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, frames: int) -> None:
        self.left -= frames
        if self.left <= 0:
            raise KeyboardInterrupt


def test_a_resumed_run_gives_the_same_bytes(source: Path, network: Path, tmp_path: Path) -> None:
    options = config(network, max_clip_frames=3)
    upscale(source, tmp_path / "whole.mkv", options)
    with pytest.raises(KeyboardInterrupt):
        upscale(source, tmp_path / "parts.mkv", options, progress=_Interrupted(4))
    upscale(source, tmp_path / "parts.mkv", options)
    assert (tmp_path / "parts.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


@pytest.fixture(scope="module")
def two_groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shot of 17 still frames whose last one but two is an I-frame."""
    path = tmp_path_factory.mktemp("groups") / "groups.mkv"
    picture = next(iter(moving_pictures()))
    with av.open(str(path), "w") as container:
        options = {"g": "14", "sc_threshold": "0", "bf": "0"}
        video = container.add_stream("libx264", rate=25, options=options)
        video.height, video.width, video.pix_fmt = *picture.shape[:2], "yuv420p"
        for _ in range(17):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path


def test_an_i_frame_is_a_key_of_any_clips_and_when_resumed(
    two_groups: Path, network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"reduce": "2", "deinterlace": "on"}
    with caplog.at_level("INFO"):
        upscale(two_groups, tmp_path / "a.mkv", config(network, max_clip_frames=17, **options))
    assert "drawn on 2.0 of 17 frames" in caplog.text
    parts = config(network, max_clip_frames=3, **options)
    with pytest.raises(KeyboardInterrupt):
        upscale(two_groups, tmp_path / "b.mkv", parts, progress=_Interrupted(6))
    upscale(two_groups, tmp_path / "b.mkv", parts)
    assert np.array_equal(pixels(tmp_path / "a.mkv"), pixels(tmp_path / "b.mkv"))


def test_pictures_by_hand_change_the_frames_around_them(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    upscale(source, tmp_path / "plain.mkv", config("none"))
    plain = pixels(tmp_path / "plain.mkv")
    rng = np.random.default_rng(0)
    bold = plain[2].astype(int) + rng.integers(-40, 40, (*plain[2].shape[:2], 1))
    av.VideoFrame.from_ndarray(bold.clip(0, 255).astype(np.uint8), format="rgb24").to_image().save(
        folder / "000002.png"
    )
    upscale(source, tmp_path / "out.mkv", config(folder))
    changed = np.abs(pixels(tmp_path / "out.mkv").astype(int) - plain).mean(axis=(1, 2, 3))
    assert changed[:4].min() > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texture_strength": 150.0}, "texture_strength"),
        ({"keyframes": "0"}, "keyframes = 0"),
        ({"keyframes": "often"}, "give auto, or a number"),
        ({"texture_steps": 0}, "texture_steps"),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UpscaleConfig(**options)


def test_what_cannot_give_texture_is_refused_before_any_work(source: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="named by a frame"):
        upscale(source, tmp_path / "out.mkv", config(empty))
    with pytest.raises(ModelError, match="there is no model strnog"):
        upscale(source, tmp_path / "out.mkv", config("strnog"))


@pytest.mark.slow
def test_two_ranks_give_the_bytes_of_one_process(network: Path, tmp_path: Path) -> None:
    film = Path(vsr.__file__).parent / "assets" / "sample.mp4"
    options = "--model bicubic --texture-strength 100 --lossless --device cpu --dtype float32"
    for name, launch in (("one", []), ("two", _TORCHRUN)):
        command = [sys.executable, *launch, "-m", "vsr", "upscale"]
        made = subprocess.run(
            [*command, film, tmp_path / f"{name}.mkv", "--texture", network, *options.split()],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert made.returncode == 0, made.stderr
    assert (tmp_path / "one.mkv").read_bytes() == (tmp_path / "two.mkv").read_bytes()
