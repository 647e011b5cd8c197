"""What the facts of a journal prove, whatever is missing of the files that they name."""

from hypothesis import given
from hypothesis import strategies as st

from vsr.jobs.resume.journal import ClipFact, EndFact, Fact, PartFact, StoredFile
from vsr.jobs.resume.shot_store import ShotProgress

FILE = StoredFile("name", 1, "hash")


def facts(lengths: list[int], part_clips: int) -> list[Fact]:
    """Those of a run over clips of these lengths, with a part at every `part_clips`."""
    written: list[Fact] = []
    first = begin = 0
    for number, length in enumerate(lengths, 1):
        written.append(ClipFact(first, length, FILE, FILE))
        first += length
        if number % part_clips == 0 or number == len(lengths):
            written.append(PartFact(begin, first - begin, 0, FILE))
            begin = first
    return [*written, EndFact(first)]


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@given(LENGTHS, st.integers(1, 4), st.data())
def test_every_beginning_of_a_journal_proves_all_clips_in_it(
    lengths: list[int], part_clips: int, data: st.DataObject
) -> None:
    written = facts(lengths, part_clips)
    known = written[: data.draw(st.integers(0, len(written)))]
    progress = ShotProgress.of(known)
    clips = [fact for fact in known if isinstance(fact, ClipFact)]
    assert progress.frames == sum(clip.frames for clip in clips)
    assert progress.ended == (known == written)


@given(LENGTHS, st.integers(1, 4), st.data())
def test_what_is_proved_has_no_gap_whatever_is_missing(
    lengths: list[int], part_clips: int, data: st.DataObject
) -> None:
    written = facts(lengths, part_clips)
    known = data.draw(st.lists(st.sampled_from(written), unique=True))
    progress = ShotProgress.of(known)
    place = 0
    for span in (*progress.parts, *progress.clips):
        assert span.first == place
        place += span.frames
    assert place == progress.frames <= sum(lengths)
    assert progress.ended or progress.frames == 0 or progress.state is not None
    if progress.ended:
        assert progress.frames == sum(lengths)


@given(LENGTHS)
def test_the_order_of_facts_and_facts_that_come_twice_do_not_matter(lengths: list[int]) -> None:
    written = facts(lengths, 2)[:-1]
    assert ShotProgress.of([*reversed(written), *written]) == ShotProgress.of(written)
