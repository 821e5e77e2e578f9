"""The real command line, in this process, with its own cache and in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import kit.cli


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def refuses(self, code: int, *words: str) -> None:
        """Assert that the answer is this exit code, one line on standard error with these words, and nothing else."""
        assert self.code == code, self.err
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("kit: ")
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err


Kit = Callable[..., Outcome]


@pytest.fixture
def kit_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Kit:
    """Return ``kit_command("generate", ...)``; it runs in ``tmp_path / "here"``."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = kit.cli.run(list(arguments))
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(kit_command: Kit) -> Callable[..., None]:
    """Return ``refused(arguments, code, *words)`` for ``kit generate``: says so in one line and makes nothing."""

    def check(arguments: list[str], code: int, *words: str) -> None:
        before = sorted(p.as_posix() for p in Path().rglob("*"))
        kit_command("generate", "--quiet", "--no-verify", *arguments).refuses(code, *words)
        assert sorted(p.as_posix() for p in Path().rglob("*")) == before

    return check
