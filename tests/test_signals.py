"""A clean-up is not broken off by a second Ctrl-C."""

from __future__ import annotations

import signal
import threading

import pytest

from kit.signals import deferred


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    steps: list[str] = []

    def clean_up() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("done")
        steps.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        clean_up()
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_left_alone() -> None:
    ran: list[bool] = []

    def work() -> None:
        with deferred():
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [True]
