"""Captions of clips by an image-to-text model from a local folder (extra `text`)."""

import dataclasses
import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsr.errors import DependencyError, ModelError, install_extra
from vsr.training.data.manifest import ClipRow, Manifest, read_manifest
from vsr.training.preparation.clips import clip_frames, middle_of
from vsr.training.preparation.steps import journal_of, written
from vsr.training.preparation.work import work_through

_log = logging.getLogger(__name__)

CHAT_PROMPT = "Describe this picture in one sentence."


class Captioner:
    """Any model that transformers knows as image-text-to-text: BLIP, GIT, LLaVA and their like."""

    def __init__(
        self, folder: Path, *, prompt: str | None = None, max_tokens: int = 40, device: str = "cpu"
    ) -> None:
        """Loads `folder`, never the network. Raises ModelError for a folder that does not load.

        `prompt` is a beginning for captioners, a request for models that chat.
        """
        transformers = _transformers()
        try:
            self._processor: Any = transformers.AutoProcessor.from_pretrained(
                folder, local_files_only=True
            )
            model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True
            )
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{folder} is no image-to-text model that loads: {reason}") from error
        self._model = model.eval().to(device)
        self._prompt, self._max_tokens = prompt, max_tokens

    @torch.no_grad()
    def __call__(self, picture: np.ndarray) -> str:
        """The caption of RGB pixels `h w 3`, by greedy decoding."""
        inputs = self._inputs(picture).to(self._model.device)
        tokens = self._model.generate(**inputs, max_new_tokens=self._max_tokens, do_sample=False)
        if self._chats:
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        text: str = self._processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return " ".join(text.split())

    @property
    def _chats(self) -> bool:
        return getattr(self._processor, "chat_template", None) is not None

    def _inputs(self, picture: np.ndarray) -> Any:
        if not self._chats:
            given = {} if self._prompt is None else {"text": self._prompt}
            return self._processor(images=picture, return_tensors="pt", **given)
        content = [{"type": "image"}, {"type": "text", "text": self._prompt or CHAT_PROMPT}]
        text = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return self._processor(images=picture, text=text, return_tensors="pt")


def caption_clips(
    path: Path, out: Path, captioner: Captioner, *, settings: dict[str, Any]
) -> Manifest:
    """Writes the manifest with a caption for each kept clip that has none, of its middle frame."""
    manifest = read_manifest(path)
    silent = {row.key: row for row in manifest.rows if row.kept and row.caption is None}

    def describe(row: ClipRow) -> str:
        return captioner(clip_frames(middle_of(row), manifest.root, frames=1)[0])

    journal = journal_of(out)
    found = work_through(silent, describe, journal=journal, settings=settings)
    rows = [
        dataclasses.replace(row, caption=found[row.key]) if row.key in found else row
        for row in manifest.rows
    ]
    return written(manifest.with_rows(rows), out, journal)


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise DependencyError(
            f"captions need transformers, which is not installed: {install_extra('text')}"
        ) from error
