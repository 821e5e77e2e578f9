"""What a person sees of ``kit generate``, on a terminal, in a file, and not at all."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import models
import pytest

import kit.cli
from kit import pipeline, spec
from kit.cli import _display
from kit.cli._display import Display, result_lines
from kit.planning import Options
from kit.types import Thresholds, Verification

LEVELS = ("live", "weights", "offline", "none")


@pytest.fixture(autouse=True)
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    models.save(models.classifier(), Path("tiny.onnx"))


@pytest.fixture
def result() -> pipeline.Result:
    asked = spec.build("tiny.onnx", name=None, targets=("x86-cpu", "t4"), thresholds=Thresholds())
    return pipeline.generate(asked, Options(verify="none"))


class TestARun:
    def test_tells_each_stage_in_order_on_standard_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert kit.cli.run(["generate", "tiny.onnx", "--no-verify"]) == 0
        out, err = capfd.readouterr()
        assert out == ""
        stages = re.findall(r"^  (\w+) +\d+\.\d s ", err, re.MULTILINE)
        assert stages == ["load", "simplify", "interpret", "contract", "compare", "publish"]
        assert (
            "classify (logits, likely): one output [N, 3] of logits (ends in a linear layer), softmax is added; mean"
            in err
        )
        assert "; mean [0.485, 0.456, 0.406] and std" in err
        assert "x UINT8[N, 8, 10, 3] -> probabilities FP32[N, 3]" in err
        assert "not verified by a real Triton: --no-verify was given" in err
        assert "published model_repository/tiny version 1 in " in err
        assert err.rstrip().endswith("serve it:  kit serve model_repository")
        assert "\x1b" not in err

    def test_tells_what_was_done_before(self, capfd: pytest.CaptureFixture[str]) -> None:
        for _ in range(2):
            assert kit.cli.run(["generate", "tiny.onnx", "--no-verify"]) == 0
        again = capfd.readouterr().err.partition("serve it")[2]
        assert re.findall(r"^  (\w+) +cached ", again, re.MULTILINE) == [
            "load",
            "simplify",
            "interpret",
            "contract",
            "compare",
        ]
        assert "unchanged model_repository/tiny version 1 in " in again

    def test_the_command_at_the_end_can_be_copied(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert kit.cli.run(["generate", "tiny.onnx", "--no-verify", "--output", "my models"]) == 0
        assert capfd.readouterr().err.rstrip().endswith("serve it:  kit serve 'my models'")

    def test_quiet_says_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert kit.cli.run(["generate", "tiny.onnx", "--no-verify", "--quiet"]) == 0
        assert capfd.readouterr() == ("", "")

    def test_names_are_never_read_as_markup(self, capfd: pytest.CaptureFixture[str]) -> None:
        with Display() as display:
            display.done("[bold]", "[red]x[/red] :smile: [N, 3]", 1.0, cached=False)
            display.note("[/]")
        err = capfd.readouterr().err
        assert "[bold]" in err
        assert "[red]x[/red] :smile: [N, 3]" in err
        assert "[/]" in err

    def test_long_lines_are_left_whole(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "20")
        with Display() as display:
            display.done("load", "word " * 40, 0.0, cached=False)
        assert len(capfd.readouterr().err.splitlines()) == 1


class TestTheEnd:
    @pytest.mark.parametrize("level", LEVELS)
    def test_every_level_has_its_word(self, level: str, result: pipeline.Result) -> None:
        seen = Verification(
            target="x86-cpu", level=level, server="Triton 1.2.3", reason="" if level == "live" else "because"
        )
        targets = {**result.manifest.targets}
        targets["x86-cpu"] = replace(targets["x86-cpu"], verification=seen)
        lines = [
            line.plain for line in result_lines(replace(result, manifest=replace(result.manifest, targets=targets)))
        ]
        (line,) = (text for text in lines if text.strip().startswith("x86-cpu"))
        verified = level in ("live", "weights")
        assert ("NOT VERIFIED" in line) != verified
        assert ("verified" in line) == verified
        assert line.endswith("Triton 1.2.3" if level == "live" else "because")

    def test_the_levels_are_those_of_the_type(self) -> None:
        assert set(_display.WORDS) == set(_display.MARK) == set(LEVELS)
        assert all(f"``{level}``" in (Verification.__doc__ or "") for level in LEVELS)

    def test_every_target_has_its_line(self, result: pipeline.Result) -> None:
        lines = [line.plain.split()[0] for line in result_lines(result) if line.plain.startswith("  ")]
        assert lines == ["x86-cpu", "t4"]


class TestOnATerminal:
    @pytest.fixture
    def screen(self) -> str:
        """Run the command with a terminal as its standard error; return all that came there."""
        terminal, end = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "kit", "generate", "tiny.onnx", "--no-verify"],
            stdout=subprocess.PIPE, stderr=end, env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(end)
        seen = b""
        while True:
            try:
                block = os.read(terminal, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not block:
                break
            seen += block
        os.close(terminal)
        out, _ = process.communicate(timeout=300)
        assert (process.returncode, out) == (0, b"")
        return seen.decode()

    def test_a_spinner_turns_and_goes_and_the_cursor_comes_back(self, screen: str) -> None:
        assert re.search(r"load \.\.\.|simplify \.\.\.", screen)
        assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h") > 0
        assert "published" in screen
        assert "\x1b[31mNOT VERIFIED" in screen


@pytest.mark.parametrize("command", [["inspect"], ["generate", "--no-verify", "--output", "out"]])
def test_names_in_a_model_do_not_act_on_the_terminal(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b[2J\x1b[31mred"
    shape = (models.BATCH, 2)
    model = models.build([models.node("Relu", name, "y")], [(name, models.FLOAT, shape)], [("y", models.FLOAT, shape)])
    models.save(model, tmp_path / "named.onnx")
    monkeypatch.chdir(tmp_path)
    assert kit.cli.run([*command, "named.onnx"]) == 0
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert r"\x1b[2J\x1b[31mred" in out + err
