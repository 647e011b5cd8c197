"""Playlists read other files only if asked for, and text in a file is never more than text."""

import time
from pathlib import Path

import av
import pytest

from vsr.errors import InputError
from vsr.video import container
from vsr.video.formats import PLAYLISTS, open_options
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.ts\n"
LISTS = {
    "a list without an end": ("list.m3u8", HLS),
    "a list with an end": ("list.m3u8", f"{HLS}#EXT-X-ENDLIST\n"),
    "a list that includes itself": (
        "list.m3u8",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n",
    ),
    "an ffconcat script": ("list.ffconcat", "ffconcat version 1.0\nfile film.ts\n"),
    "under another name": ("film.mp4", f"{HLS}#EXT-X-ENDLIST\n"),
}


@pytest.fixture
def film(tmp_path: Path, make_video) -> Path:
    return make_video("film.mkv", frames=10).rename(tmp_path / "film.ts")


@pytest.mark.parametrize("kind", LISTS)
def test_a_playlist_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    name, content = LISTS[kind]
    path = tmp_path / name
    path.write_text(content)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"is a playlist, .* --allow-playlists"):
        probe(path)
    assert time.monotonic() - began < 2


def test_a_playlist_that_is_trusted_is_read(tmp_path: Path, film: Path) -> None:
    path = tmp_path / "list.ffconcat"
    path.write_text("ffconcat version 1.0\nfile film.ts\n")
    info = probe(path, playlists=True)
    assert info.is_playlist
    assert sum(1 for _ in VideoReader(info)) == 10


def test_a_playlist_cannot_ask_for_the_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(HLS.replace("film.ts", "http://localhost:9/film.ts") + "#EXT-X-ENDLIST\n")
    with pytest.raises(InputError):
        probe(path, playlists=True)


@pytest.mark.slow
def test_a_playlist_that_includes_itself_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "_DEADLINE_SECONDS", 1.0)
    path = tmp_path / "list.m3u8"
    path.write_text(LISTS["a list that includes itself"][1])
    began = time.monotonic()
    with pytest.raises(InputError):
        probe(path, playlists=True)
    assert time.monotonic() - began < 20


def test_formats_that_open_other_things_are_not_on_the_list() -> None:
    allowed = open_options(playlists=False)["format_whitelist"].split(",")
    others = ("lavfi", "sdp", "rtsp", "rtp", "sap", "fbdev", "vobsub", "x11grab")
    assert not set(allowed) & {*PLAYLISTS, *others}
    assert set(allowed) <= {
        name for known in av.formats_available for name in (known, *known.split(","))
    }


@pytest.mark.parametrize(
    "text",
    [
        *("1e999999999:00:00", "00:00:1e999999999", "-00:00:05.0", "00:00:-5", "1/0:0:0"),
        *("nan:0:0", "٠٠:٠٠:٠٤", "999999999999:00:00", "1e9:00:00", "", "::", "0:00:99"),
    ],
)
def test_a_tag_that_is_no_duration_is_ignored(make_video, tmp_path: Path, text: str) -> None:
    path = tmp_path / "tagged.mkv"
    make_video("source.mkv", frames=10).rename(path)
    content = path.read_bytes()
    tag = b"00:00:00.400000000"
    assert tag in content
    path.write_bytes(content.replace(tag, text.encode()[: len(tag)].ljust(len(tag), b"\0")))
    began = time.monotonic()
    assert sum(1 for _ in VideoReader(probe(path))) == 10
    assert time.monotonic() - began < 5
