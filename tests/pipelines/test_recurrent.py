"""A recurrent network on clips: what it carries and looks at makes of clips one shot."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vsr.checkpoints.find import embedded_models
from vsr.checkpoints.load import load
from vsr.errors import ConfigError, InputError
from vsr.models.basicvsr import BasicVsr
from vsr.pipelines.recurrent import RecurrentUpscalePipeline
from vsr.video.reading.reader import VideoReader

HEIGHT, WIDTH = 36, 40


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> RecurrentUpscalePipeline:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    save_file(BasicVsr(channels=8, blocks=2).state_dict(), path)
    return RecurrentUpscalePipeline.from_file(path)


def _video(frames: int) -> np.ndarray:
    t, y, x = np.mgrid[:frames, :HEIGHT, :WIDTH]
    x = x + t / 2
    channels = [x / 2 + y / 3, x / 4 - y / 2, x / 3 + np.sin(y)]
    return np.stack([128 + 90 * np.sin(c) for c in channels], axis=-1).astype(np.uint8)


def _in_clips(pipe, frames: np.ndarray, length: int) -> torch.Tensor:
    state, large = None, []
    for first in range(0, len(frames), length):
        ahead = frames[first + length :]
        done = pipe(
            frames[first : first + length],
            state=state,
            ahead=ahead if len(ahead) else None,
            output_type="pt",
        )
        state = done.state
        large.append(done.frames)
    return torch.cat(large, dim=2)


def test_with_enough_frames_ahead_clips_are_the_whole_shot(pipe, monkeypatch):
    monkeypatch.setattr(pipe, "look_ahead", 9)
    whole = pipe(_video(9), output_type="pt").frames
    torch.testing.assert_close(_in_clips(pipe, _video(9), 3), whole, atol=1e-5, rtol=0)


def test_without_frames_ahead_only_the_ends_of_clips_differ(pipe, monkeypatch):
    monkeypatch.setattr(pipe, "look_ahead", 0)
    whole = pipe(_video(6), output_type="pt").frames
    apart = (_in_clips(pipe, _video(6), 3) - whole).abs().amax(dim=(0, 1, 3, 4))
    assert apart[2] > 1e-4
    assert apart[3:].max() < 1e-5  # the second clip is the last: it has all that it can see


@pytest.mark.slow
def test_four_frames_ahead_bring_the_embedded_network_near_the_whole_shot():
    """The tolerance that its card states: 3 levels of 255 in the mean of a frame."""
    with VideoReader(Path(__file__).parents[2] / "vsr" / "assets" / "sample.mp4") as reader:
        frames = np.stack([frame.pixels[:48, :64] for frame in list(reader)[:16]])
    pipe = load("basicvsr-reds4", device="cpu", dtype="float32")
    whole = pipe(frames, output_type="pt").frames
    apart = (_in_clips(pipe, frames, 8) - whole).abs().mean(dim=(0, 1, 3, 4)) * 127.5
    assert apart.max() < 3
    assert apart[8:].max() < 0.01  # the second clip is the last: it has all that it can see


def test_frames_come_out_in_every_form(pipe):
    array = pipe(_video(2)).frames
    assert (array.dtype, array.shape) == (np.uint8, (2, 4 * HEIGHT, 4 * WIDTH, 3))
    pictures = pipe(list(_video(2)), output_type="pil").frames
    assert np.array_equal(np.stack([np.asarray(one) for one in pictures]), array)


def test_the_stream_looks_ahead_and_carries(pipe, monkeypatch):
    monkeypatch.setattr(pipe, "look_ahead", 3)
    frames = _video(11)
    found = np.stack(list(pipe.upscale(frames, max_clip_frames=4, detector=None)))
    expected = pipe(frames[:4], ahead=frames[4:7], output_type="pt").frames
    assert found.shape == (11, 4 * HEIGHT, 4 * WIDTH, 3)
    first = (expected[0, :, :4] * 127.5 + 127.5).round().permute(1, 2, 3, 0).numpy()
    assert np.array_equal(found[:4], first)


def test_a_state_survives_a_file(pipe):
    first = pipe(_video(4))
    state = type(first.state).from_bytes(first.state.to_bytes(), torch.device("cpu"))
    again, direct = (pipe(_video(4), state=one).frames for one in (state, first.state))
    assert np.array_equal(again, direct)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"num_inference_steps": 4}, "num_inference_steps = 4, but net.safetensors has no use"),
        ({"tile": 64}, "tile = 64"),
        ({"propagation_steps": (0,)}, "carries features itself: it can be none"),
        ({"generator": torch.Generator()}, "generator = .* has no use for it"),
        ({"output_type": "latent"}, "it can be np, pt or pil"),
    ],
    ids=lambda value: value if isinstance(value, str) else "call",
)
def test_an_option_without_use_is_refused(pipe, call, says):
    with pytest.raises(ConfigError, match=says):
        pipe(_video(2), **call)


def test_frames_and_states_of_another_size_are_refused(pipe):
    state = pipe(_video(2)).state
    with pytest.raises(InputError, match=r"state\.frame has shape"):
        pipe(_video(2)[:, :20], state=state)
    with pytest.raises(InputError, match="ahead has shape"):
        pipe(_video(2), ahead=_video(2)[:, :20])


def test_the_embedded_network_loads_by_name():
    pipe = load("basicvsr-reds4", device="cpu", dtype="float32")
    assert isinstance(pipe, RecurrentUpscalePipeline)
    assert embedded_models()["basicvsr-reds4"].parent.joinpath("README.md").is_file()
