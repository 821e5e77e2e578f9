"""The example's repository that is committed is what ``kit generate`` makes today, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit import manifest, pipeline, spec
from kit.cache import tool_version
from kit.planning import Options
from kit.server import embedded
from kit.types import Thresholds

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "model_repository" / "digits"


@pytest.mark.live
@pytest.mark.usefixtures("cold_cache")
def test_generating_the_example_again_gives_the_committed_bytes(tmp_path: Path) -> None:
    if (reason := embedded.unavailable_reason()) is not None:
        pytest.skip(reason)
    committed = manifest.read(COMMITTED)
    assert committed is not None
    other = {t: v for t, v in committed.tools.items() if tool_version(t) != v}
    if other:
        pytest.skip(f"the committed repository was made with {other}; here are other versions")
    asked = spec.build(
        str(ROOT / "examples" / "digits" / "digits.onnx"),
        name=None,
        targets=tuple(committed.targets),
        thresholds=Thresholds(),
        calibration=ROOT / "examples" / "digits" / "calibration",
    )
    made = pipeline.generate(asked, Options(output=tmp_path / "model_repository")).entry.path
    assert contents(made) == contents(COMMITTED), "make example-repository writes it anew"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
