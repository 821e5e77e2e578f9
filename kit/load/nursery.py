"""A process that has imported locust; for each line that it reads, a copy of it becomes the locust of one load.

Importing takes most of a load's start. The copies share nothing but what was imported: no connection, no thread and no
count stands before the fork. ``kit.load.prepared`` starts this and speaks with it.
"""

from __future__ import annotations

from kit.load.users import TritonUser  # the first import: it prepares grpc for gevent

# isort: split

import contextlib
import gc
import os
import signal
import sys

import gevent.os
import locust.main
import msgspec
import numpy as np

from kit.load.agreed import BORN, GONE, PIPE, Start

_READY = (TritonUser, np)  # what else a load imports


def main() -> None:
    """Start loads, one after another, until nobody asks for more."""
    gc.freeze()  # copies leave what was imported where it is
    pipe = int(os.environ[PIPE])
    for line in sys.stdin.buffer:
        start = msgspec.json.decode(line, type=Start)
        process = gevent.os.fork_gevent()
        if process == 0:
            _become(start)
        _told(pipe, BORN, process)
        _, status = os.waitpid(process, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # locust's own processes
        _told(pipe, GONE, os.waitstatus_to_exitcode(status))


def _become(start: Start) -> None:
    """Be locust from here on."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(start.variables)
    sys.argv = list(start.words)
    code = 1
    try:
        locust.main.main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def _told(pipe: int, kind: str, number: int) -> None:
    # The line before may be that of a process that was killed while it wrote.
    os.write(pipe, f"\n{kind}{number}\n".encode())


if __name__ == "__main__":
    main()
