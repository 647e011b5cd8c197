"""Both estimators find motion in the stated direction, at any frame size, never with a NaN."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models.optical_flow import Raft_Large_Weights, raft_large, raft_small

from vsr.errors import ConfigError, ModelError
from vsr.models.flow_estimators import DisFlow, flow_estimator
from vsr.models.raft import RAFT_FILE, RaftFlow, torchvision_raft_keys
from vsr.ops.flow import warp


@pytest.fixture(scope="module")
def raft_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return raft_large(weights=None).state_dict()


@pytest.fixture(scope="module")
def raft_file(raft_state, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("raft") / "raft.safetensors"
    save_file(raft_state, path)
    return path


@pytest.fixture(scope="module")
def raft(raft_file) -> RaftFlow:
    return RaftFlow(raft_file, iterations=2)


@pytest.fixture
def no_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "hub" / "checkpoints"


def _frames(t: int, h: int, w: int, *, shift: tuple[int, int] = (0, 0)) -> torch.Tensor:
    """A smooth texture that moves by `shift` = (dx, dy) pixels a frame."""
    dx, dy = shift
    rough = torch.rand(1, 3, h + 60, w + 60, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture = 3 * F.avg_pool2d(rough, 5, stride=1, padding=2)
    frames = [picture[..., 30 - k * dy :, 30 - k * dx :][..., :h, :w] for k in range(t)]
    return torch.stack(frames, dim=2).clamp(-1, 1)


@pytest.mark.parametrize("shift", [(3, 0), (0, -2), (-2, 4)])
def test_dis_finds_a_shift_both_ways(shift):
    flows = DisFlow()(_frames(3, 72, 96, shift=shift))
    inner = (..., slice(12, -12), slice(12, -12))
    for way, sign in ((flows.forward, 1), (flows.backward, -1)):
        found = way[inner].flatten(2).median(dim=2).values[0]
        assert found.tolist() == pytest.approx([sign * shift[0], sign * shift[1]], abs=0.2)


def test_forward_flow_fetches_the_next_frame():
    frames = _frames(2, 72, 96, shift=(3, -1))
    flows = DisFlow()(frames)
    fetched = warp(frames[:, :, 1], flows.forward[:, :, 0])
    inner = (..., slice(8, -8), slice(8, -8))
    still = (frames[:, :, 1] - frames[:, :, 0])[inner].abs().mean()
    assert (fetched - frames[:, :, 0])[inner].abs().mean() < 0.2 * still


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (15, 200), (16, 1920), (31, 100), (33, 20)])
def test_dis_takes_frames_of_any_size(size):
    for preset in ("medium", "fast", "ultrafast"):
        flows = DisFlow(preset)(_frames(2, *size, shift=(1, 1)))
        assert flows.forward.shape == (1, 2, 1, *size)
        assert flows.forward.isfinite().all()
        assert flows.backward.isfinite().all()


def test_still_and_flat_frames_do_not_move():
    for frames in (_frames(2, 40, 48), torch.zeros(1, 3, 2, 40, 48)):
        assert DisFlow()(frames).forward.abs().max() < 0.05


def test_every_entry_of_a_batch_has_its_own_flow():
    moving, still = _frames(3, 40, 48, shift=(2, 0)), _frames(3, 40, 48)
    both = DisFlow()(torch.cat((moving, still)))
    assert torch.equal(both.forward[:1], DisFlow()(moving).forward)
    assert torch.equal(both.backward[1:], DisFlow()(still).backward)


def test_a_single_frame_has_no_pairs(raft):
    for estimate in (DisFlow(), raft):
        assert estimate(_frames(1, 20, 30)).forward.shape == (1, 2, 0, 20, 30)


@pytest.mark.parametrize("size", [(9, 130), (40, 50), (136, 17)])
def test_raft_takes_frames_of_any_size(raft, size):
    flows = raft(_frames(2, *size))
    assert flows.forward.shape == (1, 2, 1, *size)
    assert flows.forward.isfinite().all()
    assert flows.backward.isfinite().all()


def test_raft_keeps_pairs_batches_and_directions_apart(raft):
    clip = _frames(3, 24, 30, shift=(2, 1))
    both = raft(torch.cat((clip, clip.flip(-1))))
    alone = raft(clip.flip(-1)[:, :, 1:])
    torch.testing.assert_close(both.forward[1:, :, 1:], alone.forward, atol=1e-3, rtol=1e-3)
    reversed_in_time = raft(clip.flip(2))
    torch.testing.assert_close(
        both.backward[:1], reversed_in_time.forward.flip(2), atol=1e-3, rtol=1e-3
    )


def _original_keys(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights as the original RAFT saves them; written from its names, not from ours."""
    rules: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
        ("feature_encoder", "fnet"),
        ("context_encoder", "cnet"),
        (r"net\.convnormrelu\.0", "net.conv1"),
        (r"net\.convnormrelu\.1", "net.norm1"),
        (r"net\.conv\.", "net.conv2."),
        (r"convnormrelu(\d)\.0", r"conv\1"),
        (r"convnormrelu(\d)\.1", r"norm\1"),
        ("motion_encoder", "encoder"),
        (r"convcorr(\d)\.0", r"convc\1"),
        (r"convflow(\d)\.0", r"convf\1"),
        (r"encoder\.conv\.0", "encoder.conv"),
        (r"recurrent_block\.convgru(\d)\.conv(.)", r"gru.conv\2\1"),
        (r"mask_predictor\.convrelu", "update_block.mask"),
        (r"mask_predictor\.conv", "update_block.mask.2"),
    ]
    original = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        original[f"module.{name}"] = value
        if "downsample.1" in name:
            original[f"module.{name.replace('downsample.1', 'norm3')}"] = value
    return original


def test_original_raft_files_give_the_same_flow(raft, raft_state, tmp_path):
    original = _original_keys(raft_state)
    assert len(original) == 179  # as many as raft-things.pth has
    assert "module.update_block.gru.convq2.weight" in original
    torch.save(original, tmp_path / "raft-things.pth")
    frames = _frames(2, 24, 30, shift=(1, 0))
    renamed = RaftFlow(tmp_path / "raft-things.pth", iterations=2)(frames)
    assert torch.equal(renamed.forward, raft(frames).forward)


def test_torchvision_keys_stay(raft_state):
    assert torchvision_raft_keys(raft_state).keys() == raft_state.keys()


def test_small_weights_make_a_small_raft(tmp_path):
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "small.pth")
    flows = RaftFlow(tmp_path / "small.pth", iterations=1)(_frames(2, 24, 30))
    assert flows.forward.isfinite().all()


def test_files_that_are_not_raft_are_refused_in_one_line(tmp_path):
    with pytest.raises(ModelError, match="is missing"):
        RaftFlow(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(ModelError, match="is not a file of weights"):
        RaftFlow(tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("not a checkpoint")
    with pytest.raises(ModelError, match="cannot be read"):
        RaftFlow(tmp_path / "text.safetensors")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="does not hold the weights of RAFT"):
        RaftFlow(tmp_path / "other.pth")


def test_auto_is_dis_on_a_cpu_and_the_log_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="vsr.models.flow_estimators"):
        assert isinstance(flow_estimator("auto", device="cpu"), DisFlow)
    assert "flow by DIS: the device is a CPU" in caplog.text


def test_flow_to_fuse_along_trembles_less_than_that_of_the_preset():
    noise = torch.randn(1, 3, 2, 72, 96, generator=torch.Generator().manual_seed(1))
    frames = _frames(2, 72, 96) + 0.1 * noise  # a still picture and noise: all flow is error
    error, preset = (flow(frames).forward.std() for flow in (flow_estimator("dis"), DisFlow()))
    assert error < 0.8 * preset


def test_auto_is_raft_when_weights_are_given(raft_file, caplog):
    with caplog.at_level(logging.INFO, logger="vsr.models.flow_estimators"):
        assert isinstance(flow_estimator("auto", weights=raft_file), RaftFlow)
    assert "flow by RAFT: weights are given" in caplog.text


def test_auto_is_raft_when_the_model_folder_has_weights(raft_state, tmp_path):
    (tmp_path / RAFT_FILE).parent.mkdir()
    save_file(raft_state, tmp_path / RAFT_FILE)
    assert isinstance(flow_estimator("auto", folder=tmp_path), RaftFlow)
    assert isinstance(flow_estimator("dis", folder=tmp_path), DisFlow)


def test_auto_is_dis_on_an_accelerator_without_cached_weights(no_cache):
    assert isinstance(flow_estimator("auto", device="cuda"), DisFlow)


def test_raft_takes_cached_weights_and_downloads_nothing(no_cache, raft_state):
    with pytest.raises(ModelError, match="cache holds none"):
        flow_estimator("raft")
    no_cache.mkdir(parents=True)
    torch.save(raft_state, no_cache / Raft_Large_Weights.DEFAULT.url.rpartition("/")[2])
    assert isinstance(flow_estimator("raft"), RaftFlow)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean raft"):
        flow_estimator("rafts")
    with pytest.raises(ConfigError, match="preset"):
        DisFlow("slow")
    with pytest.raises(ConfigError, match="at least one iteration"):
        RaftFlow("large", iterations=0)
