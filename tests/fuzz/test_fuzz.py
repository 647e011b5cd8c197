"""Damaged films are made or refused: no trace, no hang, no write beside the output."""

from pathlib import Path

import pytest

from tests.fuzz.fuzz import fuzz

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("mutations", [4, pytest.param(500, marks=pytest.mark.slow)])
def test_a_damaged_film_is_made_or_refused_in_one_line(tmp_path: Path, mutations: int) -> None:
    tally = fuzz(tmp_path, mutations=mutations, seed=0)
    assert not tally.failures, tally
    assert tally.counts.total() == 8 * mutations, "the time was over"
