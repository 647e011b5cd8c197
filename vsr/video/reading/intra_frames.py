"""I-frames of a compressed video, told from those of codecs that have no others."""

from av.video.frame import PictureType


class IntraFrames:
    """Notes decoded frames by their types, and tells the I-frames that follow one of another type.

    A filter, such as a deinterlacer, may lie between the two: frames are known by their pts.
    """

    def __init__(self) -> None:
        self._before: int = PictureType.NONE
        self._found: set[int] = set()

    def note(self, picture_type: int, pts: int) -> None:
        """Add the next frame in the order of display."""
        without = (PictureType.NONE, PictureType.I)  # a frame without a type proves nothing
        if picture_type == PictureType.I and self._before not in without:
            self._found.add(pts)
        self._before = picture_type

    def take(self, pts: int) -> bool:
        """Return True for an I-frame that follows a frame of another type, and forget it."""
        found = pts in self._found
        self._found.discard(pts)
        return found
