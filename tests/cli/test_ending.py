"""How a command's process ends: with its code and its last words, and without taking libraries apart."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import atexit, sys, threading, time
import kit.cli

class Large:
    def __del__(self): print("taken apart")

large = Large()
atexit.register(print, "cleaned up")
sys.argv = ["kit", *sys.argv[1:]]
"""


def end(more: str, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}{more}\nkit.cli.main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


def test_it_cleans_up_and_leaves_the_memory_to_the_system() -> None:
    code, lines = end("", "--version")
    assert code == 0
    assert lines[0].startswith("kit, version")
    assert lines[1:] == ["cleaned up"]


def test_a_mistake_keeps_its_code() -> None:
    assert end("", "generate", "none.onnx", "--target", "no-such")[0] > 2


def test_a_thread_that_is_at_work_is_waited_for() -> None:
    late = "threading.Thread(target=lambda: (time.sleep(0.5), print('late'))).start()"
    _, lines = end(late, "--version")
    assert lines[1:] == ["late", "cleaned up", "taken apart"]


def test_a_profiler_sees_the_end() -> None:
    _, lines = end("import cProfile; cProfile.Profile().enable()", "--version")
    assert lines[1:] == ["cleaned up", "taken apart"]
