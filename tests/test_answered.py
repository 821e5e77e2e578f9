"""What one thread found out, another waits for; neither waits for ever."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest

from kit.answered import Answered

ANSWERS = {1: {"y": np.zeros(1)}}


@pytest.fixture
def side() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1)


def test_who_waits_gets_what_is_told(side: ThreadPoolExecutor) -> None:
    answered = Answered("digest")
    waiting = side.submit(answered.wait)
    assert not waiting.done()
    answered.tell(ANSWERS)
    answered.tell({})  # a later comparison, of another size of picture
    answered.close()
    assert waiting.result(60) is ANSWERS


def test_a_comparison_that_had_nothing_to_run_tells_nothing(side: ThreadPoolExecutor) -> None:
    answered = Answered("digest")
    waiting = side.submit(answered.wait)
    answered.close()
    assert waiting.result(60) == {}


def test_a_comparison_that_failed_ends_the_waiting(side: ThreadPoolExecutor) -> None:
    answered = Answered("digest")
    waiting = side.submit(answered.wait)
    answered.give_up()
    with pytest.raises(CancelledError):
        waiting.result(60)
    answered.tell(ANSWERS)
