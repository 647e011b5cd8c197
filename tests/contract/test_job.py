"""The whole job, with a tiny network, hands on what a deep, tagged and animated source has."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.contract.cases import CASES
from tests.contract.contents import contents
from vsr.config import UpscaleConfig
from vsr.jobs.upscale import upscale

JOB = {"device": "cpu", "dtype": "float32"}


def test_ten_bits_and_hdr10_come_through_the_networks(tiny_model: Path, tmp_path: Path) -> None:
    source = CASES["HDR10"].make(tmp_path)
    before = contents(source)
    after = contents(upscale(source, None, UpscaleConfig(str(tiny_model), **JOB)).output)
    assert (after.depth, after.color, after.hdr) == (10, before.color, before.hdr)
    assert after.times == before.times


def test_nothing_is_rounded_to_eight_bits_on_the_way(tiny_model: Path, tmp_path: Path) -> None:
    source = CASES["HDR10"].make(tmp_path)
    config = UpscaleConfig(str(tiny_model), codec="png", **JOB)
    pictures = sorted(upscale(source, tmp_path / "out", config).output.iterdir())
    assert len(pictures) == 5
    for picture in pictures:
        pixels = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        assert len(np.unique(pixels)) > 1000, "8 bits hold 256 values"


@pytest.mark.parametrize("name", ["GIF", "APNG"])
def test_an_animation_keeps_its_times(tiny_model: Path, tmp_path: Path, name: str) -> None:
    source = CASES[name].make(tmp_path)
    output = upscale(source, None, UpscaleConfig(str(tiny_model), **JOB)).output
    assert output.suffix == source.suffix
    before, after = contents(source), contents(output)
    assert (after.times, after.end) == (before.times, before.end)
