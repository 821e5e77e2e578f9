"""A damaged ONNX file is answered with one line, wherever the damage is: no traceback, no crash, no hang.

The models run in a process of their own: a crash inside onnx or ONNX Runtime would take pytest with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import models
import pytest

import kit.graph
from kit.errors import NotOnnxError, TruncatedOnnxError

DRIVER = """
import contextlib, io, random, sys
from pathlib import Path
import kit.cli

kind, count = sys.argv[1], int(sys.argv[2])
chance = random.Random(kind)
wholes = [path.read_bytes() for path in sorted(Path().glob("*.whole"))]
for number in range(count * len(wholes)):
    whole = wholes[number // count]
    data = bytearray(whole)
    if kind == "flip":
        for _ in range(chance.choice([1, 1, 1, 2, 8])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[len(whole) * (number % count) // count :]
    elif kind == "hole":
        start = chance.randrange(len(data))
        data[start : start + chance.randrange(1, 64)] = b""
    elif kind == "zeros":
        start = chance.randrange(len(data))
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    Path("damaged.onnx").write_bytes(data)
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        code = kit.cli.run(["generate", "damaged.onnx", "--no-verify", "--quiet", "--output", f"out{number}"])
    lines = error.getvalue().splitlines()
    assert code in {0, 11, 12, 15, 30, 31}, (number, code, lines)
    assert [line[:5] for line in lines] == ([] if code == 0 else ["kit: "]), (number, code, lines)
    assert Path(f"out{number}").exists() == (code == 0), (number, code)
"""

MODELS = {
    "classifier": models.classifier(metadata={"names": "['a', 'b', 'c']"}),
    "detector": models.detector(anchors=8),
    "two inputs": models.two_inputs(),
    "old opset": models.classifier(opset=11),
}


@pytest.mark.parametrize(("kind", "count"), [("flip", 30), ("cut", 12), ("hole", 20), ("zeros", 15)])
def test_each_damage_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, count: int) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    for name, model in MODELS.items():
        models.save(model, tmp_path / f"{name}.whole")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, kind, str(count)], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", MODELS)
def test_no_beginning_of_a_file_is_taken_for_the_whole(tmp_path: Path, name: str) -> None:
    """Up to its operator sets, which follow the graph; what comes after them is only remarks."""
    model = MODELS[name]
    whole = model.SerializeToString()
    model = type(model)()
    model.ParseFromString(whole)
    model.ClearField("metadata_props")
    needed = len(model.SerializeToString())
    path = tmp_path / "cut.onnx"
    for length in range(needed):
        path.write_bytes(whole[:length])
        expected = TruncatedOnnxError if length > 2 else NotOnnxError
        with pytest.raises(expected, match=r"cut\.onnx"):
            kit.graph.read(path)
    path.write_bytes(whole)
    assert kit.graph.read(path).graph.name == "graph"


def test_a_truncated_file_is_told_from_a_foreign_one(tmp_path: Path) -> None:
    path = models.save(models.classifier(), tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TruncatedOnnxError, match=r"^model.onnx ends after 100 bytes.*copy or export it again$"):
        kit.graph.read(path)


@pytest.mark.parametrize("name", ["TENSOR", "BATCH!", "LAYER!", "REMARK"])
def test_names_that_are_no_text_are_found_wherever_they_are(tmp_path: Path, name: str) -> None:
    model = models.build(
        [models.node("Relu", "TENSOR", "y", name="LAYER!")],
        [("TENSOR", models.FLOAT, ("BATCH!", 2))],
        [("y", models.FLOAT, ("BATCH!", 2))],
        metadata={"key": "REMARK"},
    )
    path = models.save(model, tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes().replace(name.encode(), name.encode()[:-1] + b"\xff"))
    with pytest.raises(NotOnnxError, match=r"model\.onnx has names that are no text; copy or export it again"):
        kit.graph.read(path)
