"""The options of a run for its workers, which are in other folders."""

from dataclasses import replace
from pathlib import Path

from vsr.checkpoints.find import is_model_path, is_picture_folder
from vsr.config import UpscaleConfig
from vsr.option_values import parse_lora

_FILES = ("preset", "flow_weights", "colour_references", "masks")


def with_full_paths(config: UpscaleConfig) -> UpscaleConfig:
    """Return the options with full paths of models and pictures; other names stay."""
    full = {name: _full(getattr(config, name)) for name in _FILES}
    texture = config.texture_model or "none"
    if is_model_path(texture) or is_picture_folder(texture):
        texture = _full(texture)
    if is_model_path(config.model):
        full["model"] = _full(config.model)
    if config.lora is not None:
        path, weight = parse_lora(config.lora)
        full["lora"] = f"{path.absolute()}={weight}"
    return replace(config, **full, texture=texture)


def _full(name: str | None) -> str | None:
    """Return the full path of a file or folder; a name that is none stays."""
    return str(Path(name).absolute()) if name is not None and Path(name).exists() else name
