"""What the driver, or a Jetson's own files, tell of the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.engines import gpus
from kit.engines.provenance import Gpu


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("Tesla T4, 7.5, 580.65.06", Gpu(name="Tesla T4", compute_capability="7.5", driver="580.65.06")),
        ("RTX A2000, 12GB, 8.6, 515.65", Gpu(name="RTX A2000, 12GB", compute_capability="8.6", driver="515.65")),
        ("Orin (nvgpu), [N/A], 540.4.0", Gpu(name="Orin (nvgpu)", compute_capability=None, driver="540.4.0")),
        ("No devices were found", None),
    ],
)  # fmt: skip
def test_a_row_of_nvidia_smi(row: str, found: Gpu | None) -> None:
    assert gpus.of_row(row) == found


def test_a_jetson_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    model, l4t = tmp_path / "model", tmp_path / "l4t"
    model.write_bytes(b"NVIDIA Jetson Xavier NX Developer Kit\0")
    l4t.write_text("# R35 (release), REVISION: 5.0, GCID: 35550185, BOARD: t186ref\n")
    found = gpus.found(jetson=model, l4t=l4t)
    assert found is not None
    assert (found.name, found.compute_capability) == ("NVIDIA Jetson Xavier NX Developer Kit", None)
    assert found.driver == "R35 (release), REVISION: 5.0"


@pytest.mark.parametrize("program", [None, "#!/bin/sh\nexit 9\n", "#!/bin/sh\necho\n"])
def test_no_gpu(program: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if program else str(tmp_path))
    if program is not None:
        (tmp_path / "nvidia-smi").write_text(program)
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpus.found(jetson=tmp_path / "absent", l4t=tmp_path / "absent") is None
