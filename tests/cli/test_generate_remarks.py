"""What ``kit generate`` does as it was told, and says of it what the user would not expect."""

from __future__ import annotations

from pathlib import Path

import models
import pytest

from .conftest import Kit


@pytest.mark.parametrize(("options", "told"), [(("--labels", "names.txt"), True), ((), False)])
def test_labels_that_nothing_uses(kit_command: Kit, options: tuple[str, ...], told: bool) -> None:
    models.save(models.scale(2), Path("m.onnx"))
    Path("names.txt").write_text("a\nb\n")
    outcome = kit_command("generate", "m.onnx", "--no-verify", *options)
    assert outcome.code == 0
    assert ("task raw has no classes: labels.txt is written and nothing uses it" in outcome.err) is told
    assert Path("model_repository/m/labels.txt").exists() is told
