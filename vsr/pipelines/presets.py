"""Presets: small files of sampling values that the pipeline and the command line know by name."""

from pathlib import Path
from typing import Any

import yaml

from vsr.errors import ConfigError
from vsr.option_values import nearest
from vsr.runtime.yaml_text import load_yaml

_FOLDER = Path(__file__).parent.parent / "assets" / "presets"
_SUFFIX = ".yaml"


def preset_names() -> list[str]:
    """The presets inside the package."""
    return sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}"))


def read_preset(name: str) -> dict[str, Any]:
    """The values of a preset of the package, or of a YAML file of the user's.

    Raises ConfigError if it does not exist, or if the file is not a mapping of keys to values.
    """
    file = Path(name) if name.endswith(_SUFFIX) else _FOLDER / f"{name}{_SUFFIX}"
    if not file.is_file():
        raise ConfigError(
            f"there is no preset {name}{nearest(name, preset_names()) or '.'} "
            f"Shipped: {', '.join(preset_names())}; anything else is a {_SUFFIX} file"
        )
    try:
        values = load_yaml(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds no keys and values")
    return values
