"""Writes the model folder of a published SeedVR checkpoint, tensor by tensor."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from vsr.checkpoints.cards import SEEDVR, SEEDVR2, Origin
from vsr.checkpoints.find import ASSETS
from vsr.checkpoints.index import INDEX
from vsr.checkpoints.key_maps import check_keys, new_attention_name
from vsr.checkpoints.published import WEIGHTS
from vsr.checkpoints.seedvr.networks import autoencoder_config, transformer_config
from vsr.checkpoints.seedvr.source import SeedVRSource
from vsr.checkpoints.seedvr.tensor_files import TensorFile
from vsr.errors import ModelError
from vsr.models.seedvr.causal_vae import CausalVideoVae
from vsr.models.seedvr.nadit import NaDiT
from vsr.models.weight_files import read_state, write_state
from vsr.pipelines.seedvr import SEEDVR_PIPELINE
from vsr.pipelines.seedvr.folder import TEXT_FILE

_log = logging.getLogger(__name__)

_SHARD_BYTES = 4 << 30
_UNUSED = (".rope.freqs", "_conditioning")
"""Ends of names that are no weights: frequencies are computed here, and text lies elsewhere."""
_TEXT_WIDTH = 5120


def origin_of(source: SeedVRSource) -> Origin:
    """Returns the published model that a source is."""
    return SEEDVR2 if source.kind == "seedvr2" else SEEDVR


def write_folder(source: SeedVRSource, folder: Path) -> None:
    """Write all parts of the model into an empty folder; raises ModelError unless they fit."""
    transformer = _write_network(
        NaDiT,
        transformer_config(source.transformer.shapes, source.config, where=source.transformer.path),
        source.transformer,
        folder / "transformer",
    )
    _write_network(
        CausalVideoVae,
        autoencoder_config(source.vae.shapes, source.vae_config, where=source.vae.path),
        source.vae,
        folder / "vae",
    )
    FlowMatchEulerDiscreteScheduler(shift=1.0).save_pretrained(folder / "scheduler")
    _write_texts(source.texts, transformer.text_width, folder / TEXT_FILE)
    _write_index(origin_of(source), folder)


def _write_network(kind: Any, config: dict[str, Any], file: TensorFile, folder: Path) -> Any:
    """Write config and weights of a network; return it without weights."""
    try:
        with torch.device("meta"):
            network = kind(**config)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"the sizes of {file.path} give no network: {error}") from error
    names = _checked(file, {key: tuple(x.shape) for key, x in network.state_dict().items()})
    folder.mkdir(parents=True)
    network.save_config(folder)
    _write_shards(names, file, folder)
    return network


def _checked(file: TensorFile, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """The names in the file of the tensors that a network has; raises ModelError unless all fit."""
    here = {new_attention_name(key): key for key in file.shapes if not key.endswith(_UNUSED)}
    check_keys(here, wanted, where=str(file.path), reason="it is cut, or of another network")
    for key, shape in wanted.items():
        if file.shapes[here[key]] != shape:
            raise ModelError(
                f"{file.path}: {key} has shape {file.shapes[here[key]]}; its network needs {shape}"
            )
    return {key: here[key] for key in wanted}


def _write_shards(names: Mapping[str, str], file: TensorFile, folder: Path) -> None:
    """Write the tensors into files of a few gigabytes, and an index if there are several."""
    shards: list[Path] = []
    weight_map: dict[str, str] = {}
    total = 0
    for shard in _shards(names, file):
        path = folder / f"{WEIGHTS}-{len(shards) + 1:05d}.safetensors"
        write_state(shard, path)
        shards.append(path)
        weight_map |= dict.fromkeys(shard, path.name)
        total += sum(value.nbytes for value in shard.values())
    if len(shards) == 1:
        shards[0].rename(folder / f"{WEIGHTS}.safetensors")
        return
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / f"{WEIGHTS}.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _shards(names: Mapping[str, str], file: TensorFile) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for key, name in names.items():
        value = file.read(name)
        if shard and size + value.nbytes > _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[key] = value
        size += value.nbytes
    yield shard


def _write_texts(texts: Mapping[str, Tensor], width: int, path: Path) -> None:
    """Write the embeddings of the source, or our copy of the published ones where they fit."""
    if not texts and width != _TEXT_WIDTH:
        _log.warning(
            "no text is written: the published embeddings have %d values a word, the network reads "
            "%d: calls give text_embeds",
            *(_TEXT_WIDTH, width),
        )
        return
    for name, text in texts.items():
        if text.ndim != 2 or text.shape[1] != width:
            raise ModelError(
                f"the {name} embeddings have shape {tuple(text.shape)}; the network reads words of "
                f"{width} values: take the embeddings of its makers away, or those that fit"
            )
    published = read_state(ASSETS / "seedvr" / "text.safetensors") if width == _TEXT_WIDTH else {}
    path.parent.mkdir()
    write_state({**published, **texts}, path)


def _write_index(origin: Origin, folder: Path) -> None:
    index = {
        "_class_name": SEEDVR_PIPELINE,
        "transformer": [NaDiT.__module__, NaDiT.__name__],
        "vae": [CausalVideoVae.__module__, CausalVideoVae.__name__],
        "scheduler": ["diffusers", FlowMatchEulerDiscreteScheduler.__name__],
        "sampling": origin.sampling,
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
