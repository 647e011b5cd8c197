"""Hashes of the contents of videos and folders of pictures."""

import hashlib
from pathlib import Path

from vsr.video.images import list_images

_CHUNK_BYTES = 1 << 20


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the pictures of a folder in their order."""
    digest = hashlib.sha256()
    for file in list_images(path) if path.is_dir() else (path,):
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()
