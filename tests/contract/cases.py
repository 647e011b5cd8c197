"""The awkward films, one a line, and what is to be expected of each where it is not the same."""

from dataclasses import dataclass

import numpy as np

from tests.contract.films import (
    ASS,
    CHAPTERS,
    MPEG2,
    SRT,
    TONE,
    X264,
    Make,
    cut_off,
    film,
    images,
    joined,
    pgs,
    photograph,
    red_png,
    remuxed,
    then,
    with_files,
    with_tone,
    zeroed,
)

HDR10 = (
    "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params "
    "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,100):max-cll=1000,400:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
)
HLG = HDR10.partition("master-display")[0] + (
    "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
)
PHONE = "-vf 'settb=1/90000,setpts=N*3000+mod(N*N\\,7)*150' "
PHONE += "-fps_mode passthrough -enc_time_base 1/90000"
FIELDS = "-flags +ildct+ilme"
NTSC = "testsrc2=s=96x64:r=60000/1001"
SUBTITLED = f"-i a.srt -map 0 -map 1 -map 2 {X264} -c:a aac"
UNEVEN = "settb=1/100,setpts=N*4+mod(N*N\\,5)"


@dataclass(frozen=True)
class Case:
    """A film and how many frames it shows; what differs in the output is said here.

    `suffix`: of the default output, where it is not the film's. `left_out`: kinds of streams that
    the output cannot hold. `refused`: what the error says. `damaged`: it is read with tolerance.
    `deinterlaced`: what the log says it is. `depth`: bits of a colour of the output. `converted`:
    its sound fits into nothing, and is kept as FLAC. `says`: what the log says is left out.
    """

    make: Make
    frames: int = 25
    suffix: str | None = None
    left_out: tuple[str, ...] = ()
    refused: str | None = None
    damaged: bool = False
    deinterlaced: str | None = None
    depth: int | None = None
    converted: bool = False
    says: str = ""


CASES = {
    "VFR of a phone, rotated by 90": Case(
        remuxed(
            "p.mp4",
            "-display_rotation 90 | -c copy",
            with_tone("v.mp4", f"{PHONE} {X264} -c:a aac -video_track_timescale 90000"),
        )
    ),
    "23.976 frames a second": Case(
        with_tone("f.mp4", f"{X264} -c:a aac", video="testsrc2=s=64x48:r=24000/1001"), 24
    ),
    "119.88 frames a second": Case(
        film("f.mp4", X264, video="testsrc2=s=64x48:r=120000/1001", seconds=0.3), 36
    ),
    "interlaced, top field first": Case(
        with_tone("t.ts", f"-vf tinterlace=interleave_top {MPEG2} {FIELDS} -c:a mp2", video=NTSC),
        30,
        ".mkv",
        deinterlaced="interlaced, top field first",
    ),
    "interlaced, bottom field first": Case(
        film(
            "b.mkv", f"-vf tinterlace=interleave_bottom,setfield=bff {MPEG2} {FIELDS}", video=NTSC
        ),
        30,
        deinterlaced="interlaced, bottom field first",
    ),
    "telecine": Case(
        film(
            "t.mkv", f"-vf telecine=first_field=top {X264}", video="testsrc2=s=128x96:r=24000/1001"
        ),
        30,
        deinterlaced="telecined, top field first",
    ),
    "anamorphic DVD in MPEG-2 PS": Case(
        with_tone("d.mpg", f"-map 0 -map 1 -map 1 -vf setsar=64/45 {MPEG2} -c:a ac3 -f vob"),
        suffix=".mkv",
    ),
    "MPEG-TS whose times wrap": Case(
        with_tone("w.ts", f"{X264} -c:a aac -output_ts_offset 95443 -muxdelay 0"), suffix=".mkv"
    ),
    "HDR10": Case(film("h.mp4", HDR10, seconds=0.2), 5),
    "HLG": Case(film("h.mkv", HLG, seconds=0.2), 5),
    "10-bit 4:2:2": Case(film("t.mp4", f"-pix_fmt yuv422p10le {X264}")),
    "4:4:4": Case(film("f.mkv", f"-pix_fmt yuv444p {X264}")),
    "gray": Case(film("g.mkv", "-pix_fmt gray -c:v ffv1")),
    "odd size": Case(film("o.mp4", f"-pix_fmt yuv444p {X264}", video="testsrc2=s=65x49:r=25")),
    "2x2": Case(film("t.mkv", "-vf scale=2:2 -c:v ffv1")),
    "rotated by 90": Case(remuxed("r.mov", "-display_rotation 90 | -c copy", film("v.mov", X264))),
    "sound in five codecs": Case(
        with_tone(
            "s.mkv",
            f"-map 0 {'-map 1 ' * 5} {X264} -c:a:0 aac -c:a:1 ac3 -c:a:2 flac "
            "-c:a:3 libopus -c:a:4 libmp3lame -metadata:s:a:1 language=fre "
            "-metadata:s:a:1 title='The director' -disposition:a:1 +comment",
        )
    ),
    "SRT": Case(
        with_files(
            {"a.srt": SRT.format("you")},
            with_tone(
                "s.mkv",
                f"{SUBTITLED} -c:s srt -metadata:s:s:0 language=eng -disposition:s:0 +forced",
            ),
        )
    ),
    "ASS with its font": Case(
        with_files(
            {"a.ass": ASS, "letters.ttf": b"letters"},
            film(
                "a.mkv",
                f"-i a.ass -map 0 -map 1 {X264} -c:s ass -attach letters.ttf "
                "-metadata:s:t mimetype=application/x-truetype-font",
            ),
        )
    ),
    "mov_text": Case(
        with_files(
            {"a.srt": SRT.format("you")},
            with_tone("s.mp4", f"{SUBTITLED} -c:s mov_text -metadata:s:s:0 language=ger"),
        )
    ),
    "PGS": Case(
        with_files({"a.sup": pgs()}, film("p.mkv", f"-i a.sup -map 0 -map 1 {X264} -c:s copy"))
    ),
    "DVD subtitles": Case(
        with_files({"a.sup": pgs()}, film("p.mkv", f"-i a.sup -map 0 -map 1 {X264} -c:s dvdsub"))
    ),
    "chapters in MP4": Case(
        with_files({"c.txt": CHAPTERS}, film("c.mp4", f"-i c.txt -map_metadata 1 {X264}"))
    ),
    "chapters in Matroska": Case(
        with_files({"c.txt": CHAPTERS}, film("c.mkv", f"-i c.txt -map_metadata 1 {X264}"))
    ),
    "cover picture in MP4": Case(
        with_files(
            {"r.png": red_png()},
            with_tone(
                "c.mp4",
                f"-i r.png -map 0 -map 1 -map 2 {X264} -c:a aac -c:v:1 copy "
                "-disposition:v:1 attached_pic",
            ),
        )
    ),
    "cover picture in Matroska": Case(
        with_files(
            {"r.png": red_png()},
            film(
                "c.mkv",
                f"{X264} -attach r.png -metadata:s:t mimetype=image/png "
                "-metadata:s:t filename=cover.png",
            ),
        )
    ),
    "no sound": Case(film("n.mp4", X264)),
    "sound longer than the video": Case(
        film("l.mp4", f"-f lavfi -i {TONE}:d=2 {X264} -c:a aac", seconds=0.4), 10
    ),
    "sound only at the end": Case(
        film("e.mkv", f"-itsoffset 0.7 -f lavfi -i {TONE}:d=0.3 {X264} -c:a ac3")
    ),
    "edit list": Case(
        remuxed("e.mp4", "-ss 0.42 | -c copy", with_tone("v.mp4", f"{X264} -g 10 -bf 0 -c:a aac")),
        14,
    ),
    "times far from zero": Case(
        remuxed("f.mkv", "| -c copy -output_ts_offset 100", with_tone("v.mkv", f"{X264} -c:a ac3"))
    ),
    "no times at all": Case(film("n.h264", f"{X264} -bf 0"), suffix=".mkv"),
    "B-frames in AVI": Case(film("b.avi", "-c:v mpeg4 -bf 2 -qscale 4"), suffix=".mkv"),
    "B-frames": Case(with_tone("b.mp4", "-c:v libx264 -bf 3 -b_strategy 0 -qp 20 -c:a aac")),
    "open GOP": Case(
        film("o.mkv", "-c:v libx264 -bf 2 -g 8 -qp 20 -x264-params open-gop=1:scenecut=0")
    ),
    "corrupt packets in the middle": Case(
        then(with_tone("c.mkv", f"{MPEG2} -g 5 -c:a ac3"), zeroed(0.5, 30)), damaged=True
    ),
    "truncated MPEG-TS": Case(
        then(film("t.ts", f"{MPEG2} -g 5"), cut_off(0.6)), 14, ".mkv", damaged=True
    ),
    "truncated Matroska": Case(
        then(with_tone("t.mkv", f"{X264} -c:a ac3"), cut_off(0.6)), 13, damaged=True
    ),
    "1 frame": Case(with_tone("o.mp4", f"{X264} -frames:v 1 -c:a aac"), 1),
    "2 frames": Case(with_tone("t.mp4", f"{X264} -frames:v 2 -c:a aac"), 2),
    "another size in mid-stream": Case(
        joined(
            "j.ts",
            film("a.ts", MPEG2, seconds=0.4),
            film(
                "b.ts", f"{MPEG2} -output_ts_offset 0.4", video="testsrc2=s=96x64:r=25", seconds=0.4
            ),
        ),
        19,
        ".mkv",
    ),
    "AVI with PCM": Case(with_tone("a.avi", "-c:v ffv1 -c:a pcm_s16le"), suffix=".mkv"),
    "ProRes MOV with PCM": Case(
        with_tone("p.mov", "-c:v prores_ks -profile:v hq -c:a pcm_s24le -timecode 01:00:00:00")
    ),
    "ProRes 4444": Case(
        film("p.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuv444p10le"), depth=10
    ),
    "VP9 WebM with alpha": Case(
        with_files(
            {"a.vtt": "WEBVTT\n\n00:00.200 --> 00:00.800\nHello\n"},
            with_tone(
                "a.webm",
                "-i a.vtt -map 0 -map 1 -map 2 -vf format=yuva420p "
                "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -c:a libopus -c:s webvtt",
            ),
        ),
        says="has an alpha channel, which is left out",
    ),
    "AV1": Case(
        with_tone("a.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime -c:a aac", seconds=0.4), 10
    ),
    "MJPEG": Case(with_tone("m.mov", "-c:v mjpeg -pix_fmt yuvj422p -c:a pcm_s16be")),
    "FFV1": Case(with_tone("f.mkv", "-c:v ffv1 -pix_fmt yuv420p10le -c:a flac")),
    "Windows Media": Case(
        with_tone("w.wmv", "-c:v wmv2 -c:a wmav2"), suffix=".mkv", converted=True
    ),
    "sound of telephones": Case(
        with_tone("t.avi", "-c:v mpeg4 -ar 8000 -c:a pcm_mulaw"), suffix=".mov"
    ),
    "Flash video": Case(with_tone("f.flv", f"{X264} -c:a aac"), suffix=".mkv"),
    "tags of every kind": Case(
        with_tone(
            "t.mp4",
            f"{X264} -c:a aac -metadata title='The film' -metadata comment=Hi "
            "-metadata date=1927 -metadata:s:v:0 language=fre -metadata:s:a:0 language=eng",
        )
    ),
    "tags that MOV has no names for": Case(
        with_tone(
            "t.mov",
            f"{X264} -c:a aac -movflags use_metadata_tags -metadata title=T "
            "-metadata com.apple.quicktime.make=Apple -metadata creation_time=2024-05-06T07:08:09Z",
        )
    ),
    "stereoscopic": Case(film("s.mkv", f"{X264} -metadata:s:v stereo_mode=left_right")),
    "data that nothing holds": Case(
        with_files(
            {"a.bin": b"data" * 50},
            film("d.ts", f"-f data -i a.bin -map 0 -map 1 {X264} -c:d copy"),
        ),
        suffix=".mkv",
        left_out=("data",),
    ),
    "subtitles beside a time code": Case(
        with_files(
            {"a.srt": SRT.format("you")},
            film("s.mov", f"-i a.srt -map 0 -map 1 {X264} -c:s mov_text -timecode 01:00:00:00"),
        )
    ),
    "GIF": Case(film("g.gif", f"-vf '{UNEVEN}' -fps_mode passthrough -loop 3", seconds=0.4), 10),
    "APNG": Case(
        film(
            "a.apng",
            f"-vf '{UNEVEN}' -fps_mode passthrough -enc_time_base 1/100 -plays 2",
            seconds=0.4,
        ),
        10,
    ),
    "a photograph with EXIF data": Case(photograph(".tiff"), 1, suffix=".png"),
    "a JPEG": Case(photograph(".jpg"), 1, suffix=".png"),
    "folder of pictures": Case(images(".png"), 5, suffix=".mkv"),
    "folder of pictures with 16 bits": Case(
        images(".png", dtype=np.uint16), 5, suffix=".mkv", depth=10
    ),
    "folder of photographs": Case(images(".jpg"), 5, suffix=".mkv"),
}
