"""FID's distance against its formula, and on sets whose distance is known."""

import numpy as np
import pytest

from vsr.evaluation.frechet import frame_features, frechet_distance


def cloud(seed: int, rows: int, columns: int = 6) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, columns)) @ random.normal(size=(columns, columns))


def by_eigenvalues(first: np.ndarray, second: np.ndarray) -> float:
    s1, s2 = (np.cov(one, rowvar=False) for one in (first, second))
    roots = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real.sum()
    return float(np.square(first.mean(0) - second.mean(0)).sum() + np.trace(s1 + s2) - 2 * roots)


@pytest.mark.parametrize(("rows", "others"), [(40, 30), (4, 50), (5, 3)])
def test_the_distance_is_that_of_the_formula(rows: int, others: int) -> None:
    """Also for fewer rows than columns."""
    first, second = cloud(0, rows), cloud(1, others)
    assert frechet_distance(first, second) == pytest.approx(by_eigenvalues(first, second), rel=1e-6)


def test_a_set_has_no_distance_to_itself() -> None:
    assert frechet_distance(cloud(0, 20), cloud(0, 20)) == pytest.approx(0, abs=1e-9)


def test_a_shift_counts_its_square() -> None:
    first = cloud(0, 20)
    assert frechet_distance(first, first + 2.0) == pytest.approx(6 * 4)


def test_features_are_taken_of_every_frame() -> None:
    frames = [np.full((8, 8, 3), level, np.uint8) for level in (1, 2, 3)]
    rows = frame_features(frames, lambda picture: np.asarray(picture[0, 0], np.float32))
    assert rows.tolist() == [[1] * 3, [2] * 3, [3] * 3]
