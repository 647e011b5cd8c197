"""Origins of converted models: title, licence, their makers' sampling values, and the card."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vsr.errors import ModelError

CARD = "README.md"
"""The file of a model's card, in its folder."""
_TEMPLATE = """---
{facts}---

# {title}

Converted by `vsr convert` from {source}; the values of the weights are unchanged.

{note}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A published model."""

    name: str
    """As `--model` takes it, if it is converted without another target."""
    title: str
    licence: str
    note: str
    sampling: dict[str, Any] = field(default_factory=dict[str, Any])
    """Values of `SamplingConfig` other than its defaults."""

    def card(self, source: str) -> str:
        """Returns the README of a model folder made from the file or folder called `source`."""
        facts = {"license": "other", "license_name": self.licence, "library_name": "vsr"}
        text = yaml.safe_dump(facts, sort_keys=False, width=1000)
        return _TEMPLATE.format(facts=text, title=self.title, source=source, note=self.note)


def read_licence(card: Path) -> str | None:
    """Returns the licence that the front matter of a model card names, if there is a card.

    Raises ModelError for front matter that is not YAML.
    """
    if not card.is_file():
        return None
    try:
        text = card.read_text(encoding="utf-8")
        found = re.match(r"---\n(.*?)^---$", text, flags=re.DOTALL | re.MULTILINE)
        facts = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ModelError(
            f"{card} cannot be read, or has a head that is not YAML: {error}"
        ) from error
    if not isinstance(facts, dict):
        return None
    licence = facts.get("license_name") or facts.get("license")
    return None if licence is None else str(licence)


UPSCALE_A_VIDEO = Origin(
    name="upscale-a-video",
    title="Upscale-A-Video",
    licence="S-Lab License 1.0, non-commercial use only (Upscale-A-Video)",
    note="""Upscale-A-Video (Zhou et al., CVPR 2024) by S-Lab, Nanyang Technological University.
S-Lab License 1.0: use and redistribution for non-commercial purposes only; for any other use ask
its authors. It builds on Stable Diffusion's x4 upscaler (CreativeML Open RAIL++-M).
`--preset upscale-a-video` samples as its makers do.""",
)

LAVIE = Origin(
    name="lavie-vsr",
    title="LaVie VSR",
    licence="LaVie: open for academic research and free commercial use; licences from its authors",
    note="""LaVie's video super-resolution (Wang et al. 2023, Vchitect). Its README says that the
weights are open for academic research and allow free commercial use, and names an address for
commercial licences; the code is under Apache-2.0. VAE and text encoder are those of Stable
Diffusion's x4 upscaler (CreativeML Open RAIL++-M).""",
    sampling={"num_inference_steps": 50, "guidance_scale": 5.0, "noise_level": 50},
)

X4_UPSCALER = Origin(
    name="sd-x4-upscaler",
    title="Stable Diffusion x4 upscaler, inflated in time",
    licence="CreativeML Open RAIL++-M (Stable Diffusion x4 upscaler)",
    note="""Stable Diffusion's x4 upscaler (Stability AI). The CreativeML Open RAIL++-M licence has
restrictions of use, which go with the weights. Its U-Net got temporal layers, which are not trained
and change nothing: every frame comes out as from the image model.""",
    sampling={
        "num_inference_steps": 75,
        "guidance_scale": 9.0,
        "noise_level": 20,
        "prompt_suffix": "",
        "negative_prompt": "",
    },
)

_SEEDVR_NOTE = """{what} (Wang et al. 2025) by ByteDance Seed, Apache License, Version 2.0, as are
the two embeddings of its fixed text in `text/`. Rotary frequencies are not among the tensors: they
are computed in float32."""

SEEDVR2 = Origin(
    name="seedvr2",
    title="SeedVR2",
    licence="apache-2.0",
    note=_SEEDVR_NOTE.format(what="SeedVR2: one-step video restoration"),
    sampling={"num_inference_steps": 1, "guidance_scale": 1.0, "condition_noise_scale": 0.0},
)

SEEDVR = Origin(
    name="seedvr",
    title="SeedVR",
    licence="apache-2.0",
    note=_SEEDVR_NOTE.format(what="SeedVR: video restoration in 50 steps"),
    sampling={"num_inference_steps": 50, "guidance_scale": 6.5, "condition_noise_scale": 0.1},
)
