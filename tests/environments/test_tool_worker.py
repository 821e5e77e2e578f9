"""Scripts in another environment: what goes over the wire, and what is said when they fail, die or are left."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kit.environments import Environment, ScriptError, Worker, wire
from kit.errors import InputsError, OutOfMemoryError, ToolEnvironmentError, WorkerDiedError

SCRIPT = """
import os, signal, sys, time
loaded = os.getpid()

def echo(ask):
    print("a library prints to standard output")
    os.write(1, b"and so does its C part")
    print("and to the other", file=sys.stderr)
    return ask.data, ask.arrays

def total(ask):
    count = sums = 0
    for _ in range(ask.data["times"]):
        for item in ask.stream("feeds"):
            count += 1
            sums += int(item["x"].sum())
            ask.tell(f"{count} done")
    return {"count": count, "sum": sums}, {}

def refuse(ask):
    from kit_wire import Refused
    raise Refused("it has no such operator;\\n try another")

def fail(ask):
    return {}, {"x": __import__("numpy").array(["text"], dtype=object)}

def exhaust(ask):
    raise MemoryError

def die(ask):
    print("terrible", file=sys.stderr, flush=True)
    os.kill(os.getpid(), ask.data["signal"])

def leave(ask):
    os._exit(3)

def pid(ask):
    return {"pid": os.getpid(), "loaded": loaded}, {}

def sleep(ask):
    ask.tell(str(os.getpid()))
    time.sleep(60)
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """This very Python as an environment: what is tested here is the talk, not the packages."""
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "script.py").write_text(SCRIPT)
    return Environment(name="here", purpose="Here", root=tmp_path, python=Path(sys.executable), digest="")


@pytest.fixture
def worker(environment: Environment) -> Iterator[Worker]:
    with Worker(environment, environment.root / "script.py") as started:
        yield started


DTYPES = st.sampled_from(["bool", "u1", "i1", "u2", "i4", "i8", "f2", "f4", "f8", ">f4"]).map(np.dtype)


@given(st.dictionaries(st.text(max_size=5), DTYPES.flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=5))
), max_size=3), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))  # fmt: skip
def test_what_is_sent_is_what_arrives(sent: dict[str, Any], said: dict[str, Any]) -> None:
    pipe = io.BytesIO()
    wire.send(pipe, {"data": said}, sent)
    pipe.seek(0)
    message = wire.receive(pipe)
    assert message is not None
    header, came = message
    assert header == {"data": said}
    assert list(came) == list(sent)
    for name, array in sent.items():
        assert came[name].dtype == array.dtype
        assert came[name].shape == array.shape
        assert came[name].tobytes() == array.tobytes()
    assert wire.receive(pipe) is None


def test_a_message_that_is_cut_short_or_none_is_told() -> None:
    pipe = io.BytesIO()
    wire.send(pipe, {}, {"x": np.arange(4)})
    whole = pipe.getvalue()
    for end in range(1, len(whole)):
        with pytest.raises(wire.WireError, match="cut short"):
            wire.receive(io.BytesIO(whole[:end]))
    with pytest.raises(wire.WireError, match="does not speak this protocol"):
        wire.receive(io.BytesIO(b"HTTP/1.1 200 OK\r\n"))
    with pytest.raises(wire.WireError, match="x is an array of object, which is not sent"):
        wire.send(pipe, {}, {"x": np.array([print])})


class TestCalls:
    def test_data_and_arrays_come_back_whatever_libraries_print(self, worker: Worker) -> None:
        x = np.arange(12, dtype=np.float16).reshape(3, 4)[:, ::2]
        answer = worker.call("echo", {"a": [1, None, "ü"]}, {"x": x, "y": np.uint8(7)})
        assert answer.data == {"a": [1, None, "ü"]}
        np.testing.assert_array_equal(answer.arrays["x"], x)
        assert answer.arrays["y"].shape == ()
        answer.arrays["x"][0, 0] = 5  # they are the caller's own

    def test_a_module_is_loaded_once(self, worker: Worker) -> None:
        first, second = worker.call("pid").data, worker.call("pid").data
        assert first == second
        assert first["pid"] == first["loaded"] != os.getpid()

    def test_pictures_stay_with_the_kit_until_they_are_asked_for(self, worker: Worker) -> None:
        made: list[int] = []
        told: list[str] = []

        def feeds() -> Iterator[dict[str, Any]]:
            for number in range(3):
                made.append(number)
                yield {"x": np.full(2, number)}

        answer = worker.call("total", {"times": 2}, streams={"feeds": feeds}, tell=told.append)
        assert answer.data == {"count": 6, "sum": 12}
        assert made == [0, 1, 2, 0, 1, 2]
        assert told == [f"{n} done" for n in range(1, 7)]

    def test_what_a_stream_raises_is_raised_here(self, worker: Worker) -> None:
        def feeds() -> Iterator[dict[str, Any]]:
            yield {"x": np.zeros(1)}
            raise InputsError("a.jpg is no picture")

        with pytest.raises(InputsError, match=r"a\.jpg is no picture"):
            worker.call("total", {"times": 1}, streams={"feeds": feeds})
        assert worker.call("total", {"times": 0}).data == {"count": 0, "sum": 0}

    def test_a_large_array_both_ways(self, worker: Worker) -> None:
        x = np.random.default_rng(0).integers(0, 255, (8, 640, 640, 3), dtype=np.uint8)
        start = time.process_time()
        answer = worker.call("echo", {}, {"x": x})
        assert time.process_time() - start < 5
        assert answer.arrays["x"].tobytes() == x.tobytes()

    def test_threads_take_turns(self, worker: Worker) -> None:
        answers: list[bool] = []

        def ask(number: int) -> None:
            came = worker.call("echo", {"n": number}, {"x": np.full(100_000, number)})
            answers.append(came.data == {"n": number} and bool((came.arrays["x"] == number).all()))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 4


class TestFailures:
    def test_a_refusal_has_its_kind_and_is_one_line(self, worker: Worker) -> None:
        with pytest.raises(ScriptError, match=r"^it has no such operator; try another$") as raised:
            worker.call("refuse")
        assert raised.value.kind == "Refused"
        assert worker.call("echo").data == {}  # it lives

    def test_an_answer_that_cannot_be_sent(self, worker: Worker) -> None:
        with pytest.raises(ScriptError, match="x is an array of object, which is not sent") as raised:
            worker.call("fail")
        assert raised.value.kind == "WireError"
        with pytest.raises(ScriptError, match="no attribute 'nothing'"):
            worker.call("nothing")

    def test_a_request_that_cannot_be_sent_leaves_it_whole(self, worker: Worker) -> None:
        with pytest.raises(wire.WireError, match="x is an array of <U4"):
            worker.call("echo", {}, {"x": np.array(["text"])})
        assert worker.call("echo").data == {}

    def test_memory_that_runs_out(self, worker: Worker) -> None:
        with pytest.raises(OutOfMemoryError, match="Here: not enough memory; use smaller"):
            worker.call("exhaust")

    def test_a_death_is_told_with_its_last_words(self, worker: Worker) -> None:
        with pytest.raises(WorkerDiedError, match=r"ran Here ended by itself \(Segmentation fault\): terrible"):
            worker.call("die", {"signal": int(signal.SIGSEGV)})
        with pytest.raises(WorkerDiedError):
            worker.call("echo")

    def test_the_systems_kill_is_told_as_memory(self, worker: Worker) -> None:
        with pytest.raises(OutOfMemoryError, match="the process that ran Here was killed, as the system does where"):
            worker.call("die", {"signal": int(signal.SIGKILL)})

    def test_one_that_leaves(self, worker: Worker) -> None:
        with pytest.raises(WorkerDiedError, match=r"\(exit code 3\): it said nothing"):
            worker.call("leave")

    def test_a_script_that_does_not_load(self, environment: Environment) -> None:
        (environment.root / "script.py").write_text("import nothing_there\n")
        worker = Worker(environment, environment.root / "script.py")
        with worker, pytest.raises(ScriptError, match="No module named 'nothing_there'") as raised:
            worker.call("echo")
        assert raised.value.kind == "ModuleNotFoundError"

    def test_a_python_that_has_gone(self, environment: Environment) -> None:
        gone = Environment(name="g", purpose="Gone", root=environment.root, python=Path("/nowhere/python"), digest="")
        with pytest.raises(ToolEnvironmentError, match="/nowhere/python cannot be run: No such file"):
            Worker(gone, environment.root / "script.py").__enter__()


def gone(pid: int) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestEnds:
    def test_the_process_ends_with_the_block_in_the_middle_of_its_work(self, environment: Environment) -> None:
        told: list[str] = []

        class StopError(Exception):
            pass

        def stop(pid: str) -> None:
            told.append(pid)
            raise StopError

        with pytest.raises(StopError), Worker(environment, environment.root / "script.py") as worker:
            worker.call("sleep", tell=stop)
        assert gone(int(told[0]))

    def test_it_ends_with_a_kit_that_is_killed(self, environment: Environment) -> None:
        code = (
            "import sys; from pathlib import Path; from kit.environments import Environment, Worker\n"
            f"root = Path({str(environment.root)!r})\n"
            "e = Environment(name='h', purpose='H', root=root, python=Path(sys.executable), digest='')\n"
            "with Worker(e, root / 'script.py') as w: w.call('sleep', tell=lambda pid: print(pid, flush=True))"
        )
        run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.kill()
        run.communicate()
        assert gone(pid)
