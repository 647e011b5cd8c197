"""Whatever keeps pyiqa from loading a network is the reason for a missing figure."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from vsr.errors import DependencyError
from vsr.evaluation.image_quality import ImageQuality


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModuleNotFoundError("no", name="pkg_resources"), "the package pkg_resources is missing"),
        (OSError("no\nnetwork"), r"could not load its weights \(no network\)"),
        (ValueError("odd"), r"could not load its weights \(odd\)"),
    ],
)
def test_what_keeps_pyiqa_from_loading_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def create_metric(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric))
    with pytest.raises(DependencyError, match=line):
        ImageQuality("clipiqa")
