"""Damage to the bytes of a file, the same for the same seed."""

import random

_ODD = (b"\x00", b"\xff", b"\x7f", b"\x80")
_HEADER = 600
"""Half of all damage is done to so many of the first bytes, which say the most."""


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one to four kinds of damage."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        chance.choice(_KINDS)(data, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    last = max(0, len(data) - 1)
    return chance.randint(0, min(last, _HEADER) if chance.random() < 0.5 else last)


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 32)):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    place, length = _place(data, chance), chance.choice((1, 2, 4, 8, 64))
    length = min(length, len(data) - place)
    data[place : place + length] = chance.choice((*_ODD, chance.randbytes(1))) * length


def _randomize(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    length = min(chance.randint(1, 200), len(data) - place)
    data[place : place + length] = chance.randbytes(length)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.randint(1, 300)]


def _insert(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place:place] = chance.randbytes(chance.randint(1, 100))


def _repeat(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place:place] = data[place : place + chance.randint(1, 500)] * chance.randint(1, 3)


def _swap(data: bytearray, chance: random.Random) -> None:
    first, second = _place(data, chance), _place(data, chance)
    length = chance.randint(1, 100)
    a, b = data[first : first + length], data[second : second + length]
    data[first : first + len(b)] = b
    data[second : second + len(a)] = a


_KINDS = (_flip, _flip, _overwrite, _overwrite, _randomize, _cut, _remove, _insert, _repeat, _swap)
