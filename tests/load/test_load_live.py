"""Loads on a real embedded Triton, by the real command in processes of their own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.server import embedded
from kit.server.embedded import EmbeddedServer
from kit.server.interface import ServerOptions

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "digits" / "test" / "images"
PATIENT = ("--late", "5s", "--timeout", "20s", "--warmup", "500ms")
"""A busy machine sends late; that is another test's matter."""


def start(**changes: Any) -> EmbeddedServer:
    options = {"models": ("digits",), **changes}
    return embedded.start(ServerOptions(repository=ROOT / "model_repository", **options), lambda _: None)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    if (reason := embedded.unavailable_reason()) is not None:
        pytest.skip(reason)
    running = start()
    yield running
    running.kill()


def command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "kit", "load", *words)


def load(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_two_processes_share_an_open_loop_and_both_sides_count_the_same(server: EmbeddedServer, tmp_path: Path) -> None:
    words = ("--model", "digits", "--rate", "10,20", "--arrivals", "constant", "--duration", "4s", "--processes", "2")
    done = load(
        *words, *PATIENT, "--url", server.grpc_url, "--images", str(IMAGES), "--json", "--report", str(tmp_path)
    )
    found = document(done)
    assert (done.returncode, found["verdict"], found["schema"]) == (0, "held", "triton-edge-kit-load/1")
    total = found["total"]
    assert (total["due"], total["answered"], total["failed"]) == (60, 60, 0)
    assert [round(phase["figures"]["target_rate"]) for phase in found["phases"]] == [10, 20]
    assert total["response"]["p50_ms"] >= total["service"]["p50_ms"] * 0.99
    served = found["models"][0]["served"]
    # The warm-up's are in the second before; Triton counts a request after its answer, so that the last may be missing.
    assert 60 - 2 <= served["requests"] <= 60 + 20
    assert served["infer_ms"] < total["service"]["mean_ms"]
    assert sum(bar["count"] for bar in found["histogram"]) == 60
    assert json.loads((tmp_path / "load.json").read_text()) == found
    rows = (tmp_path / "load.csv").read_text().splitlines()
    assert rows[0].startswith("kind,name,seconds,due")
    assert rows[1].startswith("all,all,4,60,60")
    page = (tmp_path / "load.html").read_text()
    assert page.count("<svg") == 3
    assert "http" not in re.sub(r"http-equiv|http://127[^ <]*", "", page)


@pytest.mark.parametrize("protocol", ["http", "shm"])
def test_users_in_a_closed_loop_by_other_protocols(server: EmbeddedServer, protocol: str) -> None:
    url = server.http_url if protocol == "http" else server.grpc_url
    words = ("--model", "digits", "--users", "2", "--duration", "2s", "--protocol", protocol, "--min-rate", "100000")
    done = load(*words, *PATIENT, "--url", url, "--json")
    found = document(done)
    assert (done.returncode, found["verdict"]) == (1, "not held")
    assert "asked for are 100000" in found["reasons"][0]
    assert found["total"]["answered"] > 1
    assert found["total"]["failed"] == 0
    # Triton counts a request after its answer: each user's last may be missing.
    assert found["models"][0]["served"]["requests"] >= found["total"]["answered"] - 2


def test_a_server_that_dies_in_mid_run_leaves_a_report(server: EmbeddedServer, tmp_path: Path) -> None:
    dying = start()
    words = ("--model", "digits", "--rate", "20", "--duration", "60s", "--report", str(tmp_path), *PATIENT)
    running = subprocess.Popen(
        command(*words, "--url", dying.grpc_url, "--json"), stdout=subprocess.PIPE, text=True, cwd=ROOT
    )  # fmt: skip
    until_it_sends(server_of=dying)
    time.sleep(1.5)
    dying.kill()
    found = json.loads(running.communicate(timeout=300)[0])
    assert running.returncode == 3
    assert found["verdict"] == "not measurable"
    assert found["reasons"][0].startswith("the server stopped answering after")
    assert found["total"]["answered"] > 0
    assert (tmp_path / "load.html").exists()


def test_ctrl_c_tells_what_was_measured(server: EmbeddedServer) -> None:
    words = ("--model", "digits", "--users", "1", "--duration", "60s", *PATIENT)
    running = subprocess.Popen(
        command(*words, "--url", server.grpc_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )  # fmt: skip
    until_it_sends(server_of=server)
    time.sleep(1.5)
    running.send_signal(signal.SIGINT)
    said, errors = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "note: interrupted after" in said
    assert re.search(r"^digits +[0-9.]+", said, re.MULTILINE)
    assert "kit: interrupted; the figures are those of the time before" in errors


def test_the_locustfile_to_copy_runs(server: EmbeddedServer) -> None:
    words = ("-f", "clients/locustfile.py", "--headless", "-u", "2", "-r", "2", "-H", server.grpc_url)
    rows: list[dict[str, Any]] = []
    for seconds in (2, 10, 60):  # until it has sent anything, on a busy machine too
        done = subprocess.run(
            [sys.executable, "-m", "locust", *words, "-t", f"{seconds}s", "--json", "--loglevel", "ERROR"],
            capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if rows := json.loads(done.stdout):
            break
    (row,) = rows
    assert (row["method"], row["name"], row["num_failures"]) == ("grpc", "digits", 0)
    assert row["num_requests"] > 0


def until_it_sends(*, server_of: EmbeddedServer) -> None:
    from kit.load import protocols
    from kit.load.values import ModelShare

    connection = protocols.get("grpc").connect(server_of.grpc_url)
    before = connection.counted(ModelShare(name="digits"), 5.0).requests
    deadline = time.monotonic() + 40
    # The preflight and the generator's own first request are two.
    while connection.counted(ModelShare(name="digits"), 5.0).requests < before + 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    connection.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--model", "digit"), 55, "has no model digit; did you mean"),
        (("--model", "digits", "--shape", "images=32x32x3"), 90, "images takes [-1, 320, 320, 3], not [32, 32, 3]"),
        (("--model", "digits", "--images", "nowhere"), 16, "nowhere"),
        (("--model", "digits", "--protocol", "carrier-pigeon"), 2, "choose from grpc, http, shm"),
        (("--model", "digits", "--knee"), 90, "--knee needs steps"),
        (("--model", "digits", "--users", "2"), 2, "--rate and --users were given"),
        (("--model", "digits", "--p99", "soon"), 2, '"soon" is no time; give 50ms'),
        ((), 2, "give --model NAME"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    server: EmbeddedServer, words: tuple[str, ...], code: int, said: str
) -> None:
    done = load("--rate", "5", "--url", server.grpc_url, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_server_is_not_measurable() -> None:
    done = load("--model", "digits", "--rate", "5", "--url", "localhost:1")
    assert done.returncode == 3
    assert "no server answers at localhost:1" in done.stderr


def test_a_report_that_cannot_be_written_still_shows_the_figures(server: EmbeddedServer) -> None:
    words = ("--model", "digits", "--users", "1", "--duration", "1s", "--url", server.grpc_url, *PATIENT)
    done = load(*words, "--report", "/dev/full/report")
    assert "digits" in done.stdout
    assert done.returncode == 40
    assert "/dev/full/report" in done.stderr
