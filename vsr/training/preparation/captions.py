"""Captions of clips by an image-to-text model from a local folder (extra `text`)."""

import dataclasses
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsr.errors import DependencyError, ModelError, install_extra
from vsr.runtime.executor import WorkerOptions
from vsr.training.data.clip_row import ClipRow, row_to_plain
from vsr.training.data.manifest import StoredManifest, open_manifest
from vsr.training.preparation.clips import clip_frames, middle_of
from vsr.training.preparation.row_work import RowTask, work_on_rows
from vsr.training.preparation.steps import store, work_folder

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


@dataclass(frozen=True, slots=True)
class CaptionConfig:
    """The model of captions, and its prompt, their longest length in tokens, and its device."""

    model: Path
    prompt: str | None = None
    max_tokens: int = 40
    device: str = "cpu"


def caption_clips(
    path: Path, out: Path, config: CaptionConfig, *, workers: WorkerOptions | None = None
) -> StoredManifest:
    """Writes the manifest with a caption for each kept clip that has none, of its middle frame."""
    manifest = open_manifest(path)
    settings = {
        "step": "caption",
        "manifest": str(path.absolute()),
        "model": str(config.model.absolute()),
        "prompt": config.prompt,
        "max_tokens": config.max_tokens,
    }
    captioned = work_on_rows(
        (RowTask(row.key, (row,), row if _is_silent(row) else None) for row in manifest),
        _Describe(dataclasses.replace(config, model=config.model.absolute()), manifest.root),
        folder=work_folder(out),
        root=manifest.root,
        settings=settings,
        workers=workers,
        total=len(manifest),
    )
    return store(captioned, out, root=manifest.root)


class _Describe:
    """Adds captions to rows, by a model that is loaded by the process that first needs it."""

    def __init__(self, config: CaptionConfig, root: Path) -> None:
        self._config, self._root = config, root
        self._captioner: Captioner | None = None

    def __call__(self, row: ClipRow) -> list[dict[str, Any]]:
        config = self._config
        if self._captioner is None:
            self._captioner = Captioner(
                config.model,
                prompt=config.prompt,
                max_tokens=config.max_tokens,
                device=config.device,
            )
        picture = clip_frames(middle_of(row), self._root, frames=1)[0]
        return [row_to_plain(dataclasses.replace(row, caption=self._captioner(picture)))]


def _is_silent(row: ClipRow) -> bool:
    return row.kept and row.caption is None


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise DependencyError(
            f"captions need transformers, which is not installed: {install_extra('text')}"
        ) from error
