"""The tiles of a frame of AV1, read over (section 5.9.15)."""

from vsr.video.writing.bits import BitReader

_MOST_TILES = 64
_WIDEST, _LARGEST = 4096, 4096 * 2304


def read_tile_info(read: BitReader, width: int, height: int, *, is_large: bool) -> None:
    """Read over the tiles of a frame of this size; `is_large`: of blocks of 128x128."""
    shift = 5 if is_large else 4
    columns, rows = (
        (2 * ((side + 7) >> 3) + (1 << shift) - 1) >> shift for side in (width, height)
    )
    pixels = shift + 2
    widest = _WIDEST >> pixels
    least = max(_log2(widest, columns), _log2(_LARGEST >> (2 * pixels), rows * columns))
    if read.flag():
        column_bits = _grown(read, _log2(widest, columns), _log2(1, min(columns, _MOST_TILES)))
        row_bits = _grown(read, max(least - column_bits, 0), _log2(1, min(rows, _MOST_TILES)))
    else:
        sizes = _read_sizes(read, columns, widest)
        area = rows * columns >> (least + 1) if least else rows * columns
        tallest = max(area // max(sizes), 1)
        column_bits, row_bits = (
            _log2(1, len(s)) for s in (sizes, _read_sizes(read, rows, tallest))
        )
    if column_bits or row_bits:
        read(column_bits + row_bits + 2)


def _log2(block: int, target: int) -> int:
    """Return the smallest k so that `block << k` is at least `target`."""
    k = 0
    while block << k < target:
        k += 1
    return k


def _grown(read: BitReader, least: int, most: int) -> int:
    while least < most and read.flag():
        least += 1
    return least


def _read_sizes(read: BitReader, count: int, most: int) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes.append(read.below(min(count - sum(sizes), most)) + 1)
    return sizes
