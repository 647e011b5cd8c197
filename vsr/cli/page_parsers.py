"""The parsers of the commands for people who use no terminal: the page and ComfyUI."""

from typing import Literal

from jsonargparse import ArgumentParser

from vsr.cli.new_parser import add_common, new_parser


def ui_parser() -> ArgumentParser:
    """Return the parser of `vsr ui`."""
    parser = new_parser(
        "ui", "[options]", "Serve a web page that previews, plans and upscales films."
    )
    parser.add_argument(
        "--host",
        type=str,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; others than this machine's need a password, from"
        " VSR_UI_PASSWORD or a prompt (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port", type=int, default=7860, metavar="N", help="port, 0 for a free one (default: 7860)"
    )
    parser.add_argument(
        "--folder",
        type=str,
        metavar="FOLDER",
        help="folder for uploads and results (default: vsr/page of your data)",
    )
    parser.add_argument(
        "--max-upload",
        type=str,
        default="20GB",
        metavar="SIZE",
        help="largest file to take, as 500MB or 20GB (default: 20GB)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_common(parser, parser)
    return parser


def comfyui_parser() -> ArgumentParser:
    """Return the parser of `vsr comfyui`."""
    parser = new_parser(
        "comfyui", "install PATH_OF_COMFYUI", "Add the nodes of vsr to a folder of ComfyUI."
    )
    parser.add_argument("action", type=Literal["install"], metavar="install", help="what to do")
    parser.add_argument("path", type=str, metavar="PATH_OF_COMFYUI", help="folder of ComfyUI")
    add_common(parser, parser)
    return parser
