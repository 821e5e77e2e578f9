"""What an engine is built from is answered by a real Triton before it is published."""

from __future__ import annotations

from pathlib import Path

import networks
import pytest

from kit import manifest, pipeline
from kit.engines import library
from kit.errors import ToolEnvironmentError
from kit.planning import Options
from kit.types import Spec

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs", "cold_cache")]


def test_a_cpu_answers_with_the_onnx_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_environment(_: object) -> None:
        raise ToolEnvironmentError("this test fetches none")

    monkeypatch.setattr(library, "rtx", no_environment)
    proto = networks.yolov8(metadata=networks.ultralytics("detect", 5))
    (tmp_path / "yolo.onnx").write_bytes(proto.SerializeToString())
    spec = Spec(source=str(tmp_path / "yolo.onnx"), name="yolo", targets=("t4", "l4"), runtime="tensorrt")
    result = pipeline.generate(spec, Options(output=tmp_path / "repository"))
    seen = {name: record.verification for name, record in result.manifest.targets.items()}
    assert {v.level for v in seen.values()} == {"weights"}
    assert all("the ONNX that its engine is built from" in v.reason for v in seen.values())
    assert all(v.server and v.server.startswith("Triton") for v in seen.values())
    again = pipeline.generate(spec, Options(output=tmp_path / "repository"))
    assert not again.entry.changed
    found = manifest.read(tmp_path / "repository" / "yolo")
    assert found is not None
    assert "1/model.onnx" in found.files
