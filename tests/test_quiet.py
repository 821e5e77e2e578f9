"""What libraries print is kept away, and Ctrl-C finds the way to the terminal where it was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kit.quiet import silenced

LOUD = """
import ctypes, os, sys
from kit.quiet import silenced
print("before", flush=True)
with silenced():
    print("python", end="")
    print("python's errors", file=sys.stderr)
    os.write(1, b"native"), os.write(2, b"native errors")
    ctypes.CDLL(None).printf(b"buffered by C")
print("after")
"""

SIGNALLED = """
import os, random, signal, sys, threading, time, traceback
from kit.quiet import silenced

def later(seconds):
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)

def where():
    return [os.fstat(n).st_ino for n in (1, 2)], sys.stdout, sys.stderr, signal.getsignal(signal.SIGTERM)

before, chance, wrong = where(), random.Random(0), []
for number in range(300):
    try:
        threading.Thread(target=later, args=(chance.random() / 500,)).start()
        while True:
            with silenced():
                pass
    except KeyboardInterrupt as error:
        traceback.clear_frames(error.__traceback__)  # as kit.cli does
        if where() != before:
            wrong.append((number, where()))
            break
assert not wrong, wrong
assert len(os.listdir("/proc/self/fd")) < 20
"""


def test_nothing_that_is_printed_inside_is_seen() -> None:
    done = subprocess.run([sys.executable, "-c", LOUD], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "")


def test_what_is_raised_inside_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with silenced():
            os.write(1, b"unseen")
            raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        work()
    print("seen too")
    assert capfd.readouterr().out == "seen too\n"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_interruption_at_any_moment_leaves_the_streams_where_they_were() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
