"""The whole way once, with the commands that you would type: generate, serve, stream, stop.

    kit generate examples/digits/digits.onnx --output out/model_repository
    kit serve out/model_repository &
    kit camera out/images --model digits --print --save out/pictures
    kit camera 'examples/digits/video.mp4#pace=none' --model digits --record out/video.mp4
    kill %1

This is what ``make demo`` runs. The servers take free ports here, so that nothing that runs already is in the way.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KIT = Path(sys.executable).parent / "kit"
REPOSITORY = "out/model_repository"
DIGITS = "examples/digits"
PICTURES = 12
CELL = 360
"""Width of a picture on the contact sheet, pixels."""
FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
STOP_TIMEOUT_S = 30.0
RTSP_TIMEOUT_S = 10.0


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
    """Generate, serve, stream, stop."""
    copy_images()
    step("kit", "generate", f"{DIGITS}/digits.onnx", "--output", REPOSITORY)
    with serving() as url:
        asking = ("--model", "digits", "--url", url, "--score", "0.5")
        step("kit", "camera", "out/images", *asking, "--print", "--save", "out/pictures")
        make_sheet()
        video = f"{DIGITS}/video.mp4#pace=none"
        step("kit", "camera", video, *asking, "--in-flight", "1")
        step("kit", "camera", video, *asking, "--in-flight", "4", "--record", "out/video.mp4")
        with rtsp_camera() as camera:
            if camera:
                step("kit", "camera", camera, *asking, "--duration", "3", "--json", output="out/detections.jsonl")
                tell_lines(ROOT / "out" / "detections.jsonl")
    print("the server ended with exit code 0")


def copy_images() -> None:
    """Put some of the example's pictures into a folder of their own."""
    for name in ("images", "pictures"):
        shutil.rmtree(ROOT / "out" / name, ignore_errors=True)
        (ROOT / "out" / name).mkdir(parents=True)
    for file in sorted((ROOT / DIGITS / "test" / "images").glob("*.jpg"))[:PICTURES]:
        shutil.copy(file, ROOT / "out" / "images")


def make_sheet() -> None:
    """Put the pictures with boxes onto one sheet."""
    from PIL import Image

    from kit.stream import drawing

    cells = []
    for file in sorted((ROOT / "out" / "pictures").glob("*.jpg")):
        with Image.open(file) as picture:
            size = (CELL, round(picture.height * CELL / picture.width))
            cells.append((file.stem, picture.resize(size, Image.Resampling.LANCZOS)))
    drawing.contact_sheet(cells).save(ROOT / "out" / "images.jpg", quality=75)


@contextmanager
def rtsp_camera() -> Iterator[str | None]:
    """Play the example's video as a camera in the network, where an RTSP server is installed; yield its address."""
    if importlib.util.find_spec("server_demo") is None:  # the module behind rtsp-server
        print("\nno RTSP server is installed here, so no camera in the network: pip install 'aio-rtsp-toolkit[server]'")
        yield None
        return
    record_plainly(ROOT / DIGITS / "video.mp4", ROOT / "out" / "camera" / "video.mp4")
    port = free_port()
    command = ("rtsp-server", "-d", "out/camera", "-H", "127.0.0.1", "-p", str(port))
    show(*command, "&")
    with subprocess.Popen(program(*command), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            ready = answers(port)
            if not ready:
                print("the RTSP server does not start; going on without a camera in the network")
            yield f"rtsp://127.0.0.1:{port}/video.mp4" if ready else None
        finally:
            server.kill()


def record_plainly(source: Path, target: Path) -> None:
    """Write a video anew without B-frames: cameras send none, and this server mixes their times up."""
    import av

    from kit.stream.recording import Recording, Shot

    target.parent.mkdir(exist_ok=True)
    recording = Recording(target)
    with av.open(str(source)) as film:
        for number, frame in enumerate(film.decode(video=0)):
            recording.add(Shot(number=number, time_s=frame.time, picture=frame.to_ndarray(format="rgb24")))
    recording.close()


def answers(port: int) -> bool:
    """Return whether something listens on a port, after some seconds at most."""
    deadline = time.monotonic() + RTSP_TIMEOUT_S
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
    return True


def tell_lines(file: Path) -> None:
    """Say what the JSON lines hold."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    results = [line for line in lines if line["kind"] == "result"]
    found = Counter(d["label"] for line in results for d in line["detections"])
    most = ", ".join(f'{count} x "{label}"' for label, count in sorted(found.items()))
    print(f"out/detections.jsonl: {len(results)} frames of the camera, {most or 'nothing found'}")


def step(*command: str, output: str | None = None) -> None:
    """Show a command and run it, with its standard output into a file. Raises ``StepError`` where it fails."""
    show(*command, *((">", output) if output else ()))
    if output is None:
        code = subprocess.run(program(*command), cwd=ROOT, check=False).returncode
    else:
        with (ROOT / output).open("wb") as file:
            code = subprocess.run(program(*command), cwd=ROOT, stdout=file, check=False).returncode
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
    found = Path(sys.executable).parent / command[0]
    if command[0] == "rtsp-server":
        return [sys.executable, "-m", "server_demo", *command[1:]]
    return [str(found) if found.exists() else command[0], *command[1:]]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def show(*command: str) -> None:
    """Print a command as it would be typed."""
    words = [word if word in ("&", ">", "%1") else shlex.quote(word) for word in command]
    print(f"\n$ {' '.join(words)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
