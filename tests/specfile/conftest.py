"""Spec files in an empty folder that holds a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import models
import pytest

from kit.errors import InvalidSpecError
from kit.jobs import Job
from kit.specfile import plan

Plan = Callable[[str], tuple[Job, ...]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    models.save(models.classifier(), Path("model.onnx"))
    return tmp_path


@pytest.fixture
def planned(here: Path) -> Plan:
    """Return ``planned(text)``: the jobs of a spec file with this text."""

    def make(text: str) -> tuple[Job, ...]:
        Path("spec.yaml").write_text(text, encoding="utf-8")
        return plan.jobs(Path("spec.yaml"))

    return make


@pytest.fixture
def mistakes(planned: Plan) -> Callable[[str], list[str]]:
    """Return ``mistakes(text)``: the lines of the answer, without the file's name and the heading."""

    def make(text: str) -> list[str]:
        with pytest.raises(
            InvalidSpecError, match=r"^spec\.yaml: \d+ mistakes?; docs/spec\.md has the keys\n"
        ) as caught:
            planned(text)
        return [line.removeprefix("spec.yaml:") for line in str(caught.value).splitlines()[1:]]

    return make
