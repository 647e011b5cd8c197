"""Bits of a header, read and written one after the other, with the codes of AV1 (section 4.10)."""


class BitReader:
    """Reads the bits of bytes from the first on; ValueError where there are no more."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data)
        self._length = 8 * len(data)
        self.place = 0
        """Bits that were read."""

    def __call__(self, count: int = 1) -> int:
        """Return the next bits as a number, the highest first (`f(n)`)."""
        self.place += count
        if self.place > self._length:
            raise ValueError("the header ends too early")
        return (self._number >> (self._length - self.place)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """Return the next bit."""
        return bool(self(1))

    def signed(self, count: int) -> int:
        """Return a signed number of so many bits (`su(n)`)."""
        value = self(count)
        return value - (1 << count) if value >> (count - 1) else value

    def below(self, limit: int) -> int:
        """Return a number below `limit` (`ns(n)`)."""
        width = limit.bit_length()
        short = (1 << width) - limit
        value = self(width - 1)
        return value if value < short else 2 * value - short + self(1)

    def uvlc(self) -> int:
        """Return a number of variable length (`uvlc()`)."""
        zeros = 0
        while not self.flag():
            zeros += 1
        return 0 if zeros >= 32 else self(zeros) + (1 << zeros) - 1

    def near(self, low: int, high: int, reference: int) -> int:
        """Return a number from `low` to below `high`, told by how far it is from a reference.

        It is `decode_signed_subexp_with_ref`, section 5.9.26.
        """
        count, middle = high - low, reference - low
        distance = self._subexp(count)
        if 2 * middle <= count:
            return _recentred(middle, distance) + low
        return count - 1 - _recentred(count - 1 - middle, distance) + low

    def _subexp(self, count: int) -> int:
        step, start = 0, 0
        while True:
            bits = 3 + max(0, step - 1)
            if count <= start + (3 << bits):
                return self.below(count - start) + start
            if not self.flag():
                return self(bits) + start
            step += 1
            start += 1 << bits


class BitWriter:
    """Gathers bits, from given ones on."""

    def __init__(self, data: bytes = b"", count: int = 0) -> None:
        """Begin with the first `count` bits of `data`."""
        self._number = int.from_bytes(data) >> (8 * len(data) - count)
        self.length = count

    def __call__(self, value: int, count: int = 1) -> None:
        """Add a number of so many bits, the highest first."""
        assert 0 <= value < 1 << count, f"{value = } in {count} bits"
        self._number = self._number << count | value
        self.length += count

    def aligned(self) -> bytes:
        """Return all bits, and zeros up to a whole byte."""
        spare = -self.length % 8
        return (self._number << spare).to_bytes((self.length + spare) // 8)


def _recentred(middle: int, distance: int) -> int:
    if distance > 2 * middle:
        return distance
    return middle - (distance + 1) // 2 if distance % 2 else middle + distance // 2
