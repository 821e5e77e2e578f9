"""``kit export``: what is refused before any work; and, where the environments are asked for, the real thing.

The conversions run with KIT_TEST_ENVIRONMENTS="litert coreml" only: their environments take 1 and 2 GB.
"""

from __future__ import annotations

import json
from pathlib import Path

import models
import numpy as np
import pytest
from cli.conftest import Kit, kit_command

from kit import environments, exporting, exports, runners
from kit.errors import ParityError

torch = pytest.importorskip("torch")
__all__ = ["kit_command"]

NETWORK = """
import torch

class Small(torch.nn.Module):
    input_shape = (3, 32, 48)
    output_names = ("scores", "map")

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = torch.nn.functional.silu(self.norm(self.first(x)))
        x = torch.nn.functional.max_pool2d(torch.relu(self.second(x)), 2)
        return torch.softmax(self.last(x.mean((2, 3))), 1), torch.nn.functional.interpolate(x, scale_factor=2)

def build():
    return Small()

class Complex(torch.nn.Module):
    input_shape = (3, 8, 8)

    def forward(self, x):
        return torch.fft.fft2(x).abs()
"""


@pytest.fixture
def here(kit_command: Kit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a network in it."""
    Path("small.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    return Path.cwd()


@pytest.mark.usefixtures("here")
class TestRefused:
    def test_a_format_that_is_none(self, kit_command: Kit) -> None:
        kit_command("export", "small:build", "--format", "tflite").refuses(2, 'format "tflite"', "coreml, litert")

    def test_a_precision_that_it_has_not(self, kit_command: Kit) -> None:
        kit_command("export", "small:build", "--format", "litert", "--precision", "fp16").refuses(
            2, "litert has no fp16; choose from fp32, int8"
        )

    def test_int8_without_pictures(self, kit_command: Kit) -> None:
        kit_command("export", "small:build", "--format", "litert", "--precision", "int8").refuses(
            26, "takes its ranges from real pictures: give --calibration"
        )

    def test_onnx(self, kit_command: Kit) -> None:
        models.save(models.scale(), Path("m.onnx"))
        kit_command("export", "m.onnx", "--format", "coreml").refuses(2, "is no network of PyTorch", ".pt2 file")

    def test_another_suffix(self, kit_command: Kit) -> None:
        kit_command("export", "small:build", "--format", "coreml", "--output", "small.mlmodel").refuses(
            2, "small.mlmodel does not end in .mlpackage"
        )

    def test_a_folder_where_a_file_goes(self, kit_command: Kit) -> None:
        Path("small.tflite").mkdir()
        kit_command("export", "small:build", "--format", "litert", "--output", "small.tflite").refuses(
            2, "small.tflite is a folder; give another name"
        )

    def test_a_network_that_is_not_there(self, kit_command: Kit) -> None:
        kit_command("export", "small:bild", "--format", "litert").refuses(10, "small has no bild")


@pytest.mark.environment("litert", asked=True)
@pytest.mark.environment("coreml", asked=True)
class TestReal:
    @pytest.fixture(autouse=True)
    def _shared(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KIT_CACHE_DIR")

    @pytest.mark.parametrize(
        ("format_", "precision", "suffix", "most"),
        [
            ("litert", "fp32", ".tflite", 1e-5),
            ("coreml", "fp32", ".mlpackage", 1e-5),
            ("coreml", "fp16", ".mlpackage", 5e-3),
            ("coreml", "int8", ".mlpackage", 5e-2),
        ],
    )
    def test_it_answers_as_pytorch_does(
        self, kit_command: Kit, format_: str, precision: str, suffix: str, most: float
    ) -> None:
        done = kit_command("export", "small:build", "--format", format_, "--precision", precision, "--json")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        path = Path(f"build{suffix}")
        assert told["path"] == str(path)
        assert {d["output"] for d in told["parity"]["differences"]} == {"scores", "map"}
        assert max(d["relative"] for d in told["parity"]["differences"]) < most
        with runners.open(str(path)) as running:
            (given,) = running.signature.inputs
            assert given.shape == ((1, 32, 48, 3) if format_ == "litert" else (1, 3, 32, 48))
            answer = running.run({given.name: np.zeros(given.shape, np.float32)})
            np.testing.assert_allclose(answer["scores"].sum(), 1, atol=1e-2)
        assert not list(Path.cwd().glob(".*.kit"))

    def test_int8_on_pictures(self, kit_command: Kit) -> None:
        from PIL import Image

        generator = np.random.default_rng(0)
        for number in range(40):
            low, high = sorted(generator.integers(0, 256, 2))
            picture = generator.integers(low, high + 1, (32, 48, 3), dtype=np.uint8)
            Path("pictures").mkdir(exist_ok=True)
            Image.fromarray(picture).save(f"pictures/{number}.png")
        more = ("--precision", "int8", "--calibration", "pictures")
        done = kit_command("export", "small:build", "--format", "litert", *more, "--json")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        assert told["parity"]["inputs"] == "images"
        assert min(d["cosine"] for d in told["parity"]["differences"]) > 0.99
        assert told["bytes"] < 10_000

    def test_what_it_cannot_hold_is_told_in_one_line(self, kit_command: Kit) -> None:
        kit_command("export", "small:Complex", "--format", "coreml").refuses(15, "Core ML cannot take the network: ")
        assert not Path("Complex.mlpackage").exists()


@pytest.mark.parametrize(("scales", "lost"), [((1.257, 1.257), 3), ((1.257, 1 / 255), 0)])
def test_scores_that_share_a_scale_with_boxes_are_found_lost(scales: tuple[float, float], lost: int) -> None:
    """Their cosine is 0.9999: what a whole output's difference says hides it."""
    generator = np.random.default_rng(0)
    boxes, scores = generator.random((1, 4, 50)) * 320, generator.random((1, 3, 50)) * 0.6
    whole = np.concatenate([boxes, scores], axis=1).astype(np.float32)
    steps = np.repeat(scales, (4, 3)).reshape(1, 7, 1)
    coarse = (np.floor(whole / steps) * steps).astype(np.float32)
    answers = [({"output0": whole}, {"output0": coarse})]
    if not lost:
        exporting._require_rows(exports.get("litert"), answers)
        return
    with pytest.raises(ParityError, match=f"{lost} of the 7 rows of output0 are lost: they are small beside others"):
        exporting._require_rows(exports.get("litert"), answers)


def test_the_environments_are_named_as_the_formats() -> None:
    assert set(exports.names()) <= set(environments.names())
    for name in exports.names():
        exporter = exports.get(name)
        assert set(exporter.tolerances) == set(exporter.precisions) >= set(exporter.calibrated)
        assert exporter.script.is_file()
        assert runners.resolve(f"x{exporter.suffix}").name == name
