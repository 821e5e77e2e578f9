"""Keeps one Triton server's process: a program of its own, with nothing but the standard library.

Arguments: the kit's process number, the name of the server's shared memory regions, the server's command.
The keeper

- starts the server, writes its process number to standard output, and ends with its exit code;
- hands SIGTERM on to it;
- kills it when the kit's process has ended, in whatever way (the signal that Linux sends on request,
  PR_SET_PDEATHSIG, would come already when the *thread* ends that started the server);
- in the end kills what is left of its process group, and deletes the server's shared memory, which Triton
  leaks when it is killed.

It inherits the lock of the server's run folder: a folder whose lock is free belongs to nobody.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_INTERVAL_S = 0.2
_PROGRAMS = ("tritonserver", "triton_python_backend_stub")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (the kernel's own, where Triton's regions are)


def main() -> int:
    """Run the server; return its exit code, or 128 + the signal that ended it."""
    parent, prefix, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    # No other thread runs here: preexec_fn is safe.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=_die_with_keeper)  # noqa: PLW1509
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    os.write(1, f"{server.pid}\n".encode())
    exited = os.pidfd_open(server.pid)
    while server.poll() is None:
        if os.getppid() != parent:
            server.kill()
        select.select([exited], [], [], _INTERVAL_S)
    _kill_group()
    sweep(prefix)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _die_with_keeper() -> None:
    """For a keeper that is itself killed: the server then ends, and its stubs with it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group() -> None:
    """Kill stubs that outlived their server; not this process, which still has an exit code to give."""
    own = os.getpid()
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            if pid != own and os.getpgid(pid) == own:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def sweep(prefix: str) -> None:
    """End what outlived a dead server whose keeper died, too, and delete the server's shared memory regions.

    Stubs notice after some seconds that their server is gone. Their command lines hold the prefix, which
    holds a random number; what else has it there (an editor, ``tail -f``) is the user's own.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or it is another user's
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if int(entry.name) != os.getpid() and _is_ours(arguments, prefix.encode()):
                os.kill(int(entry.name), signal.SIGKILL)
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _is_ours(arguments: list[bytes], prefix: bytes) -> bool:
    """Whether a command line is that of the server with the prefix, of one of its stubs or of its keeper."""
    if not any(prefix in argument for argument in arguments):
        return False
    program = Path(os.fsdecode(arguments[0])).name
    return program in _PROGRAMS or (arguments[1:3] == [b"-I", b"-S"] and arguments[3].endswith(b"/keeper.py"))


if __name__ == "__main__":
    sys.exit(main())
