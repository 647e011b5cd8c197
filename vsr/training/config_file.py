"""Training configs from yaml files and plain mappings, and back."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from vsr.degradation import DegradationConfig, preset_fields
from vsr.errors import ConfigError
from vsr.option_values import nearest
from vsr.runtime.yaml_text import load_yaml
from vsr.training.config import TrainConfig


def shipped_configs() -> dict[str, Path]:
    """The training configs that come with vsr, by name: those of the wheel, or of the clone."""
    folder = Path(__file__).with_name("configs")
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "configs" / "train"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_train_config(name: str | Path) -> Path:
    """The config file at a path, or the shipped one of that name; `ConfigError` if neither is."""
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_configs()
    if str(name) in shipped:
        return shipped[str(name)]
    raise ConfigError(
        f"no config file {str(name)!r}{nearest(str(name), list(shipped))}; the shipped ones are "
        f"called {', '.join(shipped)}"
    )


def load_train_config(name: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The training config of a YAML file or of a shipped name, with overrides applied.

    Overrides are `key.inner=value` strings; a stage is addressed by its name or its number:
    `stages.first.steps=100`. Raises `ConfigError` for an unreadable file, an unknown key (with the
    nearest right one) or a value of the wrong type.
    """
    path = find_train_config(name)
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not yaml: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys; a training config is a yaml mapping")
    for override in overrides:
        _lay_over(values, override)
    return build_train_config(values)


def build_train_config(values: Mapping[str, Any]) -> TrainConfig:
    """The training config of plain nested mappings and lists, as yaml gives them."""
    return typing.cast(TrainConfig, _build(TrainConfig, values, "config"))


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """The config as plain nested mappings and lists; `build_train_config` is the inverse."""
    return typing.cast("dict[str, Any]", _plain(dataclasses.asdict(config)))


def differing_fields(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the keys whose values differ between two configs in plain form.

    Stages are told apart by their names.
    """
    found: list[str] = []
    for key in sorted({*old, *new}):
        a, b = (_by_name(values.get(key)) for values in (old, new))
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differing_fields(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}")
    return found


def _by_name(value: Any) -> Any:
    """A list of named mappings as one mapping; anything else as it is."""
    if not isinstance(value, list) or not all(
        isinstance(v, Mapping) and "name" in v for v in value
    ):
        return value
    return {item["name"]: item for item in value}


def _lay_over(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.lstrip("-").partition("=")
    if not separator or not key:
        raise ConfigError(f"{override!r} is no override; write key.inner=value")
    *parents, last = key.split(".")
    node: Any = values
    for part in parents:
        if isinstance(node, dict) and node.get(part) is None:
            node[part] = {}
        node = _child(node, part, key)
    if isinstance(node, list):
        raise ConfigError(f"{key!r} names a whole stage; name one of its values")
    try:
        node[last] = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{override!r} has no yaml value: {' '.join(str(error).split())}"
        ) from error


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, dict):
        return node[part]
    if not isinstance(node, list):
        raise ConfigError(f"{key!r}: nothing lies below {part!r}")
    named = {str(item.get("name")): item for item in node if isinstance(item, dict)}
    numbered = {str(i): item for i, item in enumerate(node)}
    if part not in named and part not in numbered:
        raise ConfigError(f"{key!r}: no stage {part!r}; there are {', '.join(named)}")
    return named.get(part, numbered.get(part))


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`: a dataclass, tuple, dict, Literal, union or plain type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast(type, kind), value, where)
    if kind is Any:
        return value
    if origin is Literal:
        if value is False and "no" in inner:  # as yaml reads an unquoted no
            value = "no"
        _check(value in inner, where, value, f"one of {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        _check(isinstance(value, list | tuple), where, value, "a list")
        many = len(inner) == 2 and inner[1] is Ellipsis
        _check(many or len(value) == len(inner), where, value, f"a list of {len(inner)}")
        kinds = [inner[0]] * len(value) if many else inner
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(_build(k, v, f"{where}[{i}]") for i, (k, v) in pairs)
    if origin is dict:
        _check(isinstance(value, Mapping), where, value, "a mapping")
        return {str(k): _build(inner[1], v, f"{where}.{k}") for k, v in value.items()}
    if inner:  # a union with None
        return None if value is None else _build(inner[0], value, where)
    return _build_plain(kind, value, where)


_KIND_NAMES = {"int": "a whole number", "str": "text", "bool": "true or false"}


def _build_plain(kind: type, value: Any, where: str) -> Any:
    if kind is float:
        try:  # yaml reads 1e-4 as text
            return float(value)
        except (TypeError, ValueError):
            _check(False, where, value, "a number")
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    _check(right, where, value, _KIND_NAMES.get(kind.__name__, kind.__name__))
    return value


def _build_dataclass(kind: type, values: Any, where: str) -> Any:
    values = {} if values is None else values
    if kind is DegradationConfig:
        values = preset_fields(values)
    _check(isinstance(values, Mapping), where, values, "a mapping")
    kinds = typing.get_type_hints(kind)
    for key in values:
        if key not in kinds:
            near = nearest(str(key), list(kinds)) or f"; there are {', '.join(kinds)}"
            raise ConfigError(f"{where}: unknown key {key!r}{near}")
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: {missing[0]!r} is missing; it has no default")
    return kind(**{k: _build(kinds[k], v, f"{where}.{k}") for k, v in values.items()})


def _check(right: bool, where: str, value: Any, allowed: str) -> None:
    if not right:
        raise ConfigError(f"{where} is {value!r}; it must be {allowed}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
