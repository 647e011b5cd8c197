"""Drift of colours: CIEDE2000 between low frequencies of output and ground truth."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.meters import Figures, Moment, Picture

_BLOCK = 16  # pixels that are averaged to one colour, each way
_CHROMA_KNEE = 25.0**7

Lab = NDArray[np.float64]
"""CIELAB under D65, `... 3`."""


def color_drift(moment: Moment) -> Figures:
    """Return `color`: mean CIEDE2000 of blocks of 16 x 16 pixels; 1 is just visible."""
    return {"color": float(ciede2000(_colors(moment.reference), _colors(moment.output)).mean())}


def _colors(picture: Picture) -> Lab:
    h, w = picture.shape[:2]
    size = (max(1, w // _BLOCK), max(1, h // _BLOCK))
    small = cv2.resize(picture.astype(np.float32) / 255, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float64)


def ciede2000(first: Lab, second: Lab) -> NDArray[np.float64]:
    """Return the colour difference of Sharma, Wu and Dalal 2005, all weights 1."""
    chroma = (np.hypot(first[..., 1], first[..., 2]) + np.hypot(second[..., 1], second[..., 2])) / 2
    stretch = 1 + 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + _CHROMA_KNEE)))
    (l1, c1, h1), (l2, c2, h2) = (_polar(lab, stretch) for lab in (first, second))
    grey = c1 * c2 == 0
    turn = np.where(grey, 0.0, (h2 - h1 + 180) % 360 - 180)
    # Equal to 180 degrees exactly, the shorter way round is either: Sharma et al. take +180.
    turn = np.where(turn == -180, 180.0, turn)
    hue = np.where(grey, h1 + h2, _mean_hue(h1, h2))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    off = np.square(lightness - 50)
    d_l = (l2 - l1) / (1 + 0.015 * off / np.sqrt(20 + off))
    d_c = (c2 - c1) / (1 + 0.045 * chroma)
    d_h = (
        2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * _hue_term(hue))
    )
    return np.sqrt(d_l**2 + d_c**2 + d_h**2 + _rotation(hue, chroma) * d_c * d_h)


def _polar(lab: Lab, stretch: Lab) -> tuple[Lab, Lab, Lab]:
    """Lightness, chroma and hue in degrees, with a* stretched."""
    a, b = lab[..., 1] * stretch, lab[..., 2]
    return lab[..., 0], np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360


def _mean_hue(h1: Lab, h2: Lab) -> Lab:
    """The hue half way on the shorter arc, in degrees."""
    total = h1 + h2
    wrapped = np.where(total < 360, total + 360, total - 360)
    return np.where(np.abs(h1 - h2) > 180, wrapped, total) / 2


def _hue_term(hue: Lab) -> Lab:
    terms = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    waves = [weight * np.cos(np.radians(n * hue + phase)) for weight, n, phase in terms]
    return 1 + np.sum(waves, axis=0)


def _rotation(hue: Lab, chroma: Lab) -> Lab:
    """The term by which chroma and hue differences work together in blue."""
    angle = 30 * np.exp(-np.square((hue - 275) / 25))
    strength = 2 * np.sqrt(chroma**7 / (chroma**7 + _CHROMA_KNEE))
    return -np.sin(np.radians(2 * angle)) * strength
