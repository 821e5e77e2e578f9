"""A machine without PyTorch: ONNX files work, and a PyTorch source is answered with the extra to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import models

PROGRAM = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnxscript"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder())
import kit.cli

assert kit.cli.run(["generate", "m.onnx", "--no-verify", "--quiet"]) == 0
assert kit.cli.run(["generate", "net:build", "--no-verify", "--quiet"]) == 60
"""


def test_onnx_files_work_and_the_extra_is_named(tmp_path: Path) -> None:
    models.save(models.scale(), tmp_path / "m.onnx")
    (tmp_path / "net.py").write_text("import torch\n")
    environment = {**os.environ, "KIT_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "kit: the source net:build needs torch, which is not installed; run: pip install 'triton-edge-kit[torch]'\n"
    )
