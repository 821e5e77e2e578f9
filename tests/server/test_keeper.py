"""What the sweep after a dead server ends, and what it leaves alone."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.server import keeper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def test_only_the_servers_own_processes_are_ended(tmp_path: Path) -> None:
    prefix = f"kit-{os.getpid()}-{secrets.token_hex(4)}-"
    stub = tmp_path / "triton_python_backend_stub"
    shutil.copy(shutil.which("tail") or "", stub)
    watched = tmp_path / f"{prefix}" / "model.py"
    watched.parent.mkdir()
    watched.touch()
    own, users = (subprocess.Popen([program, "-f", watched], stdout=subprocess.DEVNULL) for program in (stub, "tail"))
    try:
        keeper.sweep(prefix)
        assert own.wait(timeout=60) == -9
        assert users.poll() is None
    finally:
        for process in (own, users):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("/x/bin/tritonserver --backend-config=python,shm-region-prefix-name=kit-1-ab-", True),
        ("/run/kit-1-ab-/backends/python/triton_python_backend_stub /r/m/1/model.py", True),
        ("/usr/bin/python3 -I -S /k/kit/server/keeper.py 7 kit-1-ab- tritonserver", True),
        ("/x/bin/tritonserver --backend-config=python,shm-region-prefix-name=kit-2-ab-", False),
        ("vim /run/kit-1-ab-/keeper.py", False),
        ("grep kit-1-ab- tritonserver", False),
    ],
)
def test_what_is_ours(line: str, ours: bool) -> None:
    assert keeper._is_ours([part.encode() for part in line.split()], b"kit-1-ab-") is ours
