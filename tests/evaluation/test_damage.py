"""Each kind of damage is found by the figure that should find it, and by name."""

import cv2
import numpy as np
import pytest

from tests.evaluation.clips import FRAMES, HEIGHT, WIDTH, changed, figures_of, truth_clip
from vsr.evaluation.alignment import PlacementMeter, ShiftMeter
from vsr.evaluation.color_drift import color_drift
from vsr.evaluation.fidelity import fidelity
from vsr.evaluation.findings import findings
from vsr.evaluation.meters import Figures, FrameMeter
from vsr.evaluation.patterns import CheckerMeter, TileMeter
from vsr.evaluation.temporal import FlickerMeter, GhostMeter, TemporalMeter

TRUTH = truth_clip()


def found(figures: Figures, **more: int) -> str:
    return "; ".join(findings(figures, **more))


def test_identical_clips_have_no_error_and_no_finding() -> None:
    figures: Figures = {}
    for meter in (FlickerMeter(), GhostMeter(), TileMeter(), TemporalMeter(), ShiftMeter()):
        figures |= figures_of(meter, TRUTH, TRUTH)
    figures |= figures_of(PlacementMeter(), TRUTH, TRUTH)
    figures |= figures_of(FrameMeter(fidelity), TRUTH, TRUTH)
    figures |= figures_of(FrameMeter(color_drift), TRUTH, TRUTH)
    assert findings(figures) == ()
    assert figures["psnr_y"] == pytest.approx(148.13, abs=0.01)
    ones = ("ssim_y", "detail", "clip_border", "tile_border")
    assert [figures[name] for name in ones] == pytest.approx([1] * len(ones))
    zeros = ("flicker", "ghost", "tdiff", "color", "misplaced_frames", "shift_x", "shift_y")
    assert [figures[name] for name in zeros] == pytest.approx([0] * len(zeros), abs=1e-3)


def test_a_shift_by_one_pixel_is_measured() -> None:
    shifted = [np.roll(one, 1, axis=1) for one in TRUTH]
    figures = figures_of(ShiftMeter(), shifted, TRUTH)
    assert (figures["shift_x"], figures["shift_y"]) == pytest.approx((1, 0), abs=0.1)
    assert "shift" in found(figures)


def test_blur_lowers_detail() -> None:
    blurred = [cv2.GaussianBlur(one, (0, 0), 2) for one in TRUTH]
    figures = figures_of(FrameMeter(fidelity), blurred, TRUTH)
    assert "blur" in found(figures)


def test_flicker_is_measured_in_levels_of_luma() -> None:
    flickering = [one if t % 2 else changed([one], 4)[0] for t, one in enumerate(TRUTH)]
    figures = figures_of(FlickerMeter(), flickering, TRUTH)
    assert figures["flicker"] == pytest.approx(4 * 219 / 255, rel=0.02)
    assert "flicker" in found(figures)


def test_a_jump_between_clips_is_found() -> None:
    truth = truth_clip(12)
    noise = np.random.default_rng(0).normal(0, 1, (12, HEIGHT, WIDTH, 3))
    outputs = [changed([one], noise[t] + 12 * (t > 5))[0] for t, one in enumerate(truth)]
    assert "jump in time" in found(figures_of(TemporalMeter(), outputs, truth))


def test_a_colour_cast_is_found() -> None:
    cast = changed(TRUTH, np.array([8.0, 0.0, -8.0]))
    assert "colour cast" in found(figures_of(FrameMeter(color_drift), cast, TRUTH))


def test_a_dropped_frame_is_found_with_its_number() -> None:
    meter = PlacementMeter()
    figures = figures_of(meter, [*TRUTH[:2], *TRUTH[3:]], TRUTH)
    assert meter.first_misplaced == 2
    assert figures["misplaced_frames"] == 1  # the truth of the last one lies past the pairs
    assert "dropped" in found(figures, first_misplaced=2)


def test_a_repeated_frame_is_found_with_its_number() -> None:
    meter = PlacementMeter()
    figures_of(meter, [*TRUTH[:3], TRUTH[2], TRUTH[4]], TRUTH)
    assert meter.first_misplaced == 3


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_ghost_of_the_frame_before_is_its_share(share: float) -> None:
    pairs = zip([TRUTH[0], *TRUTH], TRUTH, strict=False)
    ghosts = [np.rint(share * old + (1 - share) * new).astype(np.uint8) for old, new in pairs]
    figures = figures_of(GhostMeter(), ghosts, TRUTH)
    assert figures["ghost"] == pytest.approx(share, abs=0.03)
    assert "ghosts" in found(figures)


def test_a_border_between_tiles_is_found_in_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (FRAMES, HEIGHT, WIDTH, 1))
    tile = 4.0 * (np.arange(WIDTH) >= WIDTH // 2)[:, None]
    noisy = [changed([one], noise[t])[0] for t, one in enumerate(TRUTH)]
    tiled = [changed([one], noise[t] + tile)[0] for t, one in enumerate(TRUTH)]
    assert "tile borders" not in found(figures_of(TileMeter(), noisy, TRUTH))
    assert "tile borders" in found(figures_of(TileMeter(), tiled, TRUTH))


def test_a_checkerboard_of_two_levels_is_found() -> None:
    board = 2.0 * (np.indices((HEIGHT, WIDTH)).sum(0) % 2)[..., None]
    smooth = [cv2.GaussianBlur(one, (0, 0), 1) for one in TRUTH]
    assert "checker" not in found(figures_of(CheckerMeter(), smooth, smooth))
    assert "checker" in found(figures_of(CheckerMeter(), changed(smooth, board), smooth))
