from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from outcomes import frame

from kit.stream.turns import Turns

CAMERAS = ("a", "b", "c")
PER_CAMERA, OVERALL = 2, 4


class Laws(RuleBasedStateMachine):
    """Any order of submitting, sending, answering and ageing keeps what ``Turns`` promises."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns(per_camera=PER_CAMERA, overall=OVERALL)
        self.waiting: dict[str, int] = {}
        self.under_way: Counter[str] = Counter()
        self.number = 0
        self.passed_over: Counter[str] = Counter()

    @rule(camera=st.sampled_from(CAMERAS))
    def put(self, camera: str) -> None:
        older = self.turns.put(frame(camera, self.number))
        assert (older.number if older else None) == self.waiting.get(camera)
        self.waiting[camera] = self.number
        self.number += 1

    @rule(camera=st.sampled_from(CAMERAS))
    def put_back(self, camera: str) -> None:
        assert self.turns.put_back(frame(camera, self.number)) == (camera not in self.waiting)
        self.waiting.setdefault(camera, self.number)
        self.number += 1

    @rule()
    def take(self) -> None:
        free = {c for c in self.waiting if self.under_way[c] < PER_CAMERA and self.under_way.total() < OVERALL}
        taken = self.turns.take()
        assert (taken is None) == (not free)
        if taken is None:
            return
        assert taken.camera in free
        assert self.waiting.pop(taken.camera) == taken.number
        self.under_way[taken.camera] += 1
        for other in free - {taken.camera}:
            self.passed_over[other] += 1
        self.passed_over[taken.camera] = 0
        # Fair: whoever could go each time goes before any other goes twice.
        assert all(self.passed_over[c] < len(CAMERAS) for c in free)

    @precondition(lambda self: self.under_way.total())
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        camera = data.draw(st.sampled_from(sorted(c for c in CAMERAS if self.under_way[c])))
        self.turns.done(camera)
        self.under_way[camera] -= 1

    @rule()
    def nothing_is_too_old(self) -> None:
        assert self.turns.captured_before(0) == []

    @rule()
    def everything_is_too_old(self) -> None:
        limit = (self.turns.oldest_ns() or 0) + 10**12
        assert {f.camera: f.number for f in self.turns.captured_before(limit)} == self.waiting
        self.waiting.clear()
        assert self.turns.oldest_ns() is None

    @invariant()
    def counts_agree(self) -> None:
        assert self.turns.waiting == len(self.waiting)
        assert self.turns.under_way == self.under_way.total() <= OVERALL
        for camera in CAMERAS:
            assert self.turns.waits(camera) == (camera in self.waiting)
            room = self.under_way[camera] < PER_CAMERA and self.under_way.total() < OVERALL
            assert self.turns.full(camera) == (not room)


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
