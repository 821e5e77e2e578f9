"""Detectors of every head, masks and keypoints, from ``kit generate`` to the answers of one real Triton."""

from __future__ import annotations

import json
from pathlib import Path

import models
import networks
import numpy as np
import onnx
import pytest

import kit.cli

from .conftest import Both

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs")]

NETWORKS: dict[str, tuple[onnx.ModelProto, tuple[str, ...]]] = {
    "yolov8": (networks.yolov8(metadata=networks.ultralytics("detect", 5)), ()),
    "yolov5": (networks.yolov5(with_maps=True), ()),
    "yolox": (networks.yolox(), ()),
    "yolov10": (networks.yolov10(), ()),
    "detr": (networks.detr(), ("--head", "detr,softmax")),
    "ssd": (networks.ssd(ending="Sigmoid"), ()),
    "torchvision": (networks.torchvision(), ()),
    "segment": (networks.yolov8_segment(metadata=networks.ultralytics("segment", 3)), ()),
    "pose": (networks.yolov8_pose(metadata=networks.ultralytics("pose", 1, kpt_shape=[4, 3])), ()),
}
MORE = {"segment": {"masks": (20, 16, 24)}, "pose": {"keypoints": (20, 4, 3)}}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them in one repository, made by the real command line."""
    folder = tmp_path_factory.mktemp("heads")
    for name, (proto, options) in NETWORKS.items():
        path = models.save(proto, folder / f"{name}.onnx")
        arguments = ["generate", str(path), "--output", str(folder / "repository"), "--max-detections", "20"]
        assert kit.cli.run([*arguments, "--no-verify", "--quiet", *options]) == 0
    return folder / "repository"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_real_server_answers_what_the_graph_does(name: str, repository: Path, both: Both) -> None:
    frames = np.random.default_rng(4).integers(0, 256, (1, networks.HEIGHT, networks.WIDTH, 3), dtype=np.uint8)
    expected, got = both(name, "images", frames)
    assert set(got) == set(expected)
    for output, value in expected.items():
        np.testing.assert_allclose(got[output], value, rtol=1e-4, atol=1e-4, err_msg=output)
    assert expected["num"][0, 0] > 0
    shapes = {"boxes": (20, 4), "scores": (20,), "classes": (20,), "num": (1,), **MORE.get(name, {})}
    assert {output: value.shape[1:] for output, value in expected.items()} == shapes
    manifest = json.loads((repository / name / "manifest.json").read_text())
    assert manifest["interpretation"]["layout"] is not None
