"""``kit serve`` with real servers and real signals."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import config, identity

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs")]

ROOT = Path(__file__).parents[2]
READY = re.compile(r"ready: (?P<models>.*); gRPC (?P<grpc>\S+), HTTP (?P<http>\S+), metrics (?P<metrics>\S+)\n")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A ``kit serve`` that said it was ready."""

    process: subprocess.Popen[str]
    ready: dict[str, str]
    errors: Path

    def infer(self) -> Any:
        import tritonclient.grpc as grpc

        with grpc.InferenceServerClient(self.ready["grpc"]) as client:
            tensor = grpc.InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
            return client.infer("small", [tensor], client_timeout=60).as_numpy("y")

    def answers(self) -> bool:
        from tritonclient.utils import InferenceServerException

        try:
            return bool((self.infer() == 1).all())
        except InferenceServerException:
            return False

    def family(self) -> dict[int, str]:
        """Return the command lines of the keeper, the server and the stubs, by process number."""
        return processes(f"kit-{self.process.pid}-")

    def metrics(self) -> str:
        """What Prometheus reads; Triton counts a request some time after its answer."""
        with closing(http.client.HTTPConnection(self.ready["metrics"], timeout=60)) as connection:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def one(self, what: str) -> int:
        (pid,) = (pid for pid, line in self.family().items() if line.split()[0].endswith(what))
        return pid


def processes(text: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found[int(entry.name)] = line
    return found


def eventually(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def nothing_is_left(pid: int) -> bool:
    """Whether nothing of the ``kit serve`` of that process number is left: process, shared memory."""
    return not processes(f"kit-{pid}-") and not list(Path("/dev/shm").glob(f"kit-{pid}-*"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write(folder, "small", config())
    return folder


def write(repository: Path, name: str, text: str) -> None:
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(identity().SerializeToString())
    (version.parent / "config.pbtxt").write_text(text)


def start(repository: Path, errors: Path, *arguments: str) -> subprocess.Popen[str]:
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    with errors.open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "kit", "serve", str(repository), *ports, *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip


@contextmanager
def serving(repository: Path, folder: Path, *arguments: str) -> Iterator[Serving]:
    errors = folder / "stderr"
    process = start(repository, errors, *arguments)
    assert process.stdout is not None
    with process, closing(process.stdout):
        try:
            line = process.stdout.readline()
            found = READY.fullmatch(line)
            assert found, f"{line!r}: {errors.read_text()}"
            yield Serving(process=process, ready=found.groupdict(), errors=errors)
        finally:
            process.kill()
            process.wait()
            eventually(lambda: nothing_is_left(process.pid))


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*"))}


def failed(repository: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a ``kit serve`` that fails; return its exit code and what it said."""
    process = start(repository, folder / "stderr", *arguments)
    out, _ = process.communicate(timeout=300)
    assert out == ""
    return process.returncode, (folder / "stderr").read_text()


def test_says_when_it_is_ready_answers_and_drains_on_sigterm(repository: Path, tmp_path: Path) -> None:
    before = snapshot(repository)
    with serving(repository, tmp_path, "--log-file", str(tmp_path / "log")) as server:
        assert server.ready["models"] == "small (version 1)"
        assert server.answers()
        eventually(lambda: 'nv_inference_request_success{model="small",version="1"} 1' in server.metrics())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        assert nothing_is_left(server.process.pid)
        assert server.errors.read_text().count("\n") == 1
        assert "loading: small:1" in (tmp_path / "log").read_text()
    assert snapshot(repository) == before


def test_an_idle_connection_and_an_open_stream_do_not_hold_it(repository: Path, tmp_path: Path) -> None:
    import tritonclient.grpc as grpc

    with serving(repository, tmp_path, "--exit-timeout", "1") as server:
        idle = http.client.HTTPConnection(server.ready["http"], timeout=60)
        idle.request("GET", "/v2/health/live")
        assert idle.getresponse().read() == b""
        client = grpc.InferenceServerClient(server.ready["grpc"])
        client.start_stream(lambda result, error: None)
        tensor = grpc.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
        client.async_stream_infer("small", [tensor])
        time.sleep(0.5)
        started = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=60) == 0
        assert time.monotonic() - started < 30  # the connection would stay for ever
        assert nothing_is_left(server.process.pid)
        client.stop_stream(cancel_requests=True)
        client.close()
        idle.close()


def test_a_second_signal_ends_it_at_once(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, "--exit-timeout", "60") as server:
        idle = http.client.HTTPConnection(server.ready["http"], timeout=60)
        idle.request("GET", "/v2/health/live")
        idle.getresponse().read()
        server.process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert server.process.poll() is None
        started = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=60) == 0
        assert time.monotonic() - started < 30
        assert nothing_is_left(server.process.pid)
        idle.close()


def test_a_dead_instance_is_repaired_and_a_dead_server_started_again(repository: Path, tmp_path: Path) -> None:
    before = snapshot(repository)
    with serving(repository, tmp_path) as server:
        os.kill(server.one("triton_python_backend_stub"), signal.SIGKILL)
        eventually(lambda: "model small is ready again" in server.errors.read_text())
        assert server.answers()
        server_pid = server.one("bin/tritonserver")
        os.kill(server_pid, signal.SIGKILL)
        eventually(lambda: "the server is ready again" in server.errors.read_text())
        assert server.answers()
        assert server.one("bin/tritonserver") != server_pid
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
    assert snapshot(repository) == before


def test_nothing_outlives_a_killed_kit(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path) as server:
        assert len(server.family()) == 3
        server.process.kill()
        server.process.wait()
        eventually(lambda: nothing_is_left(server.process.pid), timeout_s=30)


def test_what_a_dead_keeper_left_is_swept_at_the_next_start(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path) as server:
        keeper = next(pid for pid, line in server.family().items() if "keeper.py" in line)
        server.process.send_signal(signal.SIGSTOP)  # so that only the keeper's death is seen
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: "bin/tritonserver" not in "".join(server.family().values()))
        # While it lives: once it is dead, the next to start may be any other test.
        folder = next((cache() / "server" / "run").glob(f"kit-{server.process.pid}-*"))
        left = Path("/dev/shm", f"{folder.name}left")
        left.touch()
        server.process.kill()
        server.process.wait()
        with serving(repository, tmp_path):
            assert not folder.exists()
            assert not left.exists()
            assert not server.family()


def cache() -> Path:
    from kit import paths

    return paths.cache_root()


def test_a_model_without_a_version_is_refused(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, "logits", config())
    (repository / "raw").mkdir()
    (repository / "raw" / "config.pbtxt").write_text(config())
    code, said = failed(repository, tmp_path)
    assert code == 51
    reason = "at least one version must be available under the version policy of model 'raw'"
    assert said == f"kit: Triton refused to load model 'raw': {reason}\n"


def test_the_same_port_twice_is_refused_before_anything_starts(repository: Path, tmp_path: Path) -> None:
    code, said = failed(repository, tmp_path, "--http-port", "18765", "--grpc-port", "18765")
    assert (code, said.count("\n")) == (2, 1)


def test_a_stub_that_dies_right_after_a_repair_is_noticed(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path) as server:
        os.kill(server.one("triton_python_backend_stub"), signal.SIGKILL)
        eventually(lambda: "model small is ready again" in server.errors.read_text())
        os.kill(server.one("triton_python_backend_stub"), signal.SIGKILL)
        eventually(lambda: server.errors.read_text().count("model small is ready again") == 2)
        assert "died again; loading it again in 1 s" in server.errors.read_text()
        assert server.answers()
        time.sleep(3)
        assert server.errors.read_text().count("is ready again") == 2


def test_a_taken_port_is_named_with_its_holder(repository: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        code, said = failed(repository, tmp_path, "--grpc-port", str(port))
    assert code == 50
    name = Path("/proc/self/comm").read_text().strip()
    assert said == (
        f"kit: gRPC port {port} on 127.0.0.1 is in use by {name} (process {os.getpid()}); stop that, or choose "
        "another with --grpc-port\n"
    )


def test_every_refused_model_is_told_in_one_line(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, "good", config())
    write(repository, "other_dims", config("5"))
    write(repository, "other_name", config(inputs="images"))
    code, said = failed(repository, tmp_path)
    assert code == 51
    assert said == (
        "kit: Triton refused to load model 'other_dims': model 'other_dims', tensor 'x': the model expects 2 "
        "dimensions (shape [-1,4]) but the model configuration specifies 2 dimensions (an initial batch dimension "
        "because max_batch_size > 0 followed by the explicit tensor shape, making complete shape [-1,5]); "
        "model 'other_name': unexpected inference input 'images', allowed inputs are: x\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_batch_size: {", "Error parsing text-format"),
        ('backend: "nothing" max_batch_size: 1', "nothing"),
        ("max_batch_size: 8 input { }", "input"),
    ],
)
def test_a_broken_configuration_is_told_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    repository = tmp_path / "repository"
    write(repository, "broken", text)
    code, said = failed(repository, tmp_path)
    assert (code, said.count("\n")) == (51, 1)
    assert said.startswith("kit: Triton refused to load model 'broken': ")
    assert reason in said


def test_the_targets_configuration_is_served(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write(repository, "small", "this is no configuration")
    configs = repository / "small" / "configs"
    configs.mkdir()
    (configs / "edge.pbtxt").write_text(config())
    with serving(repository, tmp_path, "--target", "edge") as server:
        assert server.answers()
