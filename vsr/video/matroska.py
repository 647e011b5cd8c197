"""The tables of a Matroska file that FFmpeg does not read, and what of them an output loses."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import SEEK_END, BufferedIOBase, BytesIO
from pathlib import Path

_SIGNATURE = b"\x1a\x45\xdf\xa3"
_SEGMENT, _TRACKS, _CHAPTERS = 0x18538067, 0x1654AE6B, 0x1043A770
_TRACK, _TRACK_TYPE, _TRACK_ENABLED = 0xAE, 0x83, 0xB9
_LANGUAGE, _IETF_LANGUAGE = 0x22B59C, 0x22B59D
_VIDEO, _COLOUR, _SITING_ACROSS, _SITING_DOWN = 0xE0, 0x55B0, 0x55B7, 0x55B8
_CROPS = {0x54CC: "left", 0x54DD: "right", 0x54BB: "top", 0x54AA: "bottom"}
_EDITION, _EDITION_HIDDEN, _EDITION_ORDERED = 0x45B9, 0x45BD, 0x45DD
_CHAPTER, _CHAPTER_START, _CHAPTER_HIDDEN, _CHAPTER_NAME = 0xB6, 0x91, 0x98, 0x80
_NAME_LANGUAGE = 0x437C
"""Numbers of elements (RFC 9559)."""
_STREAM_TYPES = (1, 2, 17, 33)
"""Video, sound, subtitles and metadata: FFmpeg makes streams of these tracks."""
_DEFAULT_LANGUAGE = "eng"
_NANOSECONDS = 10**9
_HALF = 2
"""The value of a siting between two luma samples."""
_LARGEST_TABLE = 1 << 26
"""Bytes; a larger table is damage."""


@dataclass(frozen=True, slots=True)
class _Element:
    """An EBML element."""

    id: int
    content: bytes

    def children(self, id: int) -> "tuple[_Element, ...]":
        return tuple(child for child in _elements(self.content) if child.id == id)

    def number(self, id: int, default: int = 0) -> int:
        """The value of a child that is a whole number."""
        return next((int.from_bytes(child.content) for child in self.children(id)), default)

    def text(self, id: int) -> str:
        """The value of a child that is a text; empty if there is none."""
        found = next((child.content for child in self.children(id)), b"")
        return found.rstrip(b"\0").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class MatroskaTables:
    """The tracks, in the order of FFmpeg's streams, and the editions of chapters of a file."""

    tracks: tuple[_Element, ...] = ()
    editions: tuple[_Element, ...] = ()

    def has_centred_chroma(self, stream: int) -> bool:
        """True if a stream's table says that chroma is sited at the centre."""
        return any(
            colour.number(_SITING_ACROSS) == colour.number(_SITING_DOWN) == _HALF
            for track in self.tracks[stream : stream + 1]
            for video in track.children(_VIDEO)
            for colour in video.children(_COLOUR)
        )

    def hidden_chapters(self) -> frozenset[Fraction]:
        """The starts, in seconds, of chapters that players do not show."""
        return frozenset(
            Fraction(chapter.number(_CHAPTER_START), _NANOSECONDS)
            for edition in self.editions
            for chapter in edition.children(_CHAPTER)
            if edition.number(_EDITION_HIDDEN) or chapter.number(_CHAPTER_HIDDEN)
        )

    def losses(self) -> tuple[str, ...]:
        """One sentence for each property that no output keeps."""
        return (*self._track_losses(), *self._chapter_losses())

    def _track_losses(self) -> Iterator[str]:
        for index, track in enumerate(self.tracks):
            language = track.text(_IETF_LANGUAGE)
            if "-" in language:
                kept = track.text(_LANGUAGE) or _DEFAULT_LANGUAGE
                yield f"the language of stream {index}, {language}, is kept as {kept}"
            if not track.number(_TRACK_ENABLED, 1):
                yield f"stream {index} is disabled in the file, and is not in the output"
            for video in track.children(_VIDEO):
                crops = {side: video.number(id) for id, side in _CROPS.items() if video.number(id)}
                if crops:
                    edges = ", ".join(f"{pixels} {side}" for side, pixels in crops.items())
                    yield (
                        f"players crop stream {index} (pixels: {edges}): its edges are upscaled "
                        "too, and the output shows them"
                    )

    def _chapter_losses(self) -> Iterator[str]:
        chapters = [chapter for edition in self.editions for chapter in edition.children(_CHAPTER)]
        nested = sum(len(chapter.children(_CHAPTER)) for chapter in chapters)
        languages = sorted(
            {
                name.text(_NAME_LANGUAGE) or _DEFAULT_LANGUAGE
                for chapter in chapters
                for name in chapter.children(_CHAPTER_NAME)
            }
        )
        if any(edition.number(_EDITION_ORDERED) for edition in self.editions):
            yield "its chapters play in an order of their own: the output plays straight through"
        if len(self.editions) > 1:
            yield f"of its {len(self.editions)} editions of chapters one is kept"
        if nested:
            yield f"chapters inside of chapters are left out ({nested})"
        if hidden := len(self.hidden_chapters()):
            yield f"hidden chapters are left out ({hidden})"
        if len(languages) > 1:
            yield f"of the names of chapters ({', '.join(languages)}) one language is kept"


def matroska_tables(path: Path) -> MatroskaTables:
    """The tables of a file; empty ones for a file of another kind, or where they are damaged."""
    tracks: tuple[_Element, ...] = ()
    editions: tuple[_Element, ...] = ()
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return MatroskaTables()
        file.seek(0)
        for table in _tables(file):
            if table.id == _TRACKS:
                found = table.children(_TRACK)
                tracks = tuple(t for t in found if t.number(_TRACK_TYPE) in _STREAM_TYPES)
            else:
                editions = table.children(_EDITION)
    return MatroskaTables(tracks, editions)


def _tables(file: BufferedIOBase) -> Iterator[_Element]:
    """The tracks and chapters of the first segment, wherever they lie; clusters are skipped."""
    end = file.seek(0, SEEK_END)
    file.seek(0)
    while (head := _head(file)) is not None:
        id, size = head
        if id == _SEGMENT:
            continue  # its children follow
        if size is None or size > end - file.tell():
            return
        if id in (_TRACKS, _CHAPTERS) and size <= _LARGEST_TABLE:
            yield _Element(id, file.read(size))
        else:
            file.seek(size, 1)


def _elements(content: bytes) -> Iterator[_Element]:
    file = BytesIO(content)
    while (head := _head(file)) is not None:
        id, size = head
        if size is None:
            return
        yield _Element(id, file.read(size))


def _head(file: BufferedIOBase) -> tuple[int, int | None] | None:
    """The number and the size of the next element, None if unknown; None at the end."""
    id, size = _variable_number(file), _variable_number(file)
    if id is None or size is None:
        return None
    marker = 1 << 7 * size[1]
    value = size[0] - marker
    return id[0], None if value == marker - 1 else value


def _variable_number(file: BufferedIOBase) -> tuple[int, int] | None:
    """A number with its marker bit, and its length in bytes: the zeros before the marker tell."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    return int.from_bytes(first + file.read(length - 1)), length
