"""Field structure picture by picture, for videos that mix film, video and progressive parts."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from av.video.frame import VideoFrame

from vsr.video.reading.deinterlace import (
    Deinterlacer,
    Fields,
    FilterChain,
    comb_strength,
    form_of,
    luma_of,
    may_have_fields,
)

LOOK_AROUND = 15
"""Pictures before and after one that are judged with it: three cycles of 3:2 pulldown."""

_COMBED, _COMBED_AND_FLAGGED, _COMBED_AS_USUAL = 0.9, 0.75, 0.7
"""Combs of interlaced pictures: without a flag, with one, and in a video known as interlaced.

Photographed progressive pictures comb by 0.35 to 0.6, interlaced ones by 0.8 to 1.6.
"""
_COMB_SPREAD = 0.15
_FLAG_WEIGHT = 0.6
_HABIT = 0.05
"""Evidence that a picture without motion is of the kind of the video's beginning."""
_CHANGE_COST = 3.0
"""Evidence that a change of the kind must have: some three clear pictures."""
_FEWEST_MOVING = 10
_REPEATED, _SELDOM_REPEATED = 0.12, 0.03
"""3:2 pulldown repeats one field of each parity in five pictures."""
_FEW_COMBED, _SOME_COMBED, _MOST_COMBED = 0.05, 0.2, 0.8
"""It weaves two pictures of five."""
_VERDICTS = ("multiple", "single")
_ORDERS = ("tff", "bff")
_ORDER_AROUND, _FEWEST_ORDERED, _CLEAR_MAJORITY = 5, 6, 0.8


@dataclass(frozen=True, slots=True)
class _Moment:
    """Evidence of one picture: idet's judgement, the flag, and the comb strength if it moves."""

    vote: str
    repeated: str
    flagged: bool
    comb: float | None

    @property
    def has_order(self) -> bool:
        return self.vote in _ORDERS


def deinterlaced_by_part(
    pictures: Iterable[tuple[VideoFrame, int]],
    usual: Fields,
    note_change: Callable[[Fields, int], None],
) -> Iterator[tuple[VideoFrame, int]]:
    """Every picture with its pts, made whole where it has fields, and untouched elsewhere.

    `usual` is the kind of the video's beginning. `note_change` is called with the kind and the
    first pts of every part of another kind than the one before.
    """
    last, current = None, usual
    deinterlacer: Deinterlacer | None = None
    for picture, pts, fields in _judged(pictures, usual):
        if fields != current or last is None:
            if fields.kind != current.kind:
                note_change(fields, pts)
            if deinterlacer is not None:
                yield from deinterlacer.push(picture, None)
                yield from deinterlacer.flush()
            current = fields
            deinterlacer = None if fields.kind == "progressive" else Deinterlacer(fields)
            if deinterlacer is not None and last is not None:
                yield from deinterlacer.push(last, None)
        if deinterlacer is None:
            yield picture, pts
        else:
            yield from deinterlacer.push(picture, pts)
        last = picture
    if deinterlacer is not None:
        yield from deinterlacer.flush()


def _judged(
    pictures: Iterable[tuple[VideoFrame, int]], usual: Fields
) -> Iterator[tuple[VideoFrame, int, Fields]]:
    judge = FieldJudge(usual)
    for picture, pts in pictures:
        yield from judge.push(picture, pts)
    yield from judge.flush()


class FieldJudge:
    """Judges each picture by itself and its neighbours; `usual` is the kind of the beginning.

    Flags and combs decide together. A change of kind is placed where the evidence changes. The
    judgement of a picture depends on LOOK_AROUND pictures to either side.
    """

    def __init__(self, usual: Fields) -> None:
        self._usual = usual
        self._filters: FilterChain | None = None
        self._form: tuple[int, int, str] | None = None
        self._unjudged: deque[tuple[VideoFrame, int]] = deque()
        self._coming: deque[tuple[VideoFrame, int]] = deque()
        self._around: deque[_Moment] = deque()
        self._before: VideoFrame | None = None
        self._place = 0
        self._has_flags = False
        self._top_first = usual.top_first

    def push(self, picture: VideoFrame, pts: int) -> Iterator[tuple[VideoFrame, int, Fields]]:
        """Add a picture, and give those that are judged by now, with their pts and kind."""
        if self._form != form_of(picture):
            yield from self.flush()
            self._form = form_of(picture)
            if may_have_fields(picture):
                self._filters = FilterChain(picture, [("idet", None)])
        if self._filters is None:
            yield picture, pts, Fields("progressive")
            return
        self._unjudged.append((picture, pts))
        self._note(self._filters.through(picture))
        while len(self._around) - self._place > LOOK_AROUND:
            yield self._judged()

    def flush(self) -> Iterator[tuple[VideoFrame, int, Fields]]:
        """Give the pictures that are left; the next one begins anew."""
        if self._filters is not None:
            self._note(self._filters.through(None))
        while self._coming:
            yield self._judged()
        self._filters, self._form, self._before = None, None, None
        self._around.clear()
        self._place = 0

    def _comb(self, picture: VideoFrame, vote: str) -> float | None:
        """The comb strength, None if nothing moves; zero where idet is sure, to save time."""
        before, self._before = self._before, picture
        if vote == "progressive":
            return 0.0
        found = [] if before is None else comb_strength(luma_of(picture), luma_of(before))
        return found[0] if found else None

    def _note(self, filtered: Iterator[VideoFrame]) -> None:
        for found in filtered:
            picture, pts = self._unjudged.popleft()
            vote = _vote(found)
            repeated = found.metadata["lavfi.idet.repeated.current_frame"]
            comb = self._comb(picture, vote)
            moment = _Moment(vote, repeated, picture.interlaced_frame, comb)
            self._has_flags |= moment.flagged
            self._coming.append((picture, pts))
            self._around.append(moment)

    def _judged(self) -> tuple[VideoFrame, int, Fields]:
        fields = self._fields(list(self._around)[: self._place + LOOK_AROUND + 1])
        if self._place == LOOK_AROUND:
            self._around.popleft()
        else:
            self._place += 1
        return *self._coming.popleft(), fields

    def _fields(self, around: Sequence[_Moment]) -> Fields:
        """The kind of the picture at `self._place`."""
        evidence = [self._evidence(moment, around) for moment in around]
        telecined = self._is_telecined(around, evidence)
        if not telecined and not _is_interlaced(evidence, self._place):
            return Fields("progressive")
        near = slice(max(0, self._place - _ORDER_AROUND), self._place + _ORDER_AROUND + 1)
        orders = Counter(
            moment.vote
            for moment, weight in zip(around[near], evidence[near], strict=True)
            if moment.has_order and weight > 0
        )
        if orders.total() >= _FEWEST_ORDERED:
            order, count = orders.most_common(1)[0]
            if count >= _CLEAR_MAJORITY * orders.total():
                self._top_first = order == "tff"
        return Fields("telecined" if telecined else "interlaced", self._top_first)

    def _evidence(self, moment: _Moment, around: Sequence[_Moment]) -> float:
        """From -1 (progressive) to 1 (interlaced); more where flags change near the picture."""
        weight = 0.0
        if len({other.flagged for other in around}) == 2:
            weight = _FLAG_WEIGHT if moment.flagged else -_FLAG_WEIGHT
        if moment.comb is None:
            return weight + (-_HABIT if self._usual.kind == "progressive" else _HABIT)
        combed = (moment.comb - self._threshold(moment)) / _COMB_SPREAD
        return weight + max(-1.0, min(combed, 1.0 if moment.has_order else 0.0))

    def _threshold(self, moment: _Moment) -> float:
        if self._usual.kind != "progressive" and (moment.flagged or not self._has_flags):
            return _COMBED_AS_USUAL
        return _COMBED_AND_FLAGGED if moment.flagged else _COMBED

    def _is_telecined(self, around: Sequence[_Moment], evidence: Sequence[float]) -> bool:
        was = self._usual.kind == "telecined"
        moving = [w for m, w in zip(around, evidence, strict=True) if m.comb is not None]
        if len(moving) < _FEWEST_MOVING:
            return was
        repeats = Counter(moment.repeated for moment in around)
        repeated = min(repeats["top"], repeats["bottom"]) / len(around)
        combed = sum(weight > 0 for weight in moving) / len(moving)
        if was:
            interlaced = combed > _MOST_COMBED and repeated < _SELDOM_REPEATED
            return combed >= _FEW_COMBED and not interlaced
        return repeated > _REPEATED and combed > _SOME_COMBED


def _vote(judged: VideoFrame) -> str:
    """The verdict of idet: of several pictures, which lags behind, or of one if that has order."""
    several, one = (judged.metadata[f"lavfi.idet.{by}.current_frame"] for by in _VERDICTS)
    return one if several not in _ORDERS and one in _ORDERS else several


def _is_interlaced(evidence: Sequence[float], place: int) -> bool:
    """The likelier kind of one picture (Viterbi's algorithm): changes of the kind have a cost."""
    before = _best_sums(evidence[: place + 1])
    after = _best_sums(evidence[place:][::-1])
    return before[1] + after[1] - evidence[place] > before[0] + after[0] + evidence[place]


def _best_sums(evidence: Sequence[float]) -> tuple[float, float]:
    """The largest sums of evidence for kinds that end progressive, and that end interlaced."""
    sums = (0.0, 0.0)
    for weight in evidence:
        stay, change = sums, (sums[1] - _CHANGE_COST, sums[0] - _CHANGE_COST)
        sums = (max(stay[0], change[0]) - weight, max(stay[1], change[1]) + weight)
    return sums
