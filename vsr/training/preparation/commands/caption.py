"""Describe the kept clips of a manifest in words, by an image-to-text model in a local folder.

    vsr data caption clips.parquet --model BLIP

MODEL is any folder that transformers loads as image-text-to-text. The command runs in one process,
on one device. Clips that have a caption keep it.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.training.preparation.captions import Captioner, caption_clips
from vsr.training.preparation.command import make_parser, run


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog, workers=False)
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="parquet file to read")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="manifest to write (default: MANIFEST)"
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="model folder")
    parser.add_argument(
        "--prompt", metavar="TEXT", help="beginning of the captions, or a request for chat models"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=40, metavar="N", help="length limit (default: 40)"
    )
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)"
    )
    return run(parser, _caption, argv)


def _caption(options: Namespace) -> str:
    captioner = Captioner(
        options.model, prompt=options.prompt, max_tokens=options.max_tokens, device=options.device
    )
    settings = {
        "step": "caption",
        "manifest": str(options.manifest.absolute()),
        "model": str(options.model.absolute()),
        "prompt": options.prompt,
        "max_tokens": options.max_tokens,
    }
    out = options.out or options.manifest
    manifest = caption_clips(options.manifest, out, captioner, settings=settings)
    count = sum(row.caption is not None for row in manifest.rows)
    return f"{count} of {len(manifest.rows)} clips have a caption"
