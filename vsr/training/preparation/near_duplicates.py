"""Near-duplicates among any number of perceptual hashes, in time linear in their number.

Two hashes of 64 bits that differ in at most b bits agree in m of b + m blocks of these bits, since
b bits lie in b blocks at most (the pigeonhole principle). So for each choice of m blocks the hashes
are bucketed by the bits of these blocks, and only hashes of one bucket are compared: no pair is
missed. m grows with the set, so that few hashes share a bucket by chance. Records lie in files, a
bucket at a time in memory.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vsr.training.data.manifest_file import batched

_HASH_BITS = 64
_MOST_TABLES = 64
_RECORDS = 1 << 18
"""Records of a bucket, on average, and of other pieces that memory holds at once."""
_JOINED = 1 << 12
"""Repeated hashes that are joined with the neighbours of their first at once."""
_SHUFFLE = np.uint64(0x9E3779B97F4A7C15)
"""Fibonacci hashing (Knuth, volume 3, section 6.4): spreads keys evenly over buckets."""
_HASHES = np.dtype([("place", "<u8"), ("hash", "<u8")])
_PAIRS = np.dtype([("place", "<u8"), ("other", "<u8"), ("bits", "<u1")])

Records = np.ndarray[Any, np.dtype[Any]]


def near_duplicates(hashes: Iterable[str], *, max_bits: int) -> Iterator[tuple[int, int]]:
    """Near-duplicates: hashes within `max_bits` bits of an earlier hash that is not one itself.

    Gives, in order, the place of each and that of the closest such earlier hash (the first of
    several). Hashes are 16 hexadecimal digits; -1 bits give none. Needs about 50 bytes a hash of
    temporary files, and 17 for each pair of near hashes.
    """
    if max_bits < 0:
        return
    with TemporaryDirectory(prefix="vsr-hashes-") as name:
        folder = Path(name)
        places = _number_hashes(hashes, folder / "hashes")
        pieces = max(1, -(-places // _RECORDS))
        repeats = _Buckets(folder / "repeats", _PAIRS, pieces)
        distinct = folder / "distinct"
        _split_repeats(folder / "hashes", distinct, repeats)
        pairs = _Buckets(folder / "pairs", _PAIRS, pieces)
        for table in _tables(places, max_bits):
            buckets = _Buckets(folder / "table", _HASHES, pieces)
            _compare(distinct, table, max_bits=max_bits, buckets=buckets, pairs=pairs)
        candidates = _Buckets(folder / "candidates", _PAIRS, pieces)
        for piece in range(pieces):
            _join(pairs.take(piece), repeats.take(piece), candidates)
        is_kept = np.memmap(folder / "kept", np.bool_, "w+", shape=(max(1, places),))
        is_kept[:] = True
        for piece in range(pieces):
            yield from _choose(candidates.take(piece), is_kept)


class _Buckets:
    """Records in a file for each bucket."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], count: int) -> None:
        self.count, self._folder, self._dtype = count, folder, dtype
        folder.mkdir(exist_ok=True)

    def add(self, records: Records, buckets: Records) -> None:
        """Append each record to the file of its bucket."""
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets.astype(np.int64), minlength=self.count))
        for bucket, some in enumerate(np.split(records[order], ends[:-1])):
            if len(some):
                with (self._folder / str(bucket)).open("ab") as file:
                    file.write(some.tobytes())

    def add_by_place(self, records: Records) -> None:
        """Append each record to the file of the piece of the set in which its place lies."""
        self.add(records, records["place"] // _RECORDS)

    def take(self, bucket: int) -> Records:
        """The records of a bucket, whose file is removed."""
        path = self._folder / str(bucket)
        if not path.exists():
            return np.empty(0, self._dtype)
        records = np.fromfile(path, self._dtype)
        path.unlink()
        return records


@dataclass(frozen=True, slots=True)
class _Table:
    """A choice of blocks of bits."""

    chosen: np.uint64
    """Mask of the bits of the chosen blocks."""
    passed_over: tuple[np.uint64, ...]
    """Masks of the other blocks before the last chosen one.

    A pair belongs to the table of the first blocks in which it agrees: none of these.
    """


def _tables(places: int, max_bits: int) -> list[_Table]:
    """The choices of blocks, with as many bits as there are hashes to tell apart if possible."""
    chosen = 1
    while (
        _HASH_BITS * chosen // (max_bits + chosen) < math.log2(max(places, 2))
        and math.comb(max_bits + chosen + 1, chosen + 1) <= _MOST_TABLES
    ):
        chosen += 1
    masks = [
        np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64))
        for bits in np.array_split(np.arange(_HASH_BITS), max_bits + chosen)
    ]
    return [_table(masks, blocks) for blocks in combinations(range(len(masks)), chosen)]


def _table(masks: Sequence[np.uint64], blocks: Sequence[int]) -> _Table:
    passed_over = tuple(masks[n] for n in range(blocks[-1]) if n not in blocks)
    return _Table(np.bitwise_or.reduce([masks[n] for n in blocks]), passed_over)


def _number_hashes(hashes: Iterable[str], path: Path) -> int:
    """Write the hashes with their places; returns their number."""
    places = 0
    with path.open("wb") as file:
        for some in batched(hashes, _RECORDS):
            records = np.empty(len(some), _HASHES)
            records["place"] = np.arange(places, places + len(some))
            records["hash"] = [int(text, 16) for text in some]
            file.write(records.tobytes())
            places += len(some)
    return places


def _split_repeats(hashes: Path, distinct: Path, repeats: _Buckets) -> None:
    """Write the first of equal hashes to `distinct`; pair it with the later ones in `repeats`."""
    buckets = _Buckets(hashes.with_name("equal"), _HASHES, repeats.count)
    for records in _pieces(hashes):
        buckets.add(records, _bucket(records["hash"], buckets.count))
    with distinct.open("wb") as file:
        for bucket in range(buckets.count):
            records = buckets.take(bucket)
            _, first, group = np.unique(records["hash"], return_index=True, return_inverse=True)
            file.write(records[first].tobytes())
            pairs = _pairs(records["place"][first[group]], records["place"], 0)
            repeats.add_by_place(pairs[pairs["other"] != pairs["place"]])


def _compare(
    distinct: Path, table: _Table, *, max_bits: int, buckets: _Buckets, pairs: _Buckets
) -> None:
    """Write the near pairs of the table to `pairs`, both ways round."""
    for records in _pieces(distinct):
        buckets.add(records, _bucket(records["hash"] & table.chosen, buckets.count))
    for bucket in range(buckets.count):
        records = buckets.take(bucket)
        records = records[np.argsort(records["hash"] & table.chosen, kind="stable")]
        for first, second in _pairs_of_equal(records["hash"] & table.chosen):
            differing = records["hash"][first] ^ records["hash"][second]
            bits = _ones(differing)
            is_near = bits <= max_bits
            for mask in table.passed_over:
                is_near &= differing & mask != 0
            a, b = records["place"][first[is_near]], records["place"][second[is_near]]
            pairs.add_by_place(_pairs(a, b, bits[is_near]))
            pairs.add_by_place(_pairs(b, a, bits[is_near]))


def _pairs_of_equal(keys: Records) -> Iterator[tuple[Records, Records]]:
    """All pairs of numbers of equal keys, which are sorted, by the distance of the numbers."""
    first = np.arange(len(keys) - 1)
    for distance in range(1, len(keys)):
        first = first[first + distance < len(keys)]
        first = first[keys[first] == keys[first + distance]]
        if not len(first):
            return
        yield first, first + distance


def _join(pairs: Records, repeats: Records, candidates: _Buckets) -> None:
    """Write the earlier hashes that are near each hash of a piece, and near its repeats."""
    pairs = np.sort(pairs, order=["place", "bits", "other"])
    candidates.add_by_place(pairs[pairs["other"] < pairs["place"]])
    candidates.add_by_place(_pairs(repeats["other"], repeats["place"], 0))
    for start in range(0, len(repeats), _JOINED):
        some = repeats[start : start + _JOINED]
        low = np.searchsorted(pairs["place"], some["place"], "left")
        counts = np.searchsorted(pairs["place"], some["place"], "right") - low
        # Numbers of the pairs: counted up from `low` for each repeat.
        numbers = np.arange(counts.sum()) + np.repeat(low - np.cumsum(counts) + counts, counts)
        near = _pairs(np.repeat(some["other"], counts), pairs["other"][numbers], 0)
        near["bits"] = pairs["bits"][numbers]
        candidates.add_by_place(near[near["other"] < near["place"]])


def _choose(candidates: Records, is_kept: Records) -> Iterator[tuple[int, int]]:
    """The duplicates of a piece with their originals; they are no longer kept."""
    candidates = np.sort(candidates, order=["place", "bits", "other"])
    last = -1
    for place, other, _ in candidates.tolist():
        if place != last and is_kept[other]:
            last, is_kept[place] = place, False
            yield place, other


def _bucket(keys: Records, count: int) -> Records:
    return ((keys * _SHUFFLE) >> np.uint64(33)) % np.uint64(count)


def _pairs(places: Records, others: Records, bits: Records | int) -> Records:
    pairs = np.empty(len(places), _PAIRS)
    pairs["place"], pairs["other"], pairs["bits"] = places, others, bits
    return pairs


def _ones(numbers: Records) -> Records:
    octets = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), 8)
    return np.unpackbits(octets, axis=1).sum(1, dtype=np.uint8)


def _pieces(path: Path) -> Iterator[Records]:
    size = path.stat().st_size // _HASHES.itemsize
    for start in range(0, size, _RECORDS):
        yield np.fromfile(path, _HASHES, _RECORDS, offset=start * _HASHES.itemsize)
