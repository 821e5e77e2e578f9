"""kit compare as a user sees it: tables, a page, JSON, exit codes, mistakes."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

import kit.cli

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "examples" / "digits" / "digits.onnx")
SERVED = str(ROOT / "model_repository" / "digits")
IMAGES = str(ROOT / "examples" / "digits" / "calibration")
BROKEN = "backbone.stages.1.1.body.1.0"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example with the weights of one layer doubled, and a name that would turn a terminal red."""
    model = onnx.load(DIGITS)
    for tensor in model.graph.initializer:
        if tensor.name == f"{BROKEN}.weight":
            tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), tensor.name))
    path = tmp_path_factory.mktemp("broken") / "broken.onnx"
    onnx.save(model, str(path))
    return str(path)


def test_equal_models_end_with_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["compare", DIGITS, SERVED, "--inputs", "1"]) == 0
    out, err = capfd.readouterr()
    assert "equal within the tolerance" in out
    assert "tensors inside; the worst:" in out
    assert not err


def test_different_models_end_with_1_and_the_module(
    broken: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    page = tmp_path / "page.html"
    assert kit.cli.run(["compare", DIGITS, broken, "--images", IMAGES, "--inputs", "1", "--html", str(page)]) == 1
    out, _ = capfd.readouterr()
    assert max(map(len, out.splitlines())) <= 100
    assert re.search(rf"first to diverge: .*\(Conv, module\s+{re.escape(BROKEN)}\)", out)
    marked = [line for line in out.splitlines() if line.startswith("▶")]
    assert len(marked) == 1
    assert "they differ: output0" in out
    text = page.read_text()
    assert BROKEN in text
    assert "they differ: output0" in text


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_else_and_runs_nothing(broken: str, tmp_path: Path) -> None:
    model = onnx.load(broken)
    first = model.graph.node[0]
    evil = "<script>alert(1)</script>"
    for node in model.graph.node:
        node.input[:] = [evil if name == first.output[0] else name for name in node.input]
    first.output[0] = evil
    onnx.save(model, str(tmp_path / "evil.onnx"))
    page = tmp_path / "page.html"
    kit.cli.run(["compare", str(tmp_path / "evil.onnx"), DIGITS, "--inputs", "1", "--html", str(page), "--quiet"])
    parsed = _Page()
    parsed.feed(page.read_text())
    assert "script" not in parsed.tags
    assert "svg" in parsed.tags
    assert parsed.tags.count("rect") > 100
    assert all(link.startswith("#layer-") for link in parsed.links)
    assert "http" not in page.read_text()


def test_json_is_one_document(broken: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["compare", DIGITS, broken, "--inputs", "1", "--json"]) == 1
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert not err
    assert found["equal"] is False
    assert found["layers"][found["culprit"]]["module"] == BROKEN
    assert found["layers"][found["culprit"]]["lost_db"] > 20


def test_quiet_says_it_by_the_exit_code(broken: str, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", DIGITS, broken, "--inputs", "1", "--no-layers", "--quiet"]
    assert kit.cli.run(asked) == 1
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_names_cannot_act_on_a_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(DIGITS)
    for node in model.graph.node:
        node.output[:] = ["\x1b[31mred" if name == "output0" else name for name in node.output]
    model.graph.output[0].name = "\x1b[31mred"
    onnx.save(model, str(tmp_path / "red.onnx"))
    assert kit.cli.run(["compare", str(tmp_path / "red.onnx"), DIGITS, "--inputs", "1"]) == 0
    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([DIGITS], 2, "Missing argument 'SECOND'"),
        ([DIGITS, "nowhere.onnx"], 10, "nowhere.onnx is not there"),
        ([DIGITS, "nowhere.txt"], 29, "nowhere.txt is not there; give an .onnx"),
        ([DIGITS, DIGITS, "--images", "nowhere"], 16, "nowhere is no folder"),
        ([DIGITS, DIGITS, "--inputs", "0"], 2, "0 is not in the range"),
        ([DIGITS, DIGITS, "--tolerance", "2"], 2, "not in the range"),
        ([DIGITS, DIGITS, "--html", "no/such/folder/page.html"], 40, "no/such/folder is no folder"),
        ([DIGITS, "grpc://localhost:1/digits"], 53, "no Triton answers at grpc://localhost:1"),
        ([DIGITS, "grpc://localhost:1"], 2, "names no model; the form is grpc://HOST:PORT/MODEL"),
        ([DIGITS, "no.such.module:build"], 10, "no module no here"),
        ([DIGITS, "kit.spec:build?size=3"], 2, 'has size behind the "?"'),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["compare", *arguments]) == code
    out, err = capfd.readouterr()
    assert not out
    assert said in err
    assert len(err.splitlines()) == 1
