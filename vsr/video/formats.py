"""The formats and protocols that FFmpeg may open: those of one file, and playlists if asked for."""

PLAYLISTS = ("hls", "concat", "dash")
"""Formats that name other files to be read; FFmpeg may be made to read any by them."""

_CONTAINERS = (
    *("3g2", "3gp", "4xm", "amv", "anm", "apng", "argo_brp", "asf", "asf_o", "avi", "avs", "avs2"),
    *("avs3", "bethsoftvid", "bfi", "bink", "c93", "cdxl", "cine", "dhav", "dv", "dxa", "ea"),
    *("f4v", "film_cpk", "filmstrip", "flic", "flv", "frm", "gdv", "gif", "gxf", "hnm", "iff"),
    *("ifv", "ipmovie", "iss", "iv8", "ivf", "jpegxl_anim", "jv", "kux", "live_flv", "lmlm4"),
    *("lvf", "lxf", "m4v", "matroska", "mgsts", "mjpeg", "mjpeg_2000", "mm", "moflex", "mov"),
    *("mp4", "mpeg", "mpegts", "mpegtsraw", "mpegvideo", "mtv", "mv", "mxf", "mxg", "nsv", "nut"),
    *("nuv", "ogg", "paf", "psxstr", "pva", "r3d", "rl2", "rm", "roq", "rpl", "sdr2", "sdx"),
    *("ser", "sga", "siff", "simbiosis_imx", "smjpeg", "smk", "smush", "swf", "thp"),
    *("tiertexseq", "tmv", "txd", "ty", "usm", "vidc", "vividas", "vivo", "vmd", "vvc"),
    *("wc3movie", "webm", "wsvqa", "wtv", "xmv", "yop", "yuv4mpegpipe"),
)
_RAW_VIDEO = (
    *("apv", "av1", "cavsvideo", "dirac", "dnxhd", "evc", "h261", "h263", "h264", "hevc", "ipu"),
    *("obu", "vc1", "vc1test", "bit"),
)
_PICTURES = (
    *("alias_pix", "fits", "ico", "qoi_pipe", "xbm_pipe", "xpm_pipe", "xwd_pipe", "image2"),
    *("bmp_pipe", "brender_pix", "cri_pipe", "dds_pipe", "dpx_pipe", "exr_pipe", "gem_pipe"),
    *("gif_pipe", "hdr_pipe", "j2k_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe"),
    *("jpegxs_pipe", "pam_pipe", "pbm_pipe", "pcx_pipe", "pfm_pipe", "pgm_pipe", "pgmyuv_pipe"),
    *("pgx_pipe", "phm_pipe", "photocd_pipe", "pictor_pipe", "png_pipe", "ppm_pipe", "psd_pipe"),
    *("qdraw_pipe", "sgi_pipe", "sunrast_pipe", "svg_pipe", "tiff_pipe", "vbn_pipe", "webp_pipe"),
)
_NO_VIDEO = (
    *("aac", "ac3", "aiff", "amr", "ape", "au", "caf", "dts", "eac3", "flac", "loas", "mp3"),
    *("mpc", "truehd", "tta", "voc", "w64", "wav", "wv"),
    *("ass", "microdvd", "sami", "srt", "sup", "tty", "webvtt"),
)
"""Recognised all the same, so that a message says what the file holds."""

_FILES = (*_CONTAINERS, *_RAW_VIDEO, *_PICTURES, *_NO_VIDEO)
_HEADS = (b"#EXTM3U", b"ffconcat", b"<MPD")


def open_options(*, playlists: bool) -> dict[str, str]:
    """Return FFmpeg's options that keep it to files, and to one file unless `playlists`."""
    formats = (*_FILES, *PLAYLISTS) if playlists else _FILES
    protocols = ("file", "crypto") if playlists else ("file",)
    return {
        "format_whitelist": ",".join(formats),
        "protocol_whitelist": ",".join(protocols),
        "pattern_type": "none",  # otherwise `%02d` in the name of a picture opens other pictures
    }


def is_playlist(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a playlist."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_HEADS)
