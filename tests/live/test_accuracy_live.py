"""A model on a running Triton is measured like the file that it was loaded from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kit.cli
from kit.server import embedded
from kit.server.interface import ServerOptions

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs")]

ROOT = Path(__file__).parents[2]


def test_what_is_served_is_what_was_generated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((ROOT / "examples" / "digits" / "test" / "annotations.json").read_text())
    content["images"] = content["images"][:12]
    known = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in known]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(ROOT / "examples" / "digits" / "test" / "images")
    file = ROOT / "model_repository" / "digits" / "1" / "model.onnx"
    with embedded.running(ServerOptions(repository=ROOT / "model_repository")) as server:
        served = f"grpc://{server.grpc_url}/digits"
        assert kit.cli.run(["accuracy", served, str(tmp_path), "--against", str(file), "--batch", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    verdict = found["verdict"]
    assert (found["pictures"], verdict["held"], verdict["drop"]["point"]) == (12, True, 0)
    assert verdict["before"]["value"] == verdict["after"]["value"] > 0.6
    assert [company["batch"] for company in verdict["company"]] == [2, 4]
    assert any("measured with the served threshold 0.25" in note for note in found["notes"])
