"""The table of savings: what it counts, and that the plain loop has the exact run's numbers."""

from argparse import Namespace

import pytest
import torch
from random_model import random_pipeline
from savings import Result, Savings, rows, table

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    folder = tmp_path_factory.mktemp("models") / "narrow"
    random_pipeline(narrow=True).save_pretrained(folder)
    options = Namespace(model=folder, size="8x8", frames=9, steps=1)
    savings = Savings(options, CPU, torch.float32)
    found = savings.measure(["plain", "fast"], repeats=1, warm=False)
    assert table(found, savings).row_count == 3
    return found


def test_rows_that_were_asked_for_come_with_the_exact_one(results):
    assert list(results) == ["plain", "exact", "fast"]


def test_the_plain_loop_has_the_numbers_of_the_exact_run(results):
    # sums in another order, through guidance 6
    assert 0 < results["plain"].max_difference < 1e-3


def test_the_fast_preset_is_another_run(results):
    assert results["fast"].mean_difference > 1e-3


def test_evaluations_are_frames_by_texts_by_steps(results):
    # 9 frames are two windows of 8
    assert results["plain"].evaluations == results["exact"].evaluations == pytest.approx(32 / 9)
    # one segment, one step at the noisy end, without guidance
    assert results["fast"].evaluations == 1


def test_texts_that_share_a_beginning_are_less_work(results):
    exact = results["exact"]
    assert 0.9 * exact.evaluations < exact.work < 0.99 * exact.evaluations


def test_rows_that_cannot_run_here_are_left_out():
    known = rows(CPU, torch.bfloat16)
    assert {"float16", "xformers", "bfloat16"}.isdisjoint(known)
    assert {"plain", "exact", "float32", "fast"} <= known.keys()
