"""Small films as folders of pictures."""

from pathlib import Path

import numpy as np

from vsr.video.images import encode_png


def film(folder: Path, *, frames: int = 4, scale: int = 1, spot: bool = False) -> Path:
    """A folder of pictures of 64x48 times `scale`; `spot` brightens a corner of frame 2."""
    folder.mkdir()
    for number in range(frames):
        rows, columns = np.mgrid[: 48 * scale, : 64 * scale]
        gray = 100 + 50 * np.sin((columns / scale + number) / 5 + rows / scale / 7)
        if spot and number == 2:
            gray[36 * scale :, 48 * scale :] += 90
        picture = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(picture))
    return folder
