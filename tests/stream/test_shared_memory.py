import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_server import FakeServer, running
from outcomes import Outcome

from kit.stream import memory

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of our own, for what is not about the real one."""
    monkeypatch.setattr(memory, "FOLDER", tmp_path)
    return tmp_path


def test_slots_are_apart_and_begin_at_pages(folder: Path) -> None:
    ring = memory.create(5000, 3)
    assert (ring.slot_bytes, ring.byte_size) == (8192, 3 * 8192)
    for index in range(3):
        ring.slot(index, 5000)[:] = bytes([index + 1]) * 5000
    written = np.frombuffer(ring.path.read_bytes(), np.uint8).reshape(3, 8192)
    assert (written[:, :5000] == [[1], [2], [3]]).all()
    assert (written[:, 5000:] == 0).all()
    assert ring.path.stat().st_mode & 0o777 == 0o600
    assert f"-{os.getpid()}-" in ring.path.name
    ring.remove()
    ring.remove()
    assert list(folder.iterdir()) == []


def test_memory_outlives_its_name() -> None:
    ring = memory.create(10, 1)
    slot = ring.slot(0, 10)
    ring.remove()
    slot[:] = b"0123456789"
    assert bytes(slot) == b"0123456789"


def test_what_is_used_is_not_swept(folder: Path) -> None:
    ring = memory.create(10, 1)
    assert memory.sweep() == ()
    ring.remove()


def test_what_a_killed_client_left_is_swept(folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from kit.stream import memory\n"
        "memory.FOLDER = Path(sys.argv[1]); ring = memory.create(10, 1)\n"
        "print(ring.path.name, flush=True); time.sleep(60)"
    )
    client = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with client:
        assert client.stdout is not None
        name = client.stdout.readline().strip()
        other = folder / "somebody-elses"
        other.write_text("stays")
        assert memory.sweep() == ()
        client.send_signal(signal.SIGKILL)
        client.wait()
        assert memory.sweep() == (name,)
    assert [p.name for p in folder.iterdir()] == ["somebody-elses"]


def test_a_file_of_this_moment_is_left_to_its_owner(folder: Path) -> None:
    fresh = folder / f"{memory.PREFIX}1-aa"
    fresh.touch()
    assert memory.sweep() == ()
    os.utime(fresh, (time.time() - 5, time.time() - 5))
    assert memory.sweep() == (fresh.name,)


def test_without_a_folder_frames_travel_in_the_requests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FOLDER", folder / "missing")
    outcome = Outcome()
    with running(FakeServer(extensions=("system_shared_memory",))) as fake, outcome.dispatcher(fake.url) as dispatcher:
        assert dispatcher.wait_until_ready(5)
    assert "not by shared memory" in outcome.texts()
    assert "(No such file or directory)" in outcome.texts()


FULL = """
import sys, time
sys.path[:0] = [{tests!r}]
from fake_server import FakeServer, running, wait_for
from outcomes import Outcome, frame
import numpy as np
from kit.stream import memory
from pathlib import Path
memory.FOLDER = Path(sys.argv[1])
outcome = Outcome()
with running(FakeServer(extensions=("system_shared_memory",))) as fake:
    with outcome.dispatcher(fake.url, overall=400) as dispatcher:
        dispatcher.submit(frame(number=7))
        assert wait_for(lambda: outcome.results)
print(outcome.texts())
print(sorted(p.name for p in memory.FOLDER.iterdir()), outcome.results[0].wire)
"""


def test_a_full_folder_is_noticed_before_a_write_ends_the_process(tmp_path: Path) -> None:
    """400 slots of one page into a file system of 64 KiB: a write beyond its end would be SIGBUS."""
    mounted = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"',
    ]
    if subprocess.run([*mounted, str(tmp_path), "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    program = FULL.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [*mounted, str(tmp_path), sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(No space left on device)" in done.stdout
    assert "[] inline" in done.stdout
