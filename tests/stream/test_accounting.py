"""The books balance, whoever writes into them and in whatever order."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kit.stream.accounting import Accounting, Cause, Totals


def balanced(totals: Totals) -> bool:
    return totals.captured == totals.emitted + sum(totals.dropped.values()) + totals.pending


class Books(RuleBasedStateMachine):
    """Against a plain model: what was captured is in one place at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.accounting = Accounting()
        self.out: list[int] = []
        self.emitted = 0
        self.dropped = dict.fromkeys(Cause, 0)

    @rule()
    def capture(self) -> None:
        number = self.accounting.capture()
        assert number == len(self.out) + self.emitted + sum(self.dropped.values())
        self.out.append(number)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if not self.out:
            return
        number = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        cause = data.draw(st.sampled_from([None, *Cause]))
        if cause is None:
            self.accounting.emit(number)
            self.emitted += 1
        else:
            self.accounting.drop(number, cause)
            self.dropped[cause] += 1
        with pytest.raises(ValueError, match="accounted for already"):
            self.accounting.emit(number)

    @rule(cause=st.sampled_from(Cause))
    def end(self, cause: Cause) -> None:
        assert self.accounting.drop_pending(cause) == len(self.out)
        self.dropped[cause] += len(self.out)
        self.out.clear()

    @invariant()
    def agrees(self) -> None:
        totals = self.accounting.totals()
        assert (totals.emitted, dict(totals.dropped), totals.pending) == (self.emitted, self.dropped, len(self.out))
        assert balanced(totals)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=30, stateful_step_count=30)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_many_threads_at_once_lose_and_invent_nothing(seed: int) -> None:
    accounting = Accounting()
    observed: list[Totals] = []

    def work(source: random.Random) -> None:
        for _ in range(60):
            number = accounting.capture()
            if source.random() < 0.5:
                accounting.emit(number)
            else:
                accounting.drop(number, source.choice(list(Cause)))
            observed.append(accounting.totals())

    threads = [threading.Thread(target=work, args=(random.Random(seed + n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(balanced(totals) for totals in observed)
    assert (accounting.totals().captured, accounting.totals().pending) == (240, 0)


def test_the_totals_read_as_a_sum() -> None:
    accounting = Accounting()
    numbers = [accounting.capture() for _ in range(5)]
    accounting.emit(numbers[0])
    accounting.drop(numbers[1], Cause.SUPERSEDED)
    accounting.drop(numbers[2], Cause.SUPERSEDED)
    accounting.drop(numbers[3], Cause.STALE)
    expected = "5 captured = 1 emitted + 3 dropped (2 superseded, 1 stale) + 1 pending"
    assert str(accounting.totals()) == expected
    with pytest.raises(ValueError, match="frame 9 was not captured"):
        accounting.drop(9, Cause.STALE)
    assert str(accounting.totals()) == expected


def test_totals_do_not_change_after_they_were_taken() -> None:
    accounting = Accounting()
    before = accounting.totals()
    accounting.drop(accounting.capture(), Cause.SHUTDOWN)
    assert before.dropped[Cause.SHUTDOWN] == 0
