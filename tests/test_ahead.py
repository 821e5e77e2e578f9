"""What is made ready while another process exports: nothing heavy is left to import when its file is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import models
from test_imports import HEAVY

from kit import render, templating

RUN = """
import sys
from kit import ahead
import kit.cli, kit.pipeline, kit.cli._display
ahead.make_ready()
before = set(sys.modules)
assert kit.cli.run(["generate", "model.onnx", "--no-verify", "--quiet"]) == 0
print(*sorted(set(sys.modules) - before))
"""


def test_no_later_stage_has_a_library_to_import(tmp_path: Path) -> None:
    models.save(models.detector(batch=1), tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"KIT_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    late = {name for name in done.stdout.split() if any(name == h or name.startswith(f"{h}.") for h in HEAVY)}
    assert {name for name in late if not name.startswith("google.protobuf.")} == set()
    assert not any(name.startswith(("kit.heads.yolo", "kit.tasks.detect")) for name in done.stdout.split())


def test_the_template_is_compiled_once() -> None:
    render.make_ready()
    arguments = ("config.pbtxt.j2", (render.quote, render.numbers))
    assert templating.compiled(*arguments) is templating.compiled(*arguments)
