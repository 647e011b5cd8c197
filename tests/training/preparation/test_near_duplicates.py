from collections.abc import Sequence

import numpy as np
import pytest

from vsr.training.preparation import near_duplicates as module
from vsr.training.preparation.near_duplicates import near_duplicates


def plain_loop(hashes: Sequence[str], max_bits: int) -> list[tuple[int, int]]:
    """Every hash against all that are kept before it."""
    kept: list[int] = []
    found: list[tuple[int, int]] = []
    for place, text in enumerate(hashes):
        near = [((int(text, 16) ^ int(hashes[k], 16)).bit_count(), k) for k in kept]
        if near and min(near)[0] <= max_bits:
            found.append((place, min(near)[1]))
        else:
            kept.append(place)
    return found


def clustered_hashes(count: int, *, clusters: int, flips: int, seed: int) -> list[str]:
    """Hashes at up to `flips` bits of few centres: many near each other, and many equal."""
    rng = np.random.default_rng(seed)
    centres = [int.from_bytes(rng.bytes(8), "big") for _ in range(clusters)]
    hashes: list[str] = []
    for _ in range(count):
        number = centres[int(rng.integers(clusters))]
        for bit in rng.integers(64, size=int(rng.integers(flips + 1))):
            number ^= 1 << int(bit)
        hashes.append(f"{number:016x}")
    return hashes


def test_near_duplicates_point_at_the_first_that_is_kept() -> None:
    hashes = ["0000000000000000", "ffff000000000000", "0000000000000003", "ffff000000000001"]
    assert dict(near_duplicates(hashes, max_bits=2)) == {2: 0, 3: 1}
    assert dict(near_duplicates(hashes, max_bits=0)) == {}
    assert dict(near_duplicates(hashes, max_bits=-1)) == {}
    assert dict(near_duplicates(hashes[:1] * 3, max_bits=-1)) == {}
    assert dict(near_duplicates([], max_bits=4)) == {}


@pytest.mark.parametrize("max_bits", [0, 1, 4, 7, 32])
@pytest.mark.parametrize("piece", [40, 1 << 18])
def test_buckets_find_what_a_plain_loop_finds(
    max_bits: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECORDS", piece)
    for seed in range(3):
        hashes = clustered_hashes(250, clusters=30, flips=4, seed=seed)
        assert list(near_duplicates(hashes, max_bits=max_bits)) == plain_loop(hashes, max_bits)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_larger_sets_choose_more_blocks_and_find_the_same(
    blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = clustered_hashes(250, clusters=20, flips=3, seed=5)
    tables = module._tables
    places = {1: 1 << 12, 2: 1 << 20, 3: 1 << 24}[blocks]
    monkeypatch.setattr(module, "_tables", lambda _, bits: tables(places, bits))
    assert len(tables(places, 4)) == {1: 5, 2: 15, 3: 35}[blocks]
    assert list(near_duplicates(hashes, max_bits=4)) == plain_loop(hashes, 4)
