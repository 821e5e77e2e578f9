"""A signal ends a command in one line, whatever was at work: also an import that answers with another error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import models
import onnx
import onnx.parser
import pytest

import kit.cli
from cli.conftest import Kit
from kit.errors import NotWritableError
from kit.quiet import silenced

TOLD = "kit: interrupted; what stood in the output folder still stands\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("answer", [ImportError("numpy._core.umath failed to import"), None])
def test_what_a_library_makes_of_it_is_not_told(
    kit_command: Kit, monkeypatch: pytest.MonkeyPatch, number: int, code: int, answer: Exception | None
) -> None:
    def work() -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            if answer is None:
                raise
            raise answer from None

    monkeypatch.setattr("kit.cache.usage", work)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    outcome = kit_command("cache")
    assert (outcome.code, outcome.out, outcome.err) == (code, "", TOLD)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("error", "code"), [(ImportError("umath"), 130), (NotWritableError("said by it"), 40)])
def test_a_command_with_handlers_of_its_own_is_believed_what_it_says_itself(
    kit_command: Kit, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """``kit serve``, which imports its client while its own handlers are in place."""

    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise error

    monkeypatch.setattr("kit.cache.usage", work)
    outcome = kit_command("cache")
    assert (outcome.code, outcome.err) == (code, TOLD if code == 130 else "kit: said by it\n")


def test_python_cannot_drop_it(kit_command: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised while an object is deleted is printed and forgotten, unless somebody minds."""

    class Deleted:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(10_000))

    def work() -> None:
        Deleted()
        time.sleep(2)
        pytest.fail("went on after Ctrl-C")

    monkeypatch.setattr("kit.cache.usage", work)
    outcome = kit_command("cache")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", TOLD)


def test_it_is_told_where_it_came_between_a_block_and_python(kit_command: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just then nobody has been told to put the streams back."""

    def work() -> None:
        block = silenced()
        block.__enter__()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("kit.cache.usage", work)
    outcome = kit_command("cache")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", TOLD)


def test_a_fault_without_a_signal_is_still_one(kit_command: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        raise ImportError("a fault")

    monkeypatch.setattr("kit.cache.usage", work)
    with pytest.raises(ImportError, match="a fault"):
        kit_command("cache")


def test_an_ignored_one_stays_ignored(kit_command: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in ``nohup`` and in a script's background."""
    from kit import cache

    original = cache.usage

    def work() -> cache.Usage:
        os.kill(os.getpid(), signal.SIGINT)
        return original()

    monkeypatch.setattr(cache, "usage", work)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert kit_command("cache").code == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_there_are_none(kit_command: Kit) -> None:
    import threading

    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(kit.cli.run(["cache"])))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Nor, after SIGTERM, beside the repository; what SIGKILL leaves there the next run sweeps."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(temporary))
    models.save(models.classifier(), tmp_path / "model.onnx")
    command = [sys.executable, "-m", "kit", "generate", "model.onnx", "--no-verify", "--output", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(number)
    told = process.stderr.read()
    process.stderr.close()
    if number == signal.SIGTERM:
        assert process.wait(timeout=60) == 143, told
        assert told.endswith(TOLD)
        assert sorted(p.name for p in tmp_path.glob(".*")) == []
    else:
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert list(temporary.glob("kit-*")) == []


ENDLESS = """
<ir_version: 8, opset_import: ["": 17]>
graph (float[batch, 4] x) => (float[batch, 4] y)
<int64 n = {4611686018427387904}, bool t = {1}>
{
  y = Loop (n, t, x) <body: graph = body (int64 i, bool c, float[] v) => (bool c2, float[] v2) {
    c2 = Identity (c)
    v2 = Abs (v)
  }>
}
"""


def test_a_network_without_end_is_interrupted(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(ENDLESS), str(tmp_path / "model.onnx"))
    command = [sys.executable, "-m", "kit", "generate", "model.onnx", "--no-verify"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stderr is not None
    for line in process.stderr:
        if line.split()[:1] == ["contract"]:  # next it is run
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), rest.splitlines()[-1:]) == (130, [TOLD.strip()])


def test_a_network_without_end_is_ended(kit_command: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.graph.ANSWER_LIMIT_S", 0.5)
    onnx.save(onnx.parser.parse_model(ENDLESS), str(tmp_path / "model.onnx"))
    outcome = kit_command("generate", str(tmp_path / "model.onnx"), "--no-verify", "--quiet")
    assert (outcome.code, outcome.err) == (
        15,
        "kit: the model does not answer within 0.5 s on this machine; does a Loop in it ever end?\n",
    )
