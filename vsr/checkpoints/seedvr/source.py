"""A source of SeedVR: its files told apart by their tensors, and which model it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vsr.checkpoints.index import read_object
from vsr.checkpoints.seedvr.networks import is_autoencoder, is_transformer
from vsr.checkpoints.seedvr.tensor_files import SUFFIXES, TensorFile, open_tensors
from vsr.errors import ModelError

SeedVRKind = Literal["seedvr2", "seedvr"]
_TEXTS = {"positive": ("pos_emb.pt", "pos_emb.pth"), "negative": ("neg_emb.pt", "neg_emb.pth")}
_TEXT_KEYS = {"positive_conditioning": "positive", "negative_conditioning": "negative"}
"""Text that some conversions keep beside the weights."""
_NAME = re.compile(r"seedvr(2?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SeedVRSource:
    """The files of a published model."""

    kind: SeedVRKind
    transformer: TensorFile
    vae: TensorFile
    config: Mapping[str, Any]
    vae_config: Mapping[str, Any]
    texts: Mapping[str, Tensor]


def is_seedvr(source: Path) -> bool:
    """Returns True for a file or folder that holds a transformer or an autoencoder of SeedVR.

    Only names are read. A damaged file is not one.
    """
    if source.is_dir():
        names = [file.name for file in _weight_files(source)]
        return any(_NAME.search(name) or name.startswith("ema_vae") for name in names)
    if source.suffix.lower() not in SUFFIXES or not source.is_file():
        return False
    if _NAME.search(source.name) or source.suffix.lower() == ".gguf":
        return True
    try:
        return is_transformer(open_tensors(source).shapes)
    except ModelError:
        return False


def find_source(source: Path, kind: SeedVRKind | None) -> SeedVRSource:
    """Returns the files of the model at `source`: a folder, or the transformer's file in one.

    Raises ModelError for a source that lacks a network or has two, or whose kind nothing tells.
    """
    folder = source if source.is_dir() else source.parent
    opened = [open_tensors(source)] if source.is_file() else []
    others = [file for file in _weight_files(folder) if file != source]
    opened += [open_tensors(file) for file in others if file.name not in _text_names()]
    transformers = [file for file in opened if is_transformer(file.shapes)]
    if source.is_file():
        transformers = [file for file in transformers if file.path == source]
    autoencoders = [file for file in opened if is_autoencoder(file.shapes)]
    transformer = _only(transformers, source, "transformer of SeedVR", "seedvr2_ema_3b.pth")
    return SeedVRSource(
        kind=kind or _kind_of(transformer.path),
        transformer=transformer,
        vae=_only(autoencoders, folder, "autoencoder of SeedVR", "ema_vae.pth"),
        config=_config(folder / "config.json", "overrides"),
        vae_config=_config(folder / "vae_config.json", "vae_overrides"),
        texts=_texts(folder, transformer),
    )


def _weight_files(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES and file.is_file()
    ]


def _text_names() -> set[str]:
    return {name for names in _TEXTS.values() for name in names}


def _only(files: list[TensorFile], where: Path, what: str, example: str) -> TensorFile:
    if not files:
        raise ModelError(f"{where} has no {what}: put a file such as {example} there")
    if len(files) > 1:
        names = ", ".join(file.path.name for file in files)
        raise ModelError(f"{where} has several files of the {what} ({names}): leave one there")
    return files[0]


def _kind_of(path: Path) -> SeedVRKind:
    """SeedVR2 or SeedVR by the name of the file, or of its folder: the tensors are the same."""
    for name in (path.name, path.absolute().parent.name):
        if found := _NAME.search(name):
            return "seedvr2" if found[1] else "seedvr"
    raise ModelError(
        f"neither {path} nor its tensors tell SeedVR2 from SeedVR: give --kind seedvr2 or seedvr"
    )


def _config(path: Path, under: str) -> Mapping[str, Any]:
    """The config beside a file, plain or as an entry; empty if there is none."""
    if not path.is_file():
        return {}
    content = read_object(path)
    inner = content.get(under, content)
    if not isinstance(inner, Mapping):
        raise ModelError(f"{path}: {under} is not a table")
    return inner


def _texts(folder: Path, transformer: TensorFile) -> dict[str, Tensor]:
    """The embeddings that come with the weights: in files of their own, or beside the tensors."""
    found = {
        ours: _words(transformer.read(key))
        for key, ours in _TEXT_KEYS.items()
        if key in transformer.shapes
    }
    for ours, names in _TEXTS.items():
        for path in (folder / name for name in names):
            if path.is_file():
                found[ours] = _text_file(path)
    return found


def _text_file(path: Path) -> Tensor:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged archives and pickles raise almost every kind
        raise ModelError(
            f"{path} is refused: it is damaged, or holds more than a tensor"
        ) from error
    if not isinstance(content, Tensor):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a tensor of words")
    return _words(content)


def _words(text: Tensor) -> Tensor:
    """Embeddings as words x values, without an axis for the batch."""
    return text[0] if text.ndim == 3 and text.shape[0] == 1 else text
