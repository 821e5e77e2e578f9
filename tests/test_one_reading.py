"""What the manifest names is what was read, and what a run tells is what stands there."""

from __future__ import annotations

from pathlib import Path

import models
import numpy as np
import pytest

from kit import compare, manifest, pipeline, spec
from kit.errors import SourceChangedError, UsageError
from kit.planning import Options
from kit.sources.onnx import OnnxFile
from kit.types import Spec, Thresholds

pytestmark = pytest.mark.usefixtures("cold_cache")


def asked(source: Path) -> Spec:
    return spec.build(str(source), name="m", targets=("x86-cpu",), thresholds=Thresholds())


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = models.save(models.scale(2.0), tmp_path / "model.onnx")
    load = OnnxFile.load

    def late(self: OnnxFile, text: str, folder: Path, shape: tuple[int, ...] | None, weights: str | None) -> object:
        models.save(models.scale(3.0), source)  # another program writes it between the two looks
        return load(self, text, folder, shape, weights)

    monkeypatch.setattr(OnnxFile, "load", late)
    with pytest.raises(SourceChangedError, match=r"model\.onnx was changed while it was read; run again"):
        pipeline.generate(asked(source), Options(output=tmp_path / "out", verify="none"))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    models.save(models.scale(2.0), source)
    made = pipeline.generate(asked(source), Options(output=tmp_path / "out", verify="none")).entry.path
    answer = compare.runner(made / "1" / "model.onnx")({"x": np.ones((1, 4), np.float32)})
    assert answer["y"].tolist() == [[2.0] * 4]


@pytest.mark.live
def test_a_run_without_verification_tells_what_was_verified_before(tmp_path: Path) -> None:
    source = models.save(models.scale(), tmp_path / "model.onnx")
    first = pipeline.generate(asked(source), Options(output=tmp_path / "out"))
    second = pipeline.generate(asked(source), Options(output=tmp_path / "out", verify="none"))
    assert not second.entry.changed
    assert second.manifest == first.manifest == manifest.read(first.entry.path)


def test_a_shape_for_a_model_that_has_one_is_refused(tmp_path: Path) -> None:
    source = models.save(models.scale(), tmp_path / "model.onnx")
    with pytest.raises(UsageError, match=r"says itself what it takes; --input-shape is for PyTorch models$"):
        pipeline.generate(asked(source), Options(output=tmp_path / "out", input_shape=(3, 8, 8)))


@pytest.mark.parametrize("wrong", [0.0, 4e-5, 6e-5])
def test_small_outputs_are_held_to_their_own_range(wrong: float) -> None:
    wanted, got = np.full((1, 4), 5e-5, np.float32), np.full((1, 4), wrong, np.float32)
    assert compare.exceeds(compare.difference("y", wanted, got), compare.TOLERANCE)
