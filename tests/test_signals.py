"""A clean-up is not broken off by a second Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from kit.signals import deferred, libraries_whole


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


INTERRUPTED = """
import contextlib, os, signal, sys
from kit.signals import libraries_whole

class Interrupts:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts)
try:
    with {block}:
        import onnxruntime
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("block", "heard"), [("libraries_whole()", "KeyboardInterrupt"), ("contextlib.nullcontext()", "ImportError")]
)
def test_a_native_library_is_made_whole_before_a_signal_is_heard(block: str, heard: str) -> None:
    """ONNX Runtime imports numpy from C, and calls whatever goes wrong there a numpy that is broken."""
    program = INTERRUPTED.format(block=block)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert done.stdout == f"{heard}\n", done.stderr


def test_python_finds_modules_as_before_once_the_block_has_ended() -> None:
    before = list(sys.meta_path)
    with libraries_whole():
        assert len(sys.meta_path) == len(before) + 1
    assert sys.meta_path == before
