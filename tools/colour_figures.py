"""Measure colour from references: make clips grey, colour them again, and compare.

PYTHONPATH=. python tools/colour_figures.py CLIP [CLIP ...] [--references 0,24] [--width 720]

CIEDE2000 is the mean over all pixels of all frames without a reference; "pasted" are those whose
chroma is that of the nearest reference, without flow.
"""

import argparse
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from vsr.restoration.chroma import chroma_of, coloured
from vsr.restoration.colour_shot import ShotColour
from vsr.restoration.images import as_image, as_pixels, luma_of
from vsr.restoration.references import ColourReferences
from vsr.video.images import encode_png
from vsr.video.reading.reader import Frame, VideoReader

_FAR = 25.0**7


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 between Lab colours, `... 3` (Sharma, Wu and Dalal 2005)."""
    lightness, chroma, hue = _polar_differences(first, second)
    mean_l, mean_c, mean_h, blue = _means(first, second)
    t = (
        1
        - 0.17 * np.cos(mean_h - np.radians(30))
        + 0.24 * np.cos(2 * mean_h)
        + 0.32 * np.cos(3 * mean_h + np.radians(6))
        - 0.20 * np.cos(4 * mean_h - np.radians(63))
    )
    spread = (mean_l - 50) ** 2
    s_l = 1 + 0.015 * spread / np.sqrt(20 + spread)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    turn = -2 * np.sqrt(mean_c**7 / (mean_c**7 + _FAR)) * np.sin(np.radians(60) * blue)
    parts = lightness / s_l, chroma / s_c, hue / s_h
    return np.sqrt(np.maximum(0, sum(p**2 for p in parts) + turn * parts[1] * parts[2]))


def _polar(lab: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = lab[..., 1] * gain, lab[..., 2]
    return np.hypot(a, b), np.mod(np.arctan2(b, a), 2 * np.pi)


def _gain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    mean = (np.hypot(*np.moveaxis(first[..., 1:], -1, 0)) + np.hypot(*second[..., 1:].T).T) / 2
    return 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + _FAR))


def _polar_differences(
    first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gain = _gain(first, second)
    (c1, h1), (c2, h2) = _polar(first, gain), _polar(second, gain)
    apart = np.where(c1 * c2 == 0, 0, np.mod(h2 - h1 + np.pi, 2 * np.pi) - np.pi)
    return second[..., 0] - first[..., 0], c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(apart / 2)


def _means(
    first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean lightness, chroma and hue, and the weight of blue hues in the turn."""
    gain = _gain(first, second)
    (c1, h1), (c2, h2) = _polar(first, gain), _polar(second, gain)
    total, far = h1 + h2, np.abs(h1 - h2) > np.pi
    hue = np.where(far, (total + np.where(total < 2 * np.pi, 2, -2) * np.pi) / 2, total / 2)
    hue = np.where(c1 * c2 == 0, total, hue)
    blue = np.exp(-(((np.degrees(hue) - 275) / 25) ** 2))
    return (first[..., 0] + second[..., 0]) / 2, (c1 + c2) / 2, hue, blue


def lab(image: np.ndarray) -> np.ndarray:
    """CIE Lab of RGB in [0, 1] (sRGB, D65)."""
    return cv2.cvtColor(np.asarray(image, np.float32), cv2.COLOR_RGB2Lab).astype(np.float64)


def difference(image: np.ndarray, truth: np.ndarray) -> float:
    """The mean CIEDE2000 of two images."""
    return float(ciede2000(lab(image), lab(truth)).mean())


def grey_frames(clip: list[np.ndarray]) -> list[Frame]:
    """The clip without colours."""
    rate = Fraction(1, 25)
    planes = (np.rint(luma_of(image) * 255).astype(np.uint8) for image in clip)
    return [Frame(np.repeat(p[..., None], 3, 2), i, rate) for i, p in enumerate(planes)]


def coloured_clip(clip: list[np.ndarray], numbers: list[int]) -> tuple[list[np.ndarray], float]:
    """The grey clip coloured by these of its frames, and the seconds for a frame."""
    with TemporaryDirectory() as folder:
        for number in numbers:
            path = Path(folder) / f"{number:06d}.png"
            path.write_bytes(encode_png(as_pixels(clip[number], np.zeros(1, np.uint8))))
        shot = ShotColour(ColourReferences(Path(folder)), 0)
        began = time.process_time()
        frames = [done for frame in grey_frames(clip) for done in shot.push(frame)]
        frames += shot.flush()
    return [as_image(f.pixels) for f in frames], (time.process_time() - began) / len(clip)


def pasted_clip(clip: list[np.ndarray], numbers: list[int]) -> list[np.ndarray]:
    """The grey clip with the chroma of the nearest of these frames."""
    nearest = [min(numbers, key=lambda n: abs(n - place)) for place in range(len(clip))]
    chroma = {n: chroma_of(clip[n]) for n in numbers}
    return [coloured(luma_of(i), chroma[n]) for i, n in zip(clip, nearest, strict=True)]


def figures(path: Path, numbers: list[int], width: int) -> Iterator[str]:
    """The rows of a clip."""
    with VideoReader(path) as reader:
        clip = [resized(as_image(frame.pixels), width) for frame in reader]
    inside = [n for n in numbers if n < len(clip)]
    carried, seconds = coloured_clip(clip, inside)
    others = [i for i in range(len(clip)) if i not in inside]
    mean, pasted = (
        np.mean([difference(made[i], clip[i]) for i in others])
        for made in (carried, pasted_clip(clip, inside))
    )
    yield f"{mean:.2f} | {pasted:.2f} | {mean / pasted:.0%} | {1 / seconds:.2f}"


def resized(image: np.ndarray, width: int) -> np.ndarray:
    height = round(width * image.shape[0] / image.shape[1] / 2) * 2
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return image if image.shape[1] <= width else small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--references", default="0,24,48,72", help="their frames, with commas")
    parser.add_argument("--width", type=int, default=720)
    options = parser.parse_args()
    numbers = [int(number) for number in options.references.split(",")]
    print("| clip | CIEDE2000 | pasted | share | frames/s |\n|---|---|---|---|---|")
    for path in options.clips:
        for row in figures(path, numbers, options.width):
            print(f"| {path.stem} | {row} |", flush=True)


if __name__ == "__main__":
    main()
