"""Describes the kept clips of a manifest in words, by an image-to-text model in a local folder.

    python data_prep/caption.py clips.parquet --model BLIP

Any folder that transformers loads as image-text-to-text will do. It runs in one process, on one
device; clips that have a caption keep it.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.training.preparation.captions import Captioner, caption_clips
from vsr.training.preparation.command import run, script


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__, workers=False)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, help="manifest to write; default: the same")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--prompt", help="beginning of the captions, or what to ask")
    parser.add_argument("--max-tokens", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    return run(parser, describe, argv)


def describe(options: Namespace) -> str:
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


if __name__ == "__main__":
    sys.exit(main())
