"""Describe the kept clips of a manifest in words, by an image-to-text model in a local folder.

    vsr data caption clips.parquet --model BLIP

MODEL is any folder that transformers loads as image-text-to-text. Clips that have a
caption keep it. On a cluster each GPU has a worker (--device cuda).
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.training.preparation.captions import CaptionConfig, caption_clips
from vsr.training.preparation.command import add_manifest, make_parser, run, worker_options


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog)
    add_manifest(parser, out=True)
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
    config = CaptionConfig(
        options.model, prompt=options.prompt, max_tokens=options.max_tokens, device=options.device
    )
    workers = worker_options(options, gpus=options.device != "cpu")
    out = options.out or options.manifest
    manifest = caption_clips(options.manifest, out, config, workers=workers)
    count = sum(row.caption is not None for row in manifest)
    return f"{count} of {len(manifest)} clips have a caption"
