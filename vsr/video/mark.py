"""The mark by which vsr knows the films that it has made: the name of the encoder."""

from pathlib import Path

from vsr import __version__
from vsr.errors import InputError
from vsr.video.container import open_video

MARK_TAG, _NAME = "encoder", "vsr "
MARK = f"{_NAME}{__version__}"
"""The tag of the video stream, which every container holds that vsr writes."""


def is_made_by_vsr(path: Path) -> bool:
    """Return whether a video has the mark; False for a file that cannot be read."""
    try:
        with open_video(path) as (_, stream):
            tags = {key.lower(): value for key, value in stream.metadata.items()}
    except InputError:
        return False
    return tags.get(MARK_TAG, "").startswith(_NAME)
