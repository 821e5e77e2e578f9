"""``kit generate SPEC.yaml``, ``kit init`` and ``kit schema`` as they are typed: what is shown, said and left."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import models
import pytest

from .conftest import Kit

TWO = "models:\n  - {source: model.onnx, name: first}\n  - {source: model.onnx, name: second}\n"
BAD = "models:\n  - {source: model.onnx, labels: labels.txt, name: bad}\n  - {source: model.onnx, name: good}\n"
SLEEPS = "import time, pathlib\ndef build():\n    pathlib.Path('begun').touch()\n    time.sleep(100)\n"
TOLD = "kit: interrupted; what stood in the output folder still stands\n"


@pytest.fixture(autouse=True)
def files(kit_command: Kit) -> None:
    models.save(models.classifier(), Path("model.onnx"))
    Path("labels.txt").write_text("one\ntwo\n")


def spec(text: str) -> str:
    Path("spec.yaml").write_text(text)
    return "spec.yaml"


def test_every_mistake_is_told_and_nothing_made(kit_command: Kit) -> None:
    before = sorted(Path().iterdir())
    outcome = kit_command("generate", spec("models:\n  - source: modle.onnx\n    task: detct\n"), "--quiet", "--json")
    assert (outcome.code, outcome.out) == (25, "")
    assert outcome.err.splitlines() == [
        "kit: spec.yaml: 2 mistakes; docs/spec.md has the keys",
        "spec.yaml:2:13: modle.onnx does not exist; ./ holds model.onnx",
        f"spec.yaml:3:11: {outcome.err.partition('spec.yaml:3:11: ')[2].strip()}",
    ]
    assert sorted(Path().iterdir()) == sorted([*before, Path("spec.yaml")])


def test_one_of_two_fails(kit_command: Kit) -> None:
    outcome = kit_command("generate", spec(BAD), "--no-verify", "--workers", "1")
    assert (outcome.code, outcome.out) == (2, "")
    lines = outcome.err.splitlines()
    reason = "labels labels.txt has 2 lines, the model has 3 classes"
    assert lines[0] == "2 models, one at a time (as asked for)"
    assert re.search(rf"^  bad   failed after \d+\.\d s: {reason}$", outcome.err, re.MULTILINE)
    assert re.search(r"^  good  publish +\d+\.\d s  model_repository/good/1$", outcome.err, re.MULTILINE)
    assert re.search(r"^2 models in \d+\.\d s: 1 published, 1 failed$", outcome.err, re.MULTILINE)
    assert "  bad   FAILED" in lines
    assert "  good  version 1   x86-cpu NOT VERIFIED" in lines
    assert lines[-1] == f"kit: bad: {reason}"
    assert "\x1b" not in outcome.err
    assert [p.name for p in Path("model_repository").iterdir()] == ["good"]

    again = kit_command("generate", "spec.yaml", "--no-verify", "--json")
    answer = json.loads(again.out)
    assert (again.code, again.err) == (2, f"kit: bad: {reason}\n")
    assert answer["models"][0] == {"name": "bad", "result": None,
                                   "failure": {"message": reason, "exit_code": 2, "trace": ""}}  # fmt: skip
    assert answer["models"][1]["result"]["entry"] == {
        "name": "good", "path": "model_repository/good", "version": 1, "changed": False,
    }  # fmt: skip


def test_of_one_model_it_is_as_of_the_model(kit_command: Kit) -> None:
    outcome = kit_command("generate", spec("models:\n  - source: model.onnx\n"), "--no-verify")
    assert (outcome.code, outcome.out) == (0, "")
    assert re.findall(r"^  (\w+) +\d+\.\d s ", outcome.err, re.MULTILINE)[-1] == "publish"
    assert outcome.err.rstrip().endswith("serve it:  kit serve model_repository")
    alone = kit_command("generate", "model.onnx", "--no-verify")
    assert "unchanged model_repository/model version 1" in alone.err
    failed = kit_command(
        "generate", spec("models:\n  - {source: model.onnx, labels: labels.txt}\n"), "--no-verify", "--quiet"
    )
    failed.refuses(2, "kit: labels labels.txt has 2 lines")


def test_options_stand_above_the_file(kit_command: Kit) -> None:
    outcome = kit_command(
        "generate", spec(f"output: elsewhere\n{TWO}"), "--quiet", "--no-verify", "--target", "t4", "--output", "out"
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert sorted(p.name for p in Path("out").iterdir()) == ["first", "second"]
    assert [p.name for p in Path("out/first/configs").iterdir()] == ["t4.pbtxt"]
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "x"], '--name is for one model and spec.yaml has 2; write "name:" at the model in spec.yaml'),
        (["--task", "raw"], 'write "task:" at the model or under defaults in spec.yaml'),
        (["--mean", "1,2,3"], "--mean is for one model"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_options_of_one_model_are_refused_for_two(kit_command: Kit, arguments: list[str], words: str) -> None:
    kit_command("generate", spec(TWO), *arguments).refuses(2, words)


def test_workers_are_for_specs(kit_command: Kit) -> None:
    kit_command("generate", "model.onnx", "--workers", "2").refuses(2, "--workers is for a spec file")


def test_a_spec_that_is_not_there(kit_command: Kit) -> None:
    kit_command("generate", "spce.yaml").refuses(10, "spce.yaml does not exist; write one with: kit init MODEL")
    spec(TWO)
    kit_command("generate", "spce.yaml").refuses(10, "spce.yaml does not exist; ./ holds spec.yaml")


class TestInit:
    def test_writes_what_generate_takes(self, kit_command: Kit) -> None:
        outcome = kit_command("init", "model.onnx", "--target", "t4", "--name", "other")
        assert (outcome.code, outcome.out) == (0, "")
        assert outcome.err == "wrote spec.yaml; look at it, then: kit generate spec.yaml\n"
        assert kit_command("generate", "spec.yaml", "--no-verify", "--quiet").code == 0
        assert Path("model_repository/other/configs/t4.pbtxt").is_file()
        first = Path("model_repository/other/manifest.json").read_bytes()
        direct = [
            "generate",
            "model.onnx",
            "--name",
            "other",
            "--target",
            "t4",
            "--no-verify",
            "--quiet",
            "--output",
            "o",
        ]
        assert kit_command(*direct).code == 0
        assert Path("o/other/manifest.json").read_bytes() == first

    def test_prints(self, kit_command: Kit) -> None:
        outcome = kit_command("init", "model.onnx", "--output", "-")
        assert (outcome.code, outcome.err) == (0, "")
        assert "  - source: model.onnx\n    \n" not in outcome.out
        assert "\nmodels:\n" in outcome.out
        assert not Path("spec.yaml").exists()

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["modle.onnx"], 10, "does not exist"),
            (["model.onnx", "--target", "t5"], 20, 'did you mean "t4"?'),
            (["model.onnx", "--task", "detect"], 15, "scores FP32[-1, 3]"),
            (["model.onnx", "--task", "detct"], 21, 'did you mean "detect"?'),
            (["model.onnx", "--output", "nowhere/spec.yaml"], 40, "nowhere/spec.yaml cannot be written"),
            (["model.onnx", "--output", "."], 2, ". is there already"),
            (["labels.txt"], 11, "labels.txt"),
        ],
    )
    def test_refuses(self, kit_command: Kit, arguments: list[str], code: int, words: str) -> None:
        kit_command("init", *arguments).refuses(code, words)
        assert not Path("spec.yaml").exists()


def test_schema_is_printed(kit_command: Kit) -> None:
    outcome = kit_command("schema")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["required"] == ["models"]


def test_on_a_terminal_there_is_one_table(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kit", "generate", spec(TWO), "--no-verify"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stderr=theirs, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux: the other end has gone
            pass
        assert process.wait(60) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"[\u2800-\u28ff]  first +\w+ +\d+ s", text)
    assert "0 of 2 done, " in text
    assert re.search(r"  first   published version 1 in \d+\.\d s", text)
    assert re.search(r"2 models in \d+\.\d s: 2 published", text)
    assert "simplify  " not in text.partition("2 models in")[2]


def children(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                folder = (entry / "cwd").readlink()
            except OSError:
                continue
            if folder == Path.cwd() and word in line:
                found.append(line)
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_ended_in_the_middle(kit_command: Kit, number: int, code: int) -> None:
    """What is published until then stays; workers end; the next run makes the rest."""
    Path("torch.py").write_text("class nn:\n    class Module:\n        pass\n")
    Path("net.py").write_text(SLEEPS)
    text = f"{TWO}  - {{source: 'net:build', name: third}}\n"
    command = [sys.executable, "-m", "kit", "generate", spec(text), "--no-verify", "--quiet", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not Path("begun").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert len(children("kit.worker")) == 1
    process.send_signal(number)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told) == (code, "" if number == signal.SIGKILL else TOLD)
    while children("kit.worker") and time.monotonic() < until:
        time.sleep(0.02)
    assert children("kit.worker") == []
    assert sorted(p.name for p in Path("model_repository").iterdir()) == ["first", "second"]
    assert list(Path().glob(".*")) == []
    spec(TWO.replace("second", "third"))
    assert kit_command("generate", "spec.yaml", "--no-verify", "--quiet").code == 0
    assert sorted(p.name for p in Path("model_repository").iterdir()) == ["first", "second", "third"]
