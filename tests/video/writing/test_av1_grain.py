"""Grain told to players of AV1: the same pictures without it, and its grain with it."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.video.writing.test_film_grain import GRAIN
from vsr.errors import OutputError
from vsr.video.color import LIMITED, MATRIX_BT709, ColorTags
from vsr.video.writing.av1_grain import announcing_grain, with_film_grain
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.film_grain import FilmGrain
from vsr.video.writing.parts import EncodedFrame, Part, encoded_parts

WIDTH, HEIGHT, FRAMES = 160, 96, 20
FLAT = FilmGrain(
    points=(((0, 96), (255, 96)), (), ()),
    coefficients=((0,) * 24, (0,) * 25, (0,) * 25),
    ar_shift=6,
    grain_scale_shift=0,
    scaling_shift=10,
)
"""White grain in luma of 96 / 2**10 * 32 = 3 levels at each brightness."""


def encoding(**options: str) -> Encoding:
    return Encoding(
        codec="av1",
        width=WIDTH,
        height=HEIGHT,
        pix_fmt="yuv420p",
        color=ColorTags(1, 1, MATRIX_BT709, LIMITED),
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        sample_aspect_ratio=Fraction(1),
        options={"crf": "30", "preset": "8", **options},
        siting="left",
    )


def moving_pictures() -> list[tuple[np.ndarray, int]]:
    """A texture that moves and grows, so that frames refer to others by motion of all kinds."""
    rng = np.random.default_rng(0)
    wide = rng.integers(60, 200, (40, 60, 3)).repeat(5, 0).repeat(5, 1).astype(np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    shown = []
    for n in range(FRAMES):
        zoom = 1 + n / 60
        y = (rows / zoom + n / 3).astype(int)
        x = (columns / zoom + 1.7 * n).astype(int)
        shown.append((wide[y, x], n))
    return shown


def encoded(settings: Encoding) -> Part:
    (part,) = encoded_parts(moving_pictures(), settings)
    return part


def luma(part: Part) -> np.ndarray:
    """The luma of the frames as a player shows them."""
    decoder = av.CodecContext.create("libdav1d", "r")
    decoder.extradata = part.header
    packets: list[av.Packet | None] = []
    for frame in part.frames:
        packet = av.Packet(frame.data)
        packet.pts, packet.dts = frame.pts, frame.dts
        packets.append(packet)
    found = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    return np.stack([f.to_ndarray()[:HEIGHT] for f in found]).astype(float)


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"preset": "4", "crf": "12"},
        {"svtav1-params": "lookahead=0:pred-struct=1"},
        {"svtav1-params": "tile-columns=1:tile-rows=1:enable-overlays=1:aq-mode=1"},
        {"svtav1-params": "scm=1:superres-mode=1:superres-denom=12"},
    ],
    ids=["usual", "thorough", "low delay", "tiles", "reduced"],
)
def part(request) -> Part:
    return encoded(encoding(**request.param))


def test_frames_without_grain_are_shown_as_they_were(part: Part) -> None:
    told = with_film_grain(part, None, is_full=False, seed=0)
    assert np.array_equal(luma(told), luma(part))


def test_a_player_adds_the_grain_that_is_told(part: Part) -> None:
    told = with_film_grain(part, FLAT, is_full=False, seed=5)
    added = luma(told) - luma(part)
    assert len(added) == FRAMES
    assert added.std() == pytest.approx(3, rel=0.1)
    assert abs(np.corrcoef(added[3].ravel(), added[4].ravel())[0, 1]) < 0.05


def test_all_parameters_reach_the_player(part: Part) -> None:
    told = with_film_grain(part, GRAIN, is_full=False, seed=5)
    assert len(luma(told)) == FRAMES
    larger = sum(len(frame.data) for frame in told.frames) - sum(
        len(frame.data) for frame in part.frames
    )
    assert 0 < larger < 120 * FRAMES


def test_the_header_of_the_parts_is_that_of_the_announced_encoding() -> None:
    settings = encoding()
    told = with_film_grain(encoded(settings), FLAT, is_full=False, seed=0)
    assert told.header == bytes(announcing_grain(settings).new_context().extradata or b"")


def test_the_announced_encoding_keeps_the_other_parameters() -> None:
    settings = announcing_grain(encoding(**{"svtav1-params": "content-light=100,50"}))
    assert settings.options["svtav1-params"] == "content-light=100,50:film-grain=1"


def test_what_is_not_understood_is_refused() -> None:
    part = Part((EncodedFrame(b"\x32\x02\x00\x00", 0, 0, is_keyframe=True),), b"")
    with pytest.raises(OutputError, match="leave out --grain-table"):
        with_film_grain(replace(part), FLAT, is_full=False, seed=0)
