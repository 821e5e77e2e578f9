"""The engine docker: its command lines to the letter, and a stand-in ``docker`` that is a real program."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kit import targets
from kit.errors import ModelLoadError, ServerUnavailableError, UsageError
from kit.server import docker
from kit.server.interface import Engine, ServerOptions, engine

COMPLETE = 'backend: "onnxruntime" input { name: "x" } output { name: "y" }'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "digits" / "1").mkdir(parents=True)
    (folder / "digits" / "config.pbtxt").write_text(COMPLETE)
    (folder / "digits" / "configs").mkdir()
    cache = 'parameters { key: "trt_engine_cache_path" value: "/var/cache/triton" }'
    accelerated = f'gpu_execution_accelerator {{ name: "tensorrt" {cache} }}'
    for name, more in (
        ("x86-cpu", ""),
        ("t4", f"optimization {{ execution_accelerators {{ {accelerated} }} }}"),
        ("orin-nx-16gb", ""),
    ):
        (folder / "digits" / "configs" / f"{name}.pbtxt").write_text(f"{COMPLETE} {more}")
    return folder


def options(repository: Path, target: str) -> ServerOptions:
    return ServerOptions(
        repository=repository, config_name=target, http_port=8000, grpc_port=8001, metrics_port=8002,
        target=targets.load(target),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "gpu", "volumes"),
    [
        ("x86-cpu", "", ""),
        ("t4", "--gpus=all ", "--volume=triton-edge-kit-engines:/var/cache/triton "),
        ("orin-nx-16gb", "--runtime=nvidia ", ""),
    ],
)
def test_the_command_line(repository: Path, target: str, gpu: str, volumes: str) -> None:
    chosen = options(repository, target)
    assert chosen.target is not None
    assert shlex.join(docker.command(chosen)) == (
        f"docker run --rm --init --name triton-edge-kit-8000 {gpu}--shm-size=1g --publish=127.0.0.1:8000:8000 "
        f"--publish=127.0.0.1:8001:8001 --publish=127.0.0.1:8002:8002 --volume={repository}:/models:ro {volumes}"
        f"{chosen.target.stack.image} tritonserver --model-repository=/models --model-control-mode=explicit "
        f"'--load-model=*' --model-config-name={target} --strict-readiness=false --exit-on-error=false "
        "--exit-timeout-secs=15 --disable-auto-complete-config"
    )


def test_what_options_change(repository: Path) -> None:
    (repository / "digits" / "configs" / "x86-cpu.pbtxt").write_text('backend: "onnxruntime"')
    chosen = replace(options(repository, "x86-cpu"), address="::", http_port=9000, models=("digits",), verbose=True)
    line = shlex.join(docker.command(chosen))
    assert "--publish='[::]:9000:8000'" in line or "'--publish=[::]:9000:8000'" in line
    assert "--load-model=digits" in line
    assert line.endswith("--log-verbose=1")
    assert "auto-complete" not in line


def test_a_target_is_needed_for_its_image(repository: Path) -> None:
    message = r"--engine docker needs --target NAME, for the Triton image that is pinned there \(kit targets\)"
    with pytest.raises(UsageError, match=message):
        docker.command(ServerOptions(repository=repository))


def test_engines_are_members_of_the_axis() -> None:
    chosen: Engine = engine("docker")
    assert chosen is docker
    with pytest.raises(UsageError, match=r"there is no engine 'dokcer'; did you mean \"docker\"\?"):
        engine("dokcer")


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program named ``docker`` first on PATH."""
    program = folder / "docker"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ServerUnavailableError, match=r"^docker is not installed; install it .* or use --engine embedded$"
    ):
        docker.start(options(repository, "x86-cpu"), lambda _: None)


def test_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "import sys; sys.exit('Cannot connect to the Docker daemon.')")
    assert docker.unavailable_reason() == (
        "docker's daemon is not running or not for this user to use: Cannot connect to the Docker daemon.; start it "
        "(systemctl start docker) or use --engine embedded"
    )


TRITON = """
import http.server, json, signal, sys, os, pathlib
here = pathlib.Path(__file__).parent
if sys.argv[1] == "version":
    sys.exit(0)
if sys.argv[1] in ("stop", "kill"):
    with (here / "calls").open("a") as calls:
        print(*sys.argv[1:], file=calls)
    os.kill(int((here / "pid").read_text()), signal.SIGKILL)
    sys.exit(0)
(here / "pid").write_text(str(os.getpid()))
port = next(int(a.split(":")[1]) for a in sys.argv if a.startswith("--publish=") and a.endswith(":8000"))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(INDEX).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_a_container_is_started_asked_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    index = [{"name": "digits", "version": "1", "state": "READY"}]
    stand_in(tmp_path, monkeypatch, TRITON.replace("INDEX", repr(index)))
    told: list[str] = []
    chosen = replace(options(repository, "x86-cpu"), http_port=0, grpc_port=0, metrics_port=0)
    server = docker.start(chosen, told.append)
    assert told[0].startswith("docker run --rm --init --name triton-edge-kit-")
    assert [(m.name, m.version) for m in server.ready_models()] == [("digits", "1")]
    assert server.exit_code() is None
    assert server.http_url.partition(":")[2] in told[0]
    server.stop()
    assert server.exit_code() is not None
    assert (tmp_path / "calls").read_text() == f"stop --time 20 {server.name}\n"


def test_a_refused_model_ends_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    index = [{"name": "digits", "version": "1", "state": "UNAVAILABLE", "reason": "Internal: wrong"}]
    stand_in(tmp_path, monkeypatch, TRITON.replace("INDEX", repr(index)))
    with pytest.raises(ModelLoadError, match=r"^Triton refused to load model 'digits': wrong$"):
        docker.start(replace(options(repository, "x86-cpu"), http_port=0, grpc_port=0, metrics_port=0), lambda _: None)
    assert (tmp_path / "calls").read_text().startswith("kill ")
