"""docs/spec.md: its example is run, its table is the table."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import kit.cli
from kit.specfile.fields import MODEL, RUN, Group, Key

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def row(key: Key | Group) -> str:
    """Return the line of the table for a key."""
    if isinstance(key, Group):
        parts = "; ".join(f"`{part.name}`: {part.kind.expects} ({part.default})" for part in key.keys)
        return f"| `{key.name}` | {key.help} {' '.join(f'`{p.name}`: {p.help}' for p in key.keys)} | {parts} | |"
    return f"| `{key.name}` | {key.help} | {key.kind.expects} | {key.default} |"


def test_the_table_has_every_key_as_it_is() -> None:
    expected = [row(key) for key in (*RUN, *MODEL)]
    found = [
        line for line in TEXT.splitlines() if line.startswith("| `") and not line.startswith(("| `models", "| `def"))
    ]
    assert found == expected


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert example is not None
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    digits = ROOT / "examples" / "digits"
    shutil.copy(digits / "digits.onnx", tmp_path)
    shutil.copytree(digits / "calibration", tmp_path / "calibration")
    Path("labels.txt").write_text("".join(f"digit {n}\n" for n in range(10)))
    Path("spec.yaml").write_text(example[1])
    code = kit.cli.run(["generate", "spec.yaml", "--no-verify", "--json"])
    captured = capfd.readouterr()
    assert (code, captured.err) == (0, "")
    models = json.loads(captured.out)["models"]
    assert [model["name"] for model in models] == ["digits", "digits-native"]
    first, second = (model["result"]["manifest"] for model in models)
    assert first["interpretation"]["thresholds"] == {"score": 0.3, "iou": 0.5, "max_detections": 50}
    assert list(first["targets"]) == ["x86-cpu", "t4"]
    assert list(second["targets"]) == ["orin-nx-16gb"]
    assert Path("model_repository/digits/labels.txt").read_text().startswith("digit 0\n")
    assert "max_batch_size: 2\n" in Path("model_repository/digits-native/config.pbtxt").read_text()
    assert sorted(json.loads(Path("model_repository.report.json").read_text())["models"]) == ["digits", "digits-native"]
