"""Tables of film grain: each is read by the grammar of the format, and has what was put in."""

from fractions import Fraction

import pytest

from vsr.video.writing.film_grain import FilmGrain, GrainSpan, grain_table

GRAIN = FilmGrain(
    points=(((16, 20), (128, 60), (235, 30)), ((16, 5), (235, 9)), ((0, 7),)),
    coefficients=(tuple(range(-12, 12)), tuple(range(25)), (0,) * 25),
    ar_shift=7,
    grain_scale_shift=1,
    scaling_shift=10,
)


def parsed(table: str) -> list[dict[str, list[int]]]:
    """The entries of a table by the names of their rows, as libaom reads them: token by token."""
    magic, *tokens = table.split()
    assert magic == "filmgrn1"
    entries: list[dict[str, list[int]]] = []
    place = 0

    def take(name: str, count: int) -> list[int]:
        nonlocal place
        assert tokens[place] == name
        values = [int(token) for token in tokens[place + 1 : place + 1 + count]]
        assert len(values) == count
        place += 1 + count
        return values

    while place < len(tokens):
        entry = {"E": take("E", 5), "p": take("p", 12)}
        for name in ("sY", "sCb", "sCr"):
            count = int(tokens[place + 1])
            entry[name] = take(name, 1 + 2 * count)[1:]
        past = 2 * entry["p"][0] * (entry["p"][0] + 1)
        for name, count in (("cY", past), ("cCb", past + 1), ("cCr", past + 1)):
            entry[name] = take(name, count)
        entries.append(entry)
    return entries


def test_a_table_has_the_parameters_of_its_grain() -> None:
    (entry,) = parsed(grain_table([GrainSpan(Fraction(0), GRAIN, seed=7)]))
    assert entry["E"][2:] == [1, 7, 1]
    assert entry["p"][:4] == [3, 7, 1, 10]
    assert entry["sY"] == [16, 20, 128, 60, 235, 30]
    assert entry["sCr"] == [0, 7]
    assert tuple(entry["cY"]) == GRAIN.coefficients[0]
    assert tuple(entry["cCb"]) == GRAIN.coefficients[1]


def test_spans_follow_each_other_in_ticks_and_the_last_has_no_end() -> None:
    spans = [GrainSpan(Fraction(second), GRAIN) for second in (0, 2, 5)]
    times = [entry["E"][:2] for entry in parsed(grain_table(spans))]
    assert times == [[0, 20_000_000], [20_000_000, 50_000_000], [50_000_000, 2**63 - 1]]


def test_a_span_without_grain_has_no_entry() -> None:
    spans = [GrainSpan(Fraction(0), GRAIN), GrainSpan(Fraction(1), None)]
    (entry,) = parsed(grain_table(spans))
    assert entry["E"][1] == 10_000_000


@pytest.mark.parametrize(
    "points",
    [((20, 1), (10, 2)), ((10, 1), (10, 2)), ((10, 256),), tuple((i, 1) for i in range(15))],
)
def test_points_that_the_format_does_not_hold_are_refused(points) -> None:
    with pytest.raises(AssertionError):
        FilmGrain((points, (), ()), GRAIN.coefficients, 7, 0, 8)
