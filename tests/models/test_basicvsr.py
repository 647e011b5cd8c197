"""BasicVSR against its formula, written as plainly as possible; files with and without SPyNet."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from tests.networks import compact, saved
from vsr.errors import ModelError
from vsr.models import basicvsr
from vsr.models.basicvsr import BasicVsr
from vsr.models.network_kind import is_recurrent

FRAMES, HEIGHT, WIDTH = 4, 9, 12


@pytest.fixture(scope="module")
def network() -> BasicVsr:
    torch.manual_seed(0)
    return BasicVsr(channels=6, blocks=2).eval().requires_grad_(False)


def _clip() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(1, 3, FRAMES, HEIGHT, WIDTH, generator=generator)
    flows = torch.randn(2, 1, 2, FRAMES - 1, HEIGHT, WIDTH, generator=generator) * 2
    return frames, flows[0], flows[1]


def _large(network: BasicVsr, frames: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    b = network.backward_features(frames, forward, keep=FRAMES)
    a = network.forward_features(frames, backward, previous=None)
    return torch.stack(
        [network.large_frame(frames[:, :, i], b[i], ai) for i, ai in enumerate(a)], dim=2
    )


def _plain(state: dict[str, Tensor], frames: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def lrelu(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.1 * x)

    def trunk(name: str, x: Tensor, z: Tensor) -> Tensor:
        z = lrelu(conv(f"{name}.main.0", torch.cat([x, z], dim=1)))
        for i in range(2):
            inner = conv(f"{name}.main.2.{i}.conv1", z).clamp(min=0)
            z = z + conv(f"{name}.main.2.{i}.conv2", inner)
        return z

    def moved(z: Tensor, flow: Tensor) -> Tensor:
        result = torch.zeros_like(z)
        for y in range(HEIGHT):
            for x in range(WIDTH):
                px, py = x + float(flow[0, 0, y, x]), y + float(flow[0, 1, y, x])
                for qy in (int(py // 1), int(py // 1) + 1):
                    for qx in (int(px // 1), int(px // 1) + 1):
                        if 0 <= qy < HEIGHT and 0 <= qx < WIDTH:
                            share = (1 - abs(py - qy)) * (1 - abs(px - qx))
                            result[..., y, x] += share * z[..., qy, qx]
        return result

    x = frames.unbind(dim=2)
    zero = torch.zeros(1, 6, HEIGHT, WIDTH)
    b, a = [zero] * FRAMES, [zero] * FRAMES
    for i in reversed(range(FRAMES)):
        z = moved(b[i + 1], forward[:, :, i]) if i < FRAMES - 1 else zero
        b[i] = trunk("backward_trunk", x[i], z)
    for i in range(FRAMES):
        z = moved(a[i - 1], backward[:, :, i - 1]) if i else zero
        a[i] = trunk("forward_trunk", x[i], z)
    large = []
    for i in range(FRAMES):
        y = lrelu(conv("fusion", torch.cat([b[i], a[i]], dim=1)))
        y = lrelu(F.pixel_shuffle(conv("upconv1", y), 2))
        y = lrelu(F.pixel_shuffle(conv("upconv2", y), 2))
        y = conv("conv_last", lrelu(conv("conv_hr", y)))
        large.append(y + F.interpolate(x[i], scale_factor=4, mode="bilinear"))
    return torch.stack(large, dim=2)


def test_it_computes_the_published_formula(network):
    found = _large(network, *_clip())
    expected = _plain(network.state_dict(), *_clip())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_strips_change_no_pixel(network, monkeypatch, rows):
    whole = _large(network, *_clip())
    monkeypatch.setattr(basicvsr, "_STRIP_PIXELS", rows * WIDTH)
    torch.testing.assert_close(_large(network, *_clip()), whole, atol=1e-6, rtol=0)


def test_frames_after_those_that_are_kept_are_only_looked_at(network):
    frames, forward, _ = _clip()
    whole = network.backward_features(frames, forward, keep=FRAMES)
    assert len(network.backward_features(frames, forward, keep=2)) == 2
    for i, kept in enumerate(network.backward_features(frames, forward, keep=2)):
        assert torch.equal(kept, whole[i])


def test_a_carried_feature_goes_on_as_in_one_run(network):
    frames, _, backward = _clip()
    whole = list(network.forward_features(frames, backward, previous=None))
    rest = network.forward_features(frames[:, :, 2:], backward[:, :, 1:], previous=whole[1])
    for found, expected in zip(rest, whole[2:], strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("under", [None, "params", "params_ema"])
def test_a_published_pickle_loads_without_its_flow_network(network, tmp_path: Path, under):
    state = {**network.state_dict(), "spynet.mean": torch.zeros(1, 3, 1, 1)}
    torch.save(state if under is None else {under: state}, tmp_path / "net.pth")
    assert is_recurrent(tmp_path / "net.pth")
    loaded = BasicVsr.load(tmp_path / "net.pth")
    assert loaded.channels == 6
    assert torch.equal(loaded.fusion.weight, network.fusion.weight)


def test_kinds_are_told_by_the_names_of_tensors(network, tmp_path: Path):
    save_file(network.state_dict(), tmp_path / "video.safetensors")
    assert is_recurrent(tmp_path / "video.safetensors")
    assert not is_recurrent(saved(compact(), tmp_path / "image.safetensors"))
    assert not is_recurrent(saved(compact(), tmp_path / "image.pth"))
    (tmp_path / "broken.safetensors").write_bytes(b"not a file of weights")
    assert not is_recurrent(tmp_path / "broken.safetensors")


def test_other_files_are_refused(network, tmp_path: Path):
    with pytest.raises(ModelError, match="holds no BasicVSR"):
        BasicVsr.load(saved(compact(), tmp_path / "image.safetensors"))
    state = {key: value for key, value in network.state_dict().items() if "conv_hr" not in key}
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(ModelError, match=r"does not fit BasicVSR: .*conv_hr"):
        BasicVsr.load(tmp_path / "part.safetensors")
