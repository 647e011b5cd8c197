"""Damaged films are made or refused: no trace, no hang, no write beside the output."""

from pathlib import Path

import pytest

from tests.fuzz import fuzz as harness
from tests.fuzz.fuzz import fuzz, run

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("mutations", [4, pytest.param(500, marks=pytest.mark.slow)])
def test_a_damaged_film_is_made_or_refused_in_one_line(tmp_path: Path, mutations: int) -> None:
    tally = fuzz(tmp_path, mutations=mutations, seed=0)
    assert not tally.failures, tally
    assert tally.counts.total() == 8 * mutations, "the time was over"


def test_endless_computing_is_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute() -> None:
        while True:
            pass

    monkeypatch.setattr(harness, "HANG_SECONDS", 1)
    assert run(compute, tmp_path)[0] == "hang"
