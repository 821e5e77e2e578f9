"""``kit tune`` with a real embedded Triton: broken off by Ctrl-C, and then gone on with into a spec file."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.server import embedded

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
SPEC = f"""\
models:
  - source: {ROOT}/examples/digits/digits.onnx
    threads: 2   # one for each core
"""
STANDING = ("--instances", "1", "--batch", "4", "--delay", "0", "--threads", "0")
"""What the repository says already is all that is tried: one way to serve it, measured once."""


def command(*words: str) -> tuple[str, ...]:
    given = ("--target", "x86-cpu", "--p99", "1s", "--fail-ratio", "5%", "--journal", "journal.jsonl")
    return (sys.executable, "-m", "kit", "tune", str(REPOSITORY), *given, *STANDING, *words)


def content() -> dict[str, str]:
    files = (path for path in REPOSITORY.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def broken_off(folder: Path) -> subprocess.CompletedProcess[str]:
    """Press Ctrl-C when the first measurement has come."""
    words = command("--report", "out", "--spec", "spec.yaml")
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:  # fmt: skip
        assert running.stderr is not None
        seen = []
        for line in running.stderr:
            seen.append(line)
            if line.startswith("confirmation  "):
                running.send_signal(signal.SIGINT)
                break
        out, err = running.communicate(timeout=60)
        return subprocess.CompletedProcess(words, running.returncode, out, "".join(seen) + err)


def test_ctrl_c_shows_what_there_is_and_the_next_run_goes_on_into_the_spec(tmp_path: Path) -> None:
    if (reason := embedded.unavailable_reason()) is not None:
        pytest.skip(reason)
    (tmp_path / "spec.yaml").write_text(SPEC)
    before = content()
    first = broken_off(tmp_path)
    assert first.returncode == 130, first.stderr
    assert "interrupted: the best so far: 1x batch 4, a thread per core" in first.stdout
    assert "spec.yaml stays as it is: it was interrupted before it was known" in first.stdout
    assert first.stderr.endswith("kit: interrupted; the same command goes on from here\n")
    assert json.loads((tmp_path / "out" / "tune.json").read_text())["interrupted"] is True
    assert (tmp_path / "spec.yaml").read_text() == SPEC

    kept = (tmp_path / "journal.jsonl").read_text()
    second = subprocess.run(
        command("--budget", "1ms", "--spec", "spec.yaml", "--json"),
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    told = json.loads(second.stdout)
    assert (told["verdict"], told["measured"]) == ("holds", 1)
    assert told["applied"]["written"] == [{"key": "threads", "before": "2", "after": "0", "line": 3}]
    assert (tmp_path / "spec.yaml").read_text() == SPEC.replace("threads: 2", "threads: 0")
    assert (tmp_path / "journal.jsonl").read_text() == kept
    assert content() == before
