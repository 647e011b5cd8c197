"""A run that ends from inside when one of its clips begins."""

import itertools
from typing import Any

import pytest

from vsr.upscaling.clip_upscaler import Upscaler


class Stop(Exception):  # noqa: N818
    """Ends a run from inside."""


def stop_at(clip_number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a run, once, at its clip of that number, counted from 1."""
    numbers, call = itertools.count(1), Upscaler.__call__

    def stopping(self: Upscaler, clip: Any) -> Any:
        if next(numbers) == clip_number:
            raise Stop
        return call(self, clip)

    monkeypatch.setattr(Upscaler, "__call__", stopping)
