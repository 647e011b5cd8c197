"""Sound tracks keep their names, whichever tag the file type has for them."""

from pathlib import Path

import av
import pytest

from tests.video.writing.test_output_file import enlarge


def with_sound_tags(source: Path, path: Path, **tags: str) -> Path:
    """A copy of a film with tags on its sound."""
    with av.open(source) as given, av.open(path, "w") as container:
        streams = [container.add_stream_from_template(one, opaque=True) for one in given.streams]
        streams[1].metadata.update(tags)
        for packet in given.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    return path


def sound_tags(path: Path) -> dict[str, str]:
    with av.open(path) as container:
        return dict(container.streams.audio[0].metadata)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("named.mkv", {"title": "Commentary"}),
        ("named.mp4", {"title": "Commentary"}),
        ("named.mp4", {"handler_name": "Commentary"}),
    ],
)
def test_the_name_of_a_sound_track_is_kept(make_video, tmp_path: Path, name: str, tags) -> None:
    source = with_sound_tags(make_video("plain.mkv", audio=["aac"]), tmp_path / name, **tags)
    for output in ("out.mp4", "out.mov"):
        enlarge(source, tmp_path / output)
        found = sound_tags(tmp_path / output)
        assert (found["name"], found["handler_name"]) == ("Commentary", "Commentary")
    enlarge(source, tmp_path / "out.mkv")
    found = sound_tags(tmp_path / "out.mkv")
    assert found["title"] == "Commentary"
    assert not {"name", "handler_name", "vendor_id"} & {key.lower() for key in found}


def test_the_usual_handler_of_mp4_is_no_name(make_video, tmp_path: Path) -> None:
    enlarge(make_video(audio=["aac"]), tmp_path / "out.mkv")
    assert "title" not in sound_tags(tmp_path / "out.mkv")
