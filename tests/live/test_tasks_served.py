"""Classes, pixels and embeddings, from ``kit generate`` to the answers of one real Triton, held against plain numpy."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest
from models import node

import kit.cli
from kit import compare

from .conftest import Both

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs")]

SIDE = (32, 48)

TORCH = textwrap.dedent("""
    import torch
    from torch import nn
    from torch.nn import functional

    class Segmenter(nn.Module):
        '''As torchvision's: a dict of scores at the picture's size, the second one for training.'''
        input_shape = (3, 32, 48)

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
            self.head, self.extra = nn.Conv2d(16, 21, 1), nn.Conv2d(16, 21, 3, padding=1)

        def forward(self, x):
            size, features = x.shape[-2:], self.body(x)
            grow = lambda y: functional.interpolate(y, size=size, mode="bilinear", align_corners=False)
            return {"out": grow(self.head(features)), "aux": grow(self.extra(features))}

    class Face(nn.Module):
        '''As ArcFace's: a last layer and batch normalisation.'''
        input_shape = (3, 32, 48)

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.PReLU(8), nn.Flatten(),
                                      nn.Linear(8 * 8 * 12, 128))
            self.last = nn.BatchNorm1d(128)

        def forward(self, x):
            return functional.normalize(self.last(self.body(x)))

    def build(kind):
        torch.manual_seed(0)
        network = kind()
        for layer in network.modules():  # as after training, so that nothing is near zero
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                nn.init.normal_(layer.weight, 1, 0.2)
        return network

    def segmenter():
        return build(Segmenter)

    def face():
        return build(Face)
""")


def small(classes: int, *ending: onnx.NodeProto, element: int = models.FLOAT, shape: Any = None) -> onnx.ModelProto:
    """The mean of a picture through a convolution to ``v`` [N, classes, 1, 1], and ``ending`` from there to y."""
    kernel = np.random.default_rng(3).normal(size=(classes, 3, 1, 1)) * 4
    return models.build(
        [node("GlobalAveragePool", "x", "m"), node("Conv", "m kernel", "v"), *ending],
        [("x", element, ("batch", 3, *SIDE))],
        [("y", element, ("batch", *(shape or (classes, 1, 1))))],
        {"kernel": kernel.astype(np.float16 if element == models.HALF else np.float32)},
    )


SOURCES: dict[str, tuple[Any, tuple[str, ...], dict[str, Any]]] = {
    "pixels": ("served_networks:segmenter", (), {"scores": (21, *SIDE)}),
    "classes": ("served_networks:segmenter", ("--argmax", "--labels", "voc-21"), {"classes": SIDE}),
    "face": ("served_networks:face", (), {"embedding": (128,)}),
    "map": (small(10, node("Identity", "v", "y"), element=models.HALF), (), {"probabilities": (10,)}),
    "labels": (
        small(5, node("Flatten", "v", "f"), node("Sigmoid", "f", "y"), shape=(5,)), (), {"probabilities": (5,)}
    ),
    "features": (small(64, node("Flatten", "v", "y"), shape=(64,)), ("--task", "embed"), {"embedding": (64,)}),
}  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them in one repository, made by the real command line."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "served_networks.py").write_text(TORCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, (source, options, _) in SOURCES.items():
            given = source if isinstance(source, str) else str(models.save(source, folder / f"{name}.onnx"))
            arguments = [
                "generate",
                given,
                "--name",
                name,
                "--output",
                "repository",
                "--no-verify",
                "--quiet",
                *options,
            ]
            assert kit.cli.run(arguments) == 0
    return folder / "repository"


@pytest.mark.parametrize("name", SOURCES)
def test_a_real_server_answers_what_the_graph_does(name: str, repository: Path, both: Both) -> None:
    manifest = json.loads((repository / name / "manifest.json").read_text())
    (taken,) = manifest["signature"]["inputs"]
    frames = np.random.default_rng(4).integers(0, 256, (2, *SIDE, 3), dtype=np.uint8)
    expected, answers = both(name, taken["name"], frames)
    assert {output: value.shape[1:] for output, value in expected.items()} == SOURCES[name][2]
    for output, value in expected.items():
        got = answers[output]
        assert got.dtype == value.dtype
        assert not compare.exceeds(compare.difference(output, value, got), compare.TOLERANCE)
        if output in ("scores", "probabilities") and name != "labels":
            np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-4)
        if output == "embedding":
            np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-4)
        assert len(np.unique(got.round(3))) > 2  # an answer that says something


def test_the_best_class_in_the_graph_is_the_best_score(repository: Path) -> None:
    frames = np.random.default_rng(5).integers(0, 256, (1, *SIDE, 3), dtype=np.uint8)
    (scores,) = compare.runner(repository / "pixels" / "1" / "model.onnx")({"images": frames}).values()
    (classes,) = compare.runner(repository / "classes" / "1" / "model.onnx")({"images": frames}).values()
    assert classes.dtype == np.uint8
    assert np.mean(scores.argmax(axis=1) != classes) < 1e-3  # softmax makes some scores equal
    assert (repository / "classes" / "labels.txt").read_text().splitlines()[15] == "person"


def test_what_was_left_out_is_not_in_the_file(repository: Path) -> None:
    manifest = json.loads((repository / "pixels" / "manifest.json").read_text())
    assert "aux left out" in manifest["interpretation"]["reason"]
    weights = onnx.load(str(repository / "pixels" / "1" / "model.onnx")).graph.initializer
    assert not [t.name for t in weights if "extra" in t.name]
