"""``kit generate`` that is killed or interrupted at any moment: old or new, and the next run completes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import models
import pytest

DRIVER = '''
"""Forks a run for each moment: the libraries are imported once, which is what takes the time of a tiny model."""
import atexit, os, random, signal, sys, time
from pathlib import Path
import numpy, onnx, onnx.compose, onnx.parser, onnx.version_converter, onnxruntime, onnxsim, tritonclient.grpc
import kit.cli, kit.compare, kit.pipeline, kit.cli._display

which, moments = getattr(signal, sys.argv[1]), int(sys.argv[2])
output = Path("out")

def start(source, fresh):
    child = os.fork()
    if child == 0:
        error = os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(error, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = kit.cli.run(["generate", source, "--name", "m", "--no-verify", "--quiet", "--output", "out", *fresh])
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # as kit.cli.main does
        except BaseException as problem:
            os.write(2, repr(problem).encode())
            code = 99
        atexit._run_exitfuncs()  # what a process does when it ends is a part of it; C++ cannot end after a fork
        os._exit(code)
    return child

def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def tree():
    return {p.relative_to(output).as_posix(): p.is_file() and p.read_bytes() for p in output.rglob("*")}

def hidden():
    return sorted(str(p) for top in Path().glob(".*") for p in (top, *top.rglob("*")))

assert wait(start("one.onnx", [])) == 0, Path("stderr").read_text()
begin = time.monotonic()
assert wait(start("two.onnx", ["--no-cache"])) == 0, Path("stderr").read_text()
length = time.monotonic() - begin
chance = random.Random(0)
sources, ended = ["one.onnx", "two.onnx"], set()
for number in range(moments):
    before, source = tree(), sources[number % 2]
    child = start(source, ["--no-cache"])
    time.sleep(length * (number + chance.random()) / moments)
    os.kill(child, which)
    code = wait(child)
    after, error = tree(), Path("stderr").read_text()
    ended.add(code)
    if which == signal.SIGINT:
        early = code == 99 and error == "KeyboardInterrupt()"  # before kit's own code ran, or after
        assert early or code in (0, 130), (number, code, error)
        told = "kit: interrupted; what stood in the output folder still stands\\n"
        assert early or error == ("" if code == 0 else told), error
        assert hidden() == [], (number, hidden(), error)
    changed = after != before
    assert wait(start(source, [])) == 0, (number, Path("stderr").read_text())
    assert not changed or after == tree(), number  # what was published by the killed run is what is published now
    assert hidden() == [], (number, hidden(), error)
    assert sorted(p.name for p in output.iterdir()) == ["m"], number
assert -9 in ended or 130 in ended, ended
'''


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    models.save(models.classifier(seed=1), tmp_path / "one.onnx")
    models.save(models.detector(seed=2), tmp_path / "two.onnx")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER, name, "15"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


AFTER = """
import os, signal, sys
import kit.cli
from kit.stages import Stages

finished, stage = Stages.finished, sys.argv.pop(1)

def interrupted(self, name, *rest, **more):
    finished(self, name, *rest, **more)
    if name == stage:
        os.kill(os.getpid(), signal.SIGINT)

Stages.finished = interrupted
kit.cli.main()
"""


@pytest.mark.parametrize("stage", ["load", "simplify", "interpret", "contract"])
def test_after_each_stage_of_a_real_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    models.save(models.classifier(), tmp_path / "model.onnx")
    command = [sys.executable, "-c", AFTER, stage, "generate", "model.onnx", "--no-verify", "--output", "a/b/out"]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=600)
    told = done.stderr.splitlines()
    assert done.returncode == 130, told
    assert any(line.split()[:1] == [stage] for line in told)
    assert told[-1] == "kit: interrupted; what stood in the output folder still stands"
    assert sum(line.startswith("kit: ") for line in told) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "model.onnx"]


def test_the_reader_of_the_answer_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``kit generate --json | head -0`` ends without a traceback."""
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    models.save(models.scale(), tmp_path / "model.onnx")
    command = [sys.executable, "-m", "kit", "generate", "model.onnx", "--no-verify", "--json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    started = time.monotonic()
    process.wait(timeout=60)
    assert time.monotonic() - started < 20
    assert error == ""
    assert (tmp_path / "model_repository/model/1/model.onnx").is_file()
