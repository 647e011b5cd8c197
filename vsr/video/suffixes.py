"""The endings of file names: videos, pictures, and names such as `Show.S01E01` that have none."""

from pathlib import Path

VIDEO_SUFFIXES = (
    *(".264", ".265", ".3g2", ".3gp", ".amv", ".apng", ".asf", ".avi", ".bik", ".divx", ".dv"),
    ".dvr-ms",
    *(".evo", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hdmov", ".hevc", ".ivf", ".m1v"),
    *(".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod"),
    *(".mov", ".mp2v", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nsv", ".nut"),
    *(".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".roq", ".tod", ".tp", ".trp"),
    *(".ts", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m"),
)
OPENCV_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp")
"""Pictures that OpenCV reads."""
FFMPEG_SUFFIXES = (
    *(".avif", ".dpx", ".exr", ".j2c", ".j2k", ".jp2", ".pam", ".pbm", ".pcx", ".pfm", ".pgm"),
    *(".pnm", ".ppm", ".sgi", ".tga"),
)
"""Pictures that FFmpeg reads with all their bits."""
IMAGE_SUFFIXES = (*OPENCV_SUFFIXES, *FFMPEG_SUFFIXES)


def ending(path: Path) -> str:
    """Return the lower-case ending of a file name, if videos or pictures have it, else "".

    The name of `Show.S01E01` ends with its episode: it is no ending.
    """
    suffix = path.suffix.lower()
    return suffix if suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES) else ""
