"""Shapes are checked by the test run; small real clips that tests of jobs and commands share."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from jaxtyping import install_import_hook

import vsr.runtime.executor_ray  # noqa: F401  before the hook: Ray pickles its class by value
from tests import typecheck

install_import_hook("vsr", f"{typecheck.__name__}.check")


@pytest.fixture(autouse=True)
def no_handlers_left() -> Iterator[None]:
    """A command that runs inside a test logs to that test's standard error, closed afterwards."""
    yield
    root = logging.getLogger()
    for handler in list(root.handlers):
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)


FRAMES, HEIGHT, WIDTH, RATE = 10, 24, 32, Fraction(24000, 1001)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of ten 32x24 frames at 23.976 frames/s, with a second of sound."""
    path = tmp_path_factory.mktemp("source") / "clip.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "10", "bf": "0"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for picture in moving_pictures():
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for number in range(7):
            samples = np.sin(np.arange(1024, dtype=np.float32) / 8)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * number
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def moving_pictures() -> Iterator[np.ndarray]:
    """Smooth pictures that move to the right by a pixel a frame."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(FRAMES):
        phases = [(columns - number) / 5, rows / 4, (columns - number + rows) / 7]
        channels = [127 + 100 * np.sin(phase) for phase in phases]
        yield np.stack(channels, axis=-1).astype(np.uint8)


def two_shots() -> np.ndarray:
    """Moving pictures, and their negatives upside down, `t h w 3`; the second begins at 10."""
    shot = np.stack(list(moving_pictures()))
    return np.concatenate([shot, 255 - shot[:6, ::-1]])


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole model of the embedded one's kind, with few channels; not trained."""
    from vsr.models.unet import UNetVideoModel
    from vsr.models.vae import AutoencoderKLVideo
    from vsr.pipelines.video import VideoUpscalePipeline

    torch.manual_seed(0)
    unet = UNetVideoModel(
        in_channels=48 + 3,
        out_channels=48,
        block_out_channels=(16, 32),
        layers_per_block=(1, 1),
        num_heads=(1, 2),
        attention=("none", "window"),
        cross_attention_dim=None,
        window=(4, 4, 4),
        residual=(False, True),
        skip="add",
        temporal_attention=False,
        temporal_resnet=False,
        temporal_blocks=(True, True),
        mid_temporal_block=False,
        temporal_block_first=True,
        temporal_block_spatial=False,
        temporal_kernels=(3, 3),
        norm="none",
        attention_norm="none",
        activation="prelu",
        max_noise_level=100,
        num_class_embeds=101,
    )
    # Small: the output is near the enlarged frames, as a trained model's is.
    torch.nn.init.normal_(unet.conv_out.weight, std=1e-3)
    vae = AutoencoderKLVideo(
        latent_channels=48,
        latents="unshuffle",
        block_out_channels=(8,),
        layers_per_block=0,
        norm="none",
        activation="prelu",
        mid_attention=False,
        temporal_kernel=(3, 1, 1),
        condition_channels=8,
        scaling_factor=1.0,
        decode_frames=4,
        decode_context=2,
    )
    sampling = {
        "prediction": "residual",
        "start": "low_res",
        "start_strength": 0.05,
        "num_inference_steps": 1,
        "noise_level": 20,
        "propagation_steps": (0,),
    }
    pipeline = VideoUpscalePipeline(
        unet, vae, FlowMatchEulerDiscreteScheduler(), DDPMScheduler(), sampling=sampling
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipeline.save_pretrained(folder)
    return folder
