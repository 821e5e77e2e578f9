"""Inputs that no machine holds are refused before they fill its memory."""

from __future__ import annotations

from pathlib import Path

import models
import pytest

import kit.cli
from kit import inputs
from kit.errors import OutOfMemoryError
from kit.types import DataType, Signature, Tensor


def recipe(*shape: int, count: int = 1) -> inputs.Recipe:
    return inputs.Recipe(
        signature=Signature(inputs=(Tensor(name="x", dtype=DataType.FP32, shape=shape),), outputs=()), count=count
    )


def test_a_size_that_nobody_meant_is_refused_with_what_it_takes() -> None:
    with pytest.raises(OutOfMemoryError, match=r"^input x has shape \[-1, 3, 2147483647, 8\]: 4 of them.*1,536 GiB"):
        recipe(-1, 3, 2**31 - 1, 8, count=4).make()


def test_what_fits_is_made() -> None:
    assert recipe(-1, 3, 8, 8, count=2).make().feeds["x"].shape == (2, 3, 8, 8)


def test_the_command_line_says_it_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shape = (models.BATCH, 2**40)
    model = models.build([models.node("Relu", "x", "y")], [("x", models.FLOAT, shape)], [("y", models.FLOAT, shape)])
    path = models.save(model, tmp_path / "huge.onnx")
    code = kit.cli.run(["generate", str(path), "--no-verify", "--quiet", "--output", str(tmp_path / "out")])
    said = capfd.readouterr().err
    assert code == 63
    assert said.startswith("kit: input x has shape [-1, 1099511627776]")
    assert said.count("\n") == 1
