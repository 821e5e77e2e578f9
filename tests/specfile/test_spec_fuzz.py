"""Whatever stands in a spec file, the answer is jobs or a list of mistakes, at places that there are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import models
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kit.errors import InvalidSpecError
from kit.specfile import plan

from .test_spec_mistakes import TEN
from .test_spec_plan import ALL
from .test_spec_schema import specs

PIECES = [
    *("models", "source", "model.onnx", "defaults", "targets", "t4", "thresholds", "null", "012", "1e3", ".inf", "~"),
    *(": ", ":", "- ", "-", "\n", "\n  ", "    ", "\t", "[", "]", "{", "}", ",", "'", '"', "|\n", ">-\n", "#", "? "),
    *("&a ", "*a", "!!str ", "!x ", "<<", "---\n", "...\n", "%YAML 1.1\n"),
    *("\x85", "\u2028", "\ufeff", "\x00", "\U0001f600", "\ud800"),
]
SETTINGS = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True, scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    os.chdir(folder)
    models.save(models.classifier(), Path("model.onnx"))
    yield folder
    os.chdir(before)


def answered(data: bytes) -> None:
    """Assert that the answer is jobs, or problems at places of the text, in their order."""
    file = Path("spec.yaml")
    file.write_bytes(data)
    try:
        assert plan.jobs(file)
    except InvalidSpecError as error:
        first, *lines = str(error).splitlines()
        assert first.startswith("spec.yaml:")
        assert all(line.isprintable() for line in lines), lines
        found = [re.match(r"spec\.yaml:(\d+):(\d+): \S", line) for line in lines if not line.startswith("... and ")]
        places = [(int(match[1]), int(match[2])) for match in found if match]
        assert len(places) == len(found), lines
        assert places == sorted(places)
        text = data.decode(errors="replace")
        count = len(re.split("\r\n|[\r\n\x85\u2028\u2029]", text))
        assert all(1 <= line <= count and 1 <= column <= len(text) + 1 for line, column in places), lines


@SETTINGS
@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    answered(data)


@SETTINGS
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example("models:\n- source: model.onnx\n  ? |\n    a\n  : b")
@example("&a : *a")
@example("? &a\n: *a")
def test_pieces_of_yaml(text: str) -> None:
    answered(text.encode("utf-8", "surrogatepass"))


@SETTINGS
@given(
    whole=st.sampled_from([TEN, ALL]),
    cuts=st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 20), st.sampled_from(["", *PIECES])), min_size=1, max_size=4
    ),
)
def test_specs_with_something_cut_out_and_put_in(whole: str, cuts: list[tuple[int, int, str]]) -> None:
    for start, length, piece in cuts:
        at = start % len(whole)
        whole = whole[:at] + piece + whole[at + length :]
    answered(whole.encode("utf-8", "surrogatepass"))


@SETTINGS
@given(specs())
def test_odd_values(value: object) -> None:
    answered(json.dumps(value).encode())
