"""docs/cameras.md says what is: its program runs, its URIs are right, its options are all there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kit.stream.sources import members, resolve

TEXT = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    table = TEXT.split("| what | write | options |\n|---|---|---|\n")[1].split("\n\n")[0]
    return [row.strip("| ").split(" | ") for row in table.splitlines()]


def test_its_program_runs() -> None:
    found = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    done = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    totals = done.stdout.splitlines()[-2:]
    form = r"(front|back): \d+ captured = \d+ emitted \+ \d+ dropped( \(.*\))? \+ 0 pending"
    assert all(re.fullmatch(form, line) for line in totals), totals


def test_each_uri_is_right() -> None:
    uris = [uri for row in rows() for uri in re.findall(r"`([a-z0-9]+:[^`]+)`", row[1])]
    assert len(uris) >= 9
    kinds = {resolve(uri.replace("...", "host"))[0].name for uri in uris}
    assert kinds == {source.name for source in members()}


def test_each_option_is_named() -> None:
    for row in rows():
        uri = re.findall(r"`([a-z0-9]+:[^`]+)`", row[1])[0]
        source, parsed = resolve(uri)
        named = set(re.findall(r"`([a-z]+)=", row[2])) | set(parsed.options)
        assert named == {option.name for option in source.options}, source.name
