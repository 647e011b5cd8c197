import dataclasses
import logging
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vsr.degradation import DegradationConfig
from vsr.errors import ConfigError, InputError
from vsr.training.data.motion import MotionConfig
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig


def texture(h: int, w: int, seed: int) -> np.ndarray:
    """A smooth random picture: bilinear warping of it is nearly exact."""
    noise = np.random.default_rng(seed).random((h, w, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip((smooth - 0.5) * 2500 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), texture(260, 300, i))
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 12 frames/s: 15 frames of a red picture that moves, then 9 of a blue one."""
    folder = tmp_path_factory.mktemp("videos")
    picture = texture(120, 240, 9)
    with av.open(str(folder / "two_shots.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(24):
            frame = picture[:, 2 * i : 2 * i + 160].copy()
            frame[..., 2 if i < 15 else 0] //= 8
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return folder


def config(tmp_path: Path, **changes: object) -> TrainingClipsConfig:
    base = TrainingClipsConfig(
        photos=(tmp_path,),
        crop=16,
        frames=4,
        length=1000,
        video_access="av",
        cache=tmp_path / "cache",
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def clips(photos: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingClips:
    folder = tmp_path_factory.mktemp("both")
    return TrainingClips(config(folder, photos=(photos,), videos=(videos,), video_probability=0.5))


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_a_sample_has_the_shapes_and_ranges_of_the_contract(clips: TrainingClips) -> None:
    sample = clips[0]
    assert {key: tuple(value.shape) for key, value in sample.items()} == {
        "lr": (3, 4, 16, 16),
        "hr": (3, 4, 64, 64),
        "flow_backward": (2, 3, 64, 64),
        "valid": (3, 64, 64),
        "has_flow": (),
    }
    assert all(value.dtype == torch.float32 for value in sample.values())
    for key in ("lr", "hr"):
        assert -1 <= sample[key].min() < sample[key].max() <= 1


def test_photographs_bring_their_motion_and_videos_none(clips: TrainingClips) -> None:
    samples = [clips[i] for i in range(24)]
    assert {float(s["has_flow"]) for s in samples} == {0.0, 1.0}
    for sample in samples:
        if sample["has_flow"]:
            assert sample["valid"].mean() > 0.1
        else:
            assert not sample["valid"].any()
            assert not sample["flow_backward"].any()


@pytest.mark.parametrize("layers", [0.0, 1.0])
def test_a_frame_warped_by_the_motion_is_the_next_one(photos: Path, layers: float) -> None:
    motion = MotionConfig(layer_probability=layers, pan=(0.5, 6.0), photo_scale=(1.0, 1.8))
    clips = TrainingClips(config(photos, motion=motion))
    errors, worst, static = [], [], []
    for i in range(30):
        sample = clips[i]
        hr = ((sample["hr"] + 1) * 127.5).permute(1, 2, 3, 0).numpy()
        y, x = np.mgrid[:64, :64].astype(np.float32)
        for k in range(3):
            dx, dy = sample["flow_backward"][:, k].numpy()
            warped = cv2.remap(
                hr[k], x + dx, y + dy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            valid = sample["valid"][k].bool().numpy()
            error = np.abs(warped - hr[k + 1])[valid]
            worst.append(error.max(initial=0))
            errors.append(error.mean() if error.size else 0)
            static.append(np.abs(hr[k] - hr[k + 1])[valid].max(initial=0))
    # Two roundings to 8 bits and two warps of 1/32 pixel, where the mean slope is 13 levels a
    # pixel; the worst places are kinks of the clipped texture.
    assert max(errors) < 1
    assert max(worst) < 10
    assert np.mean(static) > 10


def test_hidden_places_are_invalid_and_the_layers_move_apart(photos: Path) -> None:
    motion = MotionConfig(layer_probability=1.0, still_probability=0.0, pan=(2.0, 4.0))
    clips = TrainingClips(config(photos, motion=motion))
    hidden = 0
    for i in range(12):
        sample = clips[i]
        dx, dy = sample["flow_backward"]
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        inside = (x + dx).clamp(0, 63).eq(x + dx) & (y + dy).clamp(0, 63).eq(y + dy)
        hidden += int((inside & ~sample["valid"].bool()).sum())
        assert not (sample["valid"].bool() & ~inside).any()
    assert hidden > 100


def test_a_clip_of_one_frame_has_no_motion(photos: Path) -> None:
    settings = TrainingClipsConfig(
        photos=(photos,),
        crop=8,
        frames=1,
        lead_in_frames=0,
        motion=MotionConfig(layer_probability=1.0),
    )
    sample = TrainingClips(settings)[0]
    assert sample["hr"].shape == (3, 1, 32, 32)
    assert sample["flow_backward"].shape == (2, 0, 32, 32)


def test_a_still_camera_gives_a_still_clip(photos: Path) -> None:
    motion = MotionConfig(still_probability=1.0)
    sample = TrainingClips(config(photos, motion=motion))[5]
    assert not sample["flow_backward"].any()
    assert sample["valid"].all()
    assert (sample["hr"] == sample["hr"][:, :1]).all()


def test_rendering_at_half_size_keeps_place(photos: Path) -> None:
    # Supersampled and direct rendering must agree on where pixel centres are.
    from vsr.training.data.motion import _render, _translation  # pyright: ignore

    picture = texture(260, 300, 0)
    halving = (_translation(60.5, 40.5) @ np.diag([2.0, 2.0, 1.0]))[None]
    expected = cv2.resize(picture[40:168, 60:188], (64, 64), interpolation=cv2.INTER_AREA)
    found = _render(picture, halving, 64)[0]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_the_small_clip_is_the_large_one_reduced(photos: Path) -> None:
    clips = TrainingClips(config(photos, degradation=DegradationConfig(clean_probability=1.0)))
    for i in range(16):
        sample = clips[i]
        reduced = torch.nn.functional.avg_pool3d(sample["hr"], (1, 4, 4))
        assert (reduced - sample["lr"]).abs().mean() < 0.02


def test_videos_are_cut_at_their_shots(clips: TrainingClips) -> None:
    runs = [np.load(run) for run in clips.videos.videos[0]]
    assert sorted(len(run) for run in runs) == [9, 15]
    for run in runs:
        red_minus_blue = run.mean((1, 2))[:, 0] - run.mean((1, 2))[:, 2]
        assert (np.sign(red_minus_blue) == np.sign(red_minus_blue[0])).all()


def test_the_cache_is_used_again(clips: TrainingClips) -> None:
    before = {p: p.stat().st_mtime_ns for p in clips.config.cache.rglob("*.npy")}
    again = TrainingClips(clips.config)
    assert before == {p: p.stat().st_mtime_ns for p in clips.config.cache.rglob("*.npy")}
    assert_same(again[3], clips[3])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_samples_do_not_depend_on_the_number_of_workers(clips: TrainingClips) -> None:
    indices = [7, 3, 11, 2]
    for workers in (0, 2):
        loader = DataLoader(clips, batch_size=2, sampler=indices, num_workers=workers)
        batches = list(loader)
        for position, index in enumerate(indices):
            batch, row = divmod(position, 2)
            assert_same({k: v[row] for k, v in batches[batch].items()}, clips[index])


def test_seeds_and_indices_give_different_samples(clips: TrainingClips) -> None:
    other = TrainingClips(dataclasses.replace(clips.config, seed=1), photos=clips.photos)
    assert not torch.equal(clips[0]["hr"], clips[1]["hr"])
    assert not torch.equal(clips[0]["hr"], other[0]["hr"])


def test_broken_files_are_counted_named_and_skipped(
    photos: Path, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").mkdir()
    for source in (*photos.iterdir(), *videos.iterdir()):
        (tmp_path / "a" / source.name).symlink_to(source)
    (tmp_path / "a" / "bad.jpg").write_bytes(b"not a picture")
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "bad.mp4").write_bytes(b"not a video")
    with caplog.at_level(logging.WARNING):
        clips = TrainingClips(
            config(
                tmp_path, photos=(tmp_path / "a",), videos=(tmp_path / "a",), video_probability=0.5
            )
        )
    names = {path.name for path in clips.skipped}
    assert names == {"bad.jpg", "empty.png", "bad.mp4"}
    assert all(name in caplog.text for name in names)
    assert all(torch.isfinite(clips[i]["hr"]).all() for i in range(10))


def test_what_breaks_in_the_middle_of_an_epoch_is_counted_named_and_passed_over(
    photos: Path, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # One photograph fits into the memory: the others are read again and again.
    shutil.copytree(photos, tmp_path / "photos")
    clips = TrainingClips(
        config(
            tmp_path,
            photos=(tmp_path / "photos",),
            videos=(videos,),
            video_probability=0.5,
            photo_memory=1,
        )
    )
    whole = [clips[i] for i in range(16)]
    (tmp_path / "photos" / "1.png").write_bytes(b"overwritten")
    (tmp_path / "photos" / "2.png").unlink()
    run = clips.videos.videos[0][0]
    run.write_bytes(run.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        later = [clips[i] for i in range(16)]
    assert {path.name for path in clips.skipped} == {"1.png", "2.png", run.name}
    assert all(f"{path}" in caplog.text for path in clips.skipped)
    assert "(2 skipped)" in caplog.text  # photographs and videos are counted each for themselves
    assert all(torch.isfinite(sample["hr"]).all() for sample in later)
    same = [torch.equal(a["hr"], b["hr"]) for a, b in zip(whole, later, strict=True)]
    assert any(same)  # what does not need them stays as it was
    assert not all(same)


def test_a_video_that_ends_early_or_is_torn_trains_as_far_as_it_goes(
    photos: Path, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "videos").mkdir()
    whole = (videos / "two_shots.mp4").read_bytes()
    torn = bytearray(whole)
    middle = len(torn) // 2
    torn[middle : middle + 300] = b"\0" * 300
    (tmp_path / "videos" / "torn.mp4").write_bytes(torn)
    (tmp_path / "videos" / "cut_off.mp4").write_bytes(whole[: len(whole) // 2])  # no index
    (tmp_path / "videos" / "whole.mp4").write_bytes(whole)
    for access in ("av", "decord"):
        pytest.importorskip(access)
        with caplog.at_level(logging.WARNING):
            clips = TrainingClips(
                config(
                    tmp_path,
                    photos=(photos,),
                    videos=(tmp_path / "videos",),
                    video_probability=1.0,
                    video_access=access,
                    cache=tmp_path / access,
                )
            )
        assert {path.name for path in clips.skipped} - {"torn.mp4"} == {"cut_off.mp4"}
        assert "cut_off.mp4: skipped" in caplog.text
        assert all(torch.isfinite(clips[i]["hr"]).all() for i in range(4))


def test_a_small_memory_holds_few_photographs_and_changes_nothing(photos: Path) -> None:
    one = 260 * 300 * 3
    small = TrainingClips(config(photos, photo_memory=one))
    large = TrainingClips(config(photos))
    for i in range(6):
        assert_same(small[i], large[i])
    assert small.photos.held <= one < large.photos.held


def test_photographs_too_small_for_a_crop_are_an_error_that_says_so(photos: Path) -> None:
    with pytest.raises(InputError, match="sources in a row"):
        TrainingClips(config(photos, crop=128))[0]


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        TrainingClips(config(tmp_path))
    with pytest.raises(ConfigError, match="not a folder"):
        TrainingClips(config(tmp_path, photos=(tmp_path / "missing",)))
    with pytest.raises(ConfigError, match="photos"):
        TrainingClipsConfig()


def test_an_index_out_of_range_is_an_error(clips: TrainingClips) -> None:
    with pytest.raises(IndexError):
        clips[1000]
