"""Ultralytics' models: exported by the user's own installation, in a process of its own, offline."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import models
import pytest

import kit.cli
from kit import sources
from kit.errors import ExportError, MissingExtraError, SourceNotFoundError, UsageError

INSTALLED = importlib.util.find_spec("ultralytics") is not None

STAND_IN = '''
"""Stands for Ultralytics' command line at the edge of the process: writes down how it was called, copies a model."""
import atexit, gc, json, os, pathlib, shutil, sys
import torch


def entrypoint():
    told = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    here = pathlib.Path()
    settings = {k: v for k, v in os.environ.items() if k.startswith("YOLO_")}
    seen = {"argv": sys.argv[1:], "settings": settings, "files": sorted(p.name for p in here.iterdir()),
            "seed": torch.initial_seed(), "collects": gc.isenabled(),
            "without": [k for k, v in sys.modules.items() if v is None]}
    pathlib.Path(os.environ["SEEN"]).write_text(json.dumps(seen))
    atexit.register(pathlib.Path(os.environ["SEEN"]).with_name("ended").touch)
    if os.environ.get("FAIL"):
        print("Traceback ...", file=sys.stderr)
        sys.exit("AssertionError: no head")
    shutil.copy(os.environ["ANSWER"], pathlib.Path(told["model"]).stem + ".onnx")
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("KIT_ULTRALYTICS_PYTHON", raising=False)
    return folder


@pytest.fixture
def stand_in(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a package into the way of the other process; return where it writes what it saw."""
    site = tmp_path / "site"
    (site / "ultralytics").mkdir(parents=True)
    (site / "ultralytics" / "__init__.py").touch()
    (site / "ultralytics" / "cfg.py").write_text(STAND_IN)
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(
        "s = 0\ndef manual_seed(v):\n    global s; s = v + 1\ndef initial_seed(): return s - 1\n"
    )
    for name in ("ultralytics", "torch"):
        (site / f"{name}-8.0.dist-info").mkdir()
        (site / f"{name}-8.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 8.0\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("KIT_ULTRALYTICS_PYTHON", sys.executable)
    answer = models.save(models.detector(batch=1, metadata={"names": "{0: 'cat', 1: 'dog'}"}), tmp_path / "answer.onnx")
    monkeypatch.setenv("ANSWER", str(answer))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    return tmp_path / "seen.json"


def test_the_command_exports_raw_outputs_of_one_picture_offline(stand_in: Path, tmp_path: Path) -> None:
    Path("best.pt").write_bytes(b"\x80\x02cultralytics.nn.tasks\nDetectionModel\nq\x00.")
    folder = tmp_path / "stage"
    folder.mkdir()
    loaded = sources.resolve("best.pt").load("best.pt", folder, (3, 384, 640))
    assert loaded.model.signature.inputs[0].shape == (1, 3, 16, 16)
    assert loaded.model.metadata["names"] == "{0: 'cat', 1: 'dog'}"
    seen = json.loads(stand_in.read_text())
    assert seen["argv"] == [
        "export", "model=best.pt", "format=onnx", "device=cpu", "batch=1", "opset=18", "dynamic=False",
        "simplify=False", "half=False", "nms=False", "imgsz=384,640",
    ]  # fmt: skip
    assert seen["settings"]["YOLO_AUTOINSTALL"] == "false"
    assert seen["settings"]["YOLO_OFFLINE"] == "true"
    assert seen["files"] == ["best.pt"]
    assert seen["seed"] == 0
    assert sorted(p.name for p in Path().iterdir()) == ["best.pt"]
    assert sorted(p.name for p in folder.iterdir()) == ["model.onnx"]
    assert Path("best.pt").stat().st_nlink == 1


def test_from_a_yaml_to_a_repository(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["generate", "yolo11n.yaml", "--no-verify", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["manifest"]["source"]["kind"] == "ultralytics"
    assert document["manifest"]["interpretation"]["task"] == "detect"
    assert document["manifest"]["signature"]["inputs"][0]["shape"] == [-1, 16, 16, 3]
    assert Path("model_repository/yolo11n/labels.txt").read_text() == "cat\ndog\n"
    stand_in.unlink()
    assert kit.cli.run(["generate", "yolo11n.yaml", "--no-verify", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["entry"]["changed"] is False
    assert not stand_in.exists()  # the same file and the same versions: nothing is exported again


def test_what_it_says_last_is_the_reason(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(ExportError, match=r"^ultralytics could not export yolo11n\.yaml: AssertionError: no head$"):
        sources.resolve("yolo11n.yaml").load("yolo11n.yaml", tmp_path, None)


def test_it_collects_garbage_counts_no_operations_and_is_not_taken_apart(stand_in: Path, tmp_path: Path) -> None:
    sources.resolve("yolo11n.yaml").load("yolo11n.yaml", tmp_path, None)
    seen = json.loads(stand_in.read_text())
    assert seen["collects"] is True
    assert "thop" in seen["without"]
    assert not stand_in.with_name("ended").exists()


def test_a_shape_that_is_no_picture(stand_in: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^input shape 3x640: Ultralytics takes pictures, as 3x640x640$"):
        sources.resolve("yolo11n.yaml").load("yolo11n.yaml", tmp_path, (3, 640))


@pytest.mark.skipif(INSTALLED, reason="ultralytics is installed")
def test_that_it_is_missing_is_told_with_both_remedies(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["generate", "yolo11n.yaml", "--no-verify"]) == MissingExtraError.exit_code
    err = capfd.readouterr().err
    assert err.startswith("kit: yolo11n.yaml is a model of Ultralytics (AGPL-3.0) and needs ultralytics, which is not ")
    assert "pip install ultralytics; or set $KIT_ULTRALYTICS_PYTHON to a Python that has it" in err


def test_a_python_that_has_it_not(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.resolve("yolo11n.yaml")
    if not INSTALLED:
        monkeypatch.setenv("KIT_ULTRALYTICS_PYTHON", sys.executable)
        with pytest.raises(MissingExtraError):
            source.fingerprint("yolo11n.yaml")
    monkeypatch.setenv("KIT_ULTRALYTICS_PYTHON", str(tmp_path / "no-python"))
    with pytest.raises(
        UsageError, match=r"^\$KIT_ULTRALYTICS_PYTHON is .*no-python, which cannot be run: No such file"
    ):
        source.fingerprint("yolo11n.yaml")


def test_a_checkpoint_that_is_not_there_is_not_fetched(here: Path) -> None:
    with pytest.raises(
        SourceNotFoundError, match=r"yolo11n\.pt does not exist, and the kit fetches no weights; let Ultra"
    ):
        sources.resolve("yolo11n.pt").fingerprint("yolo11n.pt")


@pytest.mark.skipif(not INSTALLED, reason="ultralytics is not installed")
def test_the_real_one(here: Path, tmp_path: Path) -> None:
    loaded = sources.resolve("yolo11n.yaml").load("yolo11n.yaml", tmp_path, (3, 64, 64))
    assert loaded.model.signature.outputs[0].shape == (1, 84, 84)
    assert loaded.model.metadata["names"].count(":") == 80
    assert list(Path().iterdir()) == []
