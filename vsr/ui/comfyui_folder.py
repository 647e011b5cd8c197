"""`vsr comfyui install`: the custom node of a ComfyUI folder, one line that imports ours."""

from pathlib import Path

from vsr.errors import InputError, OutputError
from vsr.runtime.files import write_atomically

NODE = "vsr_nodes"
"""The folder of the custom node; `vsr` itself would hide the package."""
_LINE = (
    "from vsr.ui.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS  # vsr comfyui\n"
)


def install_nodes(comfyui: Path) -> Path:
    """Write the custom node into a folder of ComfyUI, and return its file.

    Raises InputError for a folder that is not ComfyUI's, OutputError for a node of the same name
    that is not ours, or one that cannot be written.
    """
    nodes = comfyui / "custom_nodes"
    if not nodes.is_dir():
        raise InputError(
            f"{comfyui} has no folder custom_nodes; give the folder of ComfyUI, which has one"
        )
    file = nodes / NODE / "__init__.py"
    if file.exists() and "vsr.ui.comfyui" not in file.read_text(encoding="utf-8", errors="replace"):
        raise OutputError(f"{file} is there and not of vsr; move it away first")
    try:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, _LINE.encode())
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}") from error
    return file
