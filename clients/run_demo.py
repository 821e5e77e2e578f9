"""The whole way once, with the commands that you would type: generate, serve, send, stop.

    kit generate examples/digits/digits.onnx --output out/model_repository
    kit serve out/model_repository &
    python clients/demo.py --labels out/model_repository/digits/labels.txt
    kill %1

This is what ``make demo`` runs. The server takes free ports here, so that nothing that runs already is in the way.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KIT = Path(sys.executable).parent / "kit"
REPOSITORY = "out/model_repository"
FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
STOP_TIMEOUT_S = 30.0


class StepError(Exception):
    """A step failed; it has said why."""


def main() -> int:
    """Run every step; the first that fails ends the demo with exit code 1."""
    start = time.monotonic()
    try:
        run()
    except StepError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; the server is stopped", file=sys.stderr)
        return 130
    print(f"\ndone in {time.monotonic() - start:.0f} s; look at out/images.jpg and out/video.mp4")
    return 0


def run() -> None:
    """Generate, serve, send, stop."""
    step("kit", "generate", "examples/digits/digits.onnx", "--output", REPOSITORY)
    with serving() as url:
        step("python", "clients/demo.py", "--url", url, "--labels", f"{REPOSITORY}/digits/labels.txt")
    print("the server ended with exit code 0")


def step(*command: str) -> None:
    """Show a command and run it. Raises ``StepError`` unless it ends with exit code 0."""
    show(*command)
    code = subprocess.run(program(*command), cwd=ROOT, check=False).returncode
    if code:
        raise StepError(f"{shlex.join(command[:2])} ended with exit code {code}; the line above says why")


@contextmanager
def serving() -> Iterator[str]:
    """Serve the repository for the length of a ``with`` block, and yield the server's gRPC address."""
    command = ("kit", "serve", REPOSITORY, *FREE_PORTS)
    show(*command, "&")
    server = subprocess.Popen(program(*command), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield address(server)
    except BaseException:
        stop(server)
        raise
    show("kill", "%1")
    code = stop(server)
    if code:
        raise StepError(f"kit serve ended with exit code {code}; it should have been 0")


def address(server: subprocess.Popen[str]) -> str:
    """Wait for the one line that ``kit serve`` prints when every model is ready, and read its gRPC address."""
    assert server.stdout is not None
    line = server.stdout.readline()
    found = re.search(r"gRPC (\S+:\d+)", line)
    if found is None:
        raise StepError(f"kit serve ended before it was ready, with exit code {server.wait()}")
    print(line, end="", flush=True)
    return found[1]


def stop(server: subprocess.Popen[str]) -> int:
    """Send SIGTERM and return the exit code; a server that does not end is killed."""
    server.terminate()
    try:
        return server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        raise StepError(f"kit serve was still there {STOP_TIMEOUT_S:.0f} s after SIGTERM, and was killed") from None
    finally:
        if server.stdout is not None:
            server.stdout.close()


def program(*command: str) -> list[str]:
    """Return the command with the programs of this environment."""
    programs = {"kit": str(KIT), "python": sys.executable}
    return [programs.get(command[0], command[0]), *command[1:]]


def show(*command: str) -> None:
    """Print a command as it would be typed."""
    print(f"\n$ {shlex.join(command[:-1])} &" if command[-1] == "&" else f"\n$ {' '.join(command)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
