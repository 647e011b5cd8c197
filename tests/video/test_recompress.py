import numpy as np
import pytest

from vsr.errors import ConfigError
from vsr.video.recompress import codec_names, recompress

MILD = {
    "h264": {"crf": 20},
    "hevc": {"crf": 20},
    "mpeg4": {"qscale": 3},
    "mpeg2video": {"qscale": 3},
    "vp9": {"crf": 20, "b": 0},
    "av1": {"crf": 20},
}
HARSH = {
    "h264": {"crf": 45},
    "hevc": {"crf": 45},
    "mpeg4": {"qscale": 31},
    "mpeg2video": {"qscale": 31},
    "vp9": {"crf": 60, "b": 0},
    "av1": {"crf": 63},
}


def moving_waves(count: int, height: int, width: int) -> np.ndarray:
    t, y, x, c = np.ogrid[:count, :height, :width, :3]
    waves = 128 + 60 * np.sin((x + 2 * t) / 7 + c / 3) + 50 * np.cos(y / 9)
    return waves.clip(0, 255).astype(np.uint8)


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


@pytest.mark.parametrize("codec", codec_names())
@pytest.mark.parametrize("shape", [(7, 64, 48), (3, 33, 17), (1, 5, 7)])
def test_every_codec_gives_back_as_many_frames_of_the_same_size(codec, shape):
    frames = moving_waves(*shape)
    out = recompress(frames, codec=codec, options=MILD[codec])
    assert out.shape == frames.shape
    assert out.dtype == np.uint8


@pytest.mark.parametrize("codec", codec_names())
def test_mild_compression_stays_close_and_harsh_compression_does_more_damage(codec):
    frames = moving_waves(5, 64, 64)
    mild = mean_error(frames, recompress(frames, codec=codec, options=MILD[codec]))
    harsh = mean_error(frames, recompress(frames, codec=codec, options=HARSH[codec]))
    assert mild < 4  # 4:2:0 alone costs about 1.5 on these coloured waves
    assert harsh > 1.5 * mild


def test_the_order_of_frames_survives_b_frames():
    levels = np.arange(20, 220, 20, dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (10, 32, 32, 3)).copy()
    out = recompress(frames, codec="h264", options={"crf": 10, "bf": 3, "rc-lookahead": 10})
    np.testing.assert_allclose(out.mean((1, 2, 3)), levels, atol=2)


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_the_result_depends_on_the_arguments_alone(codec):
    frames = moving_waves(4, 48, 48)
    first = recompress(frames, codec=codec, options={"crf": 30})
    np.testing.assert_array_equal(first, recompress(frames, codec=codec, options={"crf": 30}))


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("h264", {"preset": "medium", "bf": 3, "rc-lookahead": 10, "x264-params": "mbtree=1"}),
        ("hevc", {}),
    ],
    ids=["h264", "hevc"],
)
def test_tiny_frames_come_back_the_same_whatever_lay_in_memory_before(codec, options):
    rng = np.random.default_rng(0)
    for crf in range(20, 32):
        frames = rng.integers(0, 256, (5, 24, 20, 3), dtype=np.uint8)
        versions = set()
        for _ in range(6):
            rng.bytes(int(rng.integers(60_000)))  # freed at once: what the encoder may be given
            versions.add(recompress(frames, codec=codec, options=options | {"crf": crf}).tobytes())
        assert len(versions) == 1, crf


def test_no_frames_in_are_no_frames_out():
    assert recompress(moving_waves(0, 8, 8), codec="h264", options={}).shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    ("codec", "options", "message"),
    [
        ("h265", {}, "unknown codec = 'h265'; allowed: h264"),
        ("h264", {"cfr": 20}, "libx264 has no option cfr"),
        ("mpeg4", {"b": "many"}, "mpeg4 refuses"),
    ],
)
def test_what_does_not_exist_is_named(codec, options, message):
    with pytest.raises(ConfigError, match=message):
        recompress(moving_waves(1, 16, 16), codec=codec, options=options)
