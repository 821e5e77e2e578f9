"""One place: the newest is there, and each item comes out once, by one door or the other."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from kit.stream.slot import Slot


@given(st.lists(st.one_of(st.integers(), st.just("take"), st.just("close"))))
def test_behaves_like_one_place(steps: list[int | str]) -> None:
    slot: Slot[int] = Slot()
    there: int | None = None
    closed = False
    for step in steps:
        if isinstance(step, int):
            assert slot.put(step) == (step if closed else there)
            there = None if closed else step
        elif step == "take":
            assert slot.take() == there
            there = None
        else:
            assert slot.close() == there
            there, closed = None, True
        assert slot.empty == (there is None)


def test_each_item_comes_out_once_and_taken_ones_in_order() -> None:
    slot: Slot[int] = Slot()
    superseded: list[int] = []
    taken: list[int] = []

    def produce() -> None:
        superseded.extend(old for old in map(slot.put, range(20_000)) if old is not None)
        if (left := slot.close()) is not None:
            superseded.append(left)

    thread = threading.Thread(target=produce)
    thread.start()
    while thread.is_alive():
        if (item := slot.take(0.01)) is not None:
            taken.append(item)
    thread.join()
    assert taken == sorted(taken)
    assert sorted(taken + superseded) == list(range(20_000))


def test_waiting_ends_with_an_item_a_close_or_the_time() -> None:
    slot: Slot[str] = Slot()
    begun = time.monotonic()
    assert slot.take(0.05) is None
    assert time.monotonic() - begun > 0.04
    threading.Timer(0.05, slot.put, ["late"]).start()
    assert slot.take(5) == "late"
    threading.Timer(0.05, slot.close).start()
    begun = time.monotonic()
    assert slot.take(30) is None
    assert time.monotonic() - begun < 20


def test_a_producer_can_wait_for_room() -> None:
    slot: Slot[int] = Slot()
    assert slot.wait_empty(0)
    slot.put(1)
    assert not slot.wait_empty(0.02)
    threading.Timer(0.05, slot.take).start()
    assert slot.wait_empty(5)
    slot.put(2)
    threading.Timer(0.05, slot.close).start()
    assert slot.wait_empty(5)
