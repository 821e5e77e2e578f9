"""Lines: read back by the published schema's own types; what was dropped adds up over lines; files grow."""

from __future__ import annotations

import json
from pathlib import Path

import emissions
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import NotWritableError, UsageError
from kit.stream import lines, sinks
from kit.stream.accounting import Cause
from kit.stream.results import (
    Classification,
    Detections,
    Embedding,
    Instances,
    Output,
    Poses,
    Segmentation,
    Tensors,
)

DOCUMENTED = Path(__file__).parents[2] / "docs" / "camera.schema.json"
UNIT = st.floats(0, 1, width=32)
PIXEL = st.floats(0, 4000, width=32)
FOUND = st.lists(st.tuples(st.integers(0, 90), UNIT, st.tuples(PIXEL, PIXEL, PIXEL, PIXEL)), max_size=5)
TWO = emissions.detections(((1, 0.9, (1, 2, 30, 40)), (0, 0.5, (3, 4, 5, 6))))
OUTPUTS: dict[str, tuple[Output, str]] = {
    "detections": (TWO, "detections"),
    "instances": (
        Instances(**vars(TWO), masks=np.ones((2, 4, 4), np.uint8), source_width=64, source_height=48), "detections"
    ),
    "poses": (Poses(**vars(TWO), keypoints=np.ones((2, 17, 3), np.float32)), "detections"),
    "classification": (Classification(probabilities=np.array([0.2, 0.8], np.float32)), "classes"),
    "segmentation": (
        Segmentation(classes=np.array([[0, 0], [0, 2]], np.uint8), source_width=64, source_height=48), "segments"
    ),
    "embedding": (Embedding(vector=np.array([0.6, 0.8], np.float32)), "embedding"),
    "tensors": (Tensors(arrays={"y": np.arange(3, dtype=np.int64)}), "tensors"),
}  # fmt: skip
FIELDS = ("detections", "classes", "segments", "embedding", "tensors")


def read(data: bytes) -> lines.ResultLine | lines.EndLine:
    return msgspec.json.decode(data, type=lines.Line, strict=True)


@given(FOUND, st.integers(0, 10**9))
def test_a_line_read_back_is_the_line(found: list, number: int) -> None:
    line = lines.result_line(emissions.emission(number, output=emissions.detections(found)), {})
    assert read(msgspec.json.encode(line)) == line
    assert line.frame == number
    assert [d.class_id for d in line.detections or ()] == [class_id for class_id, _, _ in found]
    for detection, (_, score, box) in zip(line.detections or (), found, strict=True):
        assert detection.score == pytest.approx(score, abs=1e-4)
        assert detection.box == pytest.approx(box, abs=0.01)


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_kind_of_output_has_its_field_and_no_other(name: str) -> None:
    output, field = OUTPUTS[name]
    line = read(msgspec.json.encode(lines.result_line(emissions.emission(output=output, labels=("a", "b")), {})))
    assert [f for f in FIELDS if getattr(line, f) is not None] == [field]


def test_contents() -> None:
    def made(name: str) -> lines.ResultLine:
        return lines.result_line(emissions.emission(output=OUTPUTS[name][0], labels=("cat", "dog")), {})

    assert [d.label for d in made("detections").detections or ()] == ["dog", "cat"]
    assert [d.area for d in made("instances").detections or ()] == [1.0, 1.0]
    assert len((made("poses").detections or ())[0].keypoints or ()) == 17
    assert [(c.label, c.probability) for c in made("classification").classes or ()] == [("dog", 0.8), ("cat", 0.2)]
    assert [(s.label, s.share) for s in made("segmentation").segments or ()] == [("cat", 0.75), ("2", 0.25)]
    assert (made("tensors").tensors or ())[0].values == [0, 1, 2]


def test_large_tensors_and_text_are_named_only() -> None:
    arrays = {"big": np.zeros(5000, np.float32), "text": np.array([b"a"], object)}
    line = lines.result_line(emissions.emission(output=Tensors(arrays=arrays)), {})
    assert [(t.name, t.shape, t.values) for t in line.tensors or ()] == [("big", (5000,), None), ("text", (1,), None)]


def test_the_letterbox_says_where_the_frame_lies() -> None:
    line = lines.result_line(emissions.emission(), {})
    assert line.letterbox == lines.Fit(input_width=32, input_height=32, width=32, height=24, left=0, top=4)
    assert (line.width, line.height) == (64, 48)


@given(st.lists(st.dictionaries(st.sampled_from(Cause), st.integers(0, 5)), max_size=6))
def test_drops_over_all_lines_are_those_of_the_end(tmp_path_factory: pytest.TempPathFactory, more: list) -> None:
    """However many lines: what each says was dropped since the one before sums up to the last one's total."""
    file = tmp_path_factory.mktemp("lines") / "out.jsonl"
    sink = sinks.by_key("json").open(str(file), emissions.snapshot)
    total = dict.fromkeys(Cause, 0)
    for number, counts in enumerate(more):
        total = {cause: total[cause] + counts.get(cause, 0) for cause in Cause}
        sink.take(emissions.emission(number, dropped=total))
    sink.close(emissions.snapshot())
    *results, end = map(read, file.read_bytes().splitlines())
    for cause in Cause:
        assert sum(line.dropped.get(cause.value, 0) for line in results) == total[cause]
    assert isinstance(end, lines.EndLine)
    assert end.captured == end.emitted + sum(end.dropped.values()) == 10


def test_a_file_is_added_to(tmp_path: Path) -> None:
    kind = sinks.by_key("json")
    for _ in range(2):
        sink = kind.open(str(tmp_path / "a.jsonl"), emissions.snapshot)
        sink.take(emissions.emission())
        sink.close(emissions.snapshot())
    assert [type(read(line)).__name__ for line in (tmp_path / "a.jsonl").read_bytes().splitlines()] == [
        "ResultLine", "EndLine", "ResultLine", "EndLine",
    ]  # fmt: skip


def test_mistakes(tmp_path: Path) -> None:
    kind = sinks.by_key("json")
    with pytest.raises(UsageError, match=r"there is no folder .*/none; make it first$"):
        kind.check(str(tmp_path / "none" / "a.jsonl"))
    with pytest.raises(NotWritableError, match=r"cannot be written: Is a directory; choose another file$"):
        kind.open(str(tmp_path), emissions.snapshot)


def test_the_published_schema_is_that_of_the_lines() -> None:
    published = json.loads(DOCUMENTED.read_text(encoding="utf-8"))
    assert published == lines.schema()
    assert published["$defs"]["ResultLine"]["properties"]["schema"] == {"type": "integer", "default": lines.SCHEMA}


def test_a_reader_of_this_schema_takes_fields_that_come_later() -> None:
    line = json.loads(msgspec.json.encode(lines.result_line(emissions.emission(), {})))
    assert isinstance(read(json.dumps({**line, "later": 1}).encode()), lines.ResultLine)


def test_no_subclass_of_an_output_is_forgotten() -> None:
    from kit.stream import drawing, words

    def tree(root: type) -> set[type]:
        return {root}.union(*(tree(child) for child in root.__subclasses__()))

    known = tree(Detections) | {Classification, Segmentation, Embedding, Tensors}
    assert set(lines._CONTENTS) == set(words._BRIEF) == set(words._ROWS) == set(drawing._DRAWN) == known
