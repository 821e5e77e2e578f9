"""The JSON schema says what the reader says, and is published as it is generated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kit.specfile import document, reading, schema
from kit.specfile.desk import Desk
from kit.specfile.fields import MODEL, RUN, flat
from kit.specfile.kinds import Flag, Listed, Number, PerChannel, Shape, Whole, Word
from kit.specfile.references import HeadLayout, TargetName

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validator() -> Any:
    made = schema.schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_what_is_published_is_what_is_generated() -> None:
    published = (ROOT / "kit" / "spec.schema.json").read_text(encoding="utf-8")
    assert published == schema.text(), "kit schema > kit/spec.schema.json"
    assert json.loads(published)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_is_described() -> None:
    made: Any = schema.schema()
    keys = made["properties"]["models"]["items"]["properties"]
    assert list(keys) == [key.name for key in MODEL]
    for key in (*flat(MODEL), *RUN):
        assert key.help.endswith("."), key.name
    for described in (*keys.values(), *(made["properties"][key.name] for key in RUN)):
        assert len(described["description"]) > 10


GOOD: dict[type, st.SearchStrategy[Any]] = {
    Number: st.floats(0, 1),
    Flag: st.booleans(),
    PerChannel: st.floats(-2, 2) | st.lists(st.floats(-2, 2), max_size=3),
    Shape: st.sampled_from(["3x8x8", "0x1", [3, 8, 8], [0], []]),
    HeadLayout: st.sampled_from(["yolov8", "detr,softmax", "detr , softmax", ["detr", "softmax"], "nonsense", "yolo"]),
    TargetName: st.sampled_from(["t4", "x86-cpu"]),
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 2000, "", " ", "t4", "fp32", "raw", "none", "rgb", "1", [], ["t4", "t4"], {}, {"score": 1}]
)


def values(key: Any) -> st.SearchStrategy[Any]:
    """Return values of a key: those that it takes, and some beside the ends of its range."""
    if not hasattr(key, "kind"):
        return st.fixed_dictionaries({}, optional={part.name: values(part) for part in key.keys})
    kind = key.kind.of if isinstance(key.kind, Listed) else key.kind
    if isinstance(kind, Word):
        return st.sampled_from(kind.choices())
    if isinstance(kind, Whole):
        return st.integers(kind.least, kind.least + 99) | st.sampled_from(
            [kind.least - 1, kind.most, (kind.most or 0) + 1]
        )
    good = GOOD.get(type(kind), st.just("model.onnx"))
    return good | st.lists(good, min_size=1, max_size=3) if isinstance(key.kind, Listed) else good


def objects(keys: Any, **always: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: st.just(value) for name, value in always.items()},
        optional={key.name: values(key) for key in keys if key.name not in always},
    )


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Return anything that JSON can say with our keys: a spec, in which up to two values are something odd."""
    made: dict[str, Any] = draw(objects(key for key in RUN if key.name != "target_folders"))
    made["models"] = draw(st.lists(objects(MODEL, source="model.onnx"), min_size=1, max_size=2))
    made["defaults"] = draw(objects(key for key in MODEL if key.shared))
    for _ in range(draw(st.integers(0, 2))):
        there = [part for part in (made, made["defaults"], *_listed(made["models"])) if isinstance(part, dict)]
        part = draw(st.sampled_from(there))
        part[draw(st.sampled_from([*part, "nonsense"]))] = draw(ODD)
        made.setdefault("defaults", {})
    return made


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def accepted(tmp: Path, value: Any) -> bool:
    """Tell whether the reader finds nothing wrong with the form; the paths are all the same file or folder."""
    root, wrong = document.parse(json.dumps(value))
    desk = Desk(folder=tmp, problems=list(wrong))
    reading.read(root, desk)
    about_files = ("is a folder", "is a file", "does not exist", "Is a directory", "cannot be read", "is no file")
    return all(any(word in p.text for word in about_files) for p in desk.problems)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("specs")
    (made / "model.onnx").touch()
    return made


def says_text_by_numbers(value: Any, keys: Any) -> bool:
    """Tell whether a key that takes text is given a number or a word of JSON, which the reader takes as written."""
    plain = (bool, int, float)
    text = {
        key.name for key in keys if hasattr(key, "kind") and not isinstance(key.kind, (Whole, Number, Flag, PerChannel))
    }
    return isinstance(value, dict) and any(name in text and isinstance(value[name], plain) for name in value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=specs())
@example(value={"models": [{"source": "model.onnx"}]})
@example(value={"models": [{"source": "model.onnx", "std": 0}]})
@example(value={"models": [{"source": None}]})
@example(value={"models": None})
@example(value={"defaults": None, "models": [{"source": "model.onnx", "thresholds": None}]})
def test_both_take_the_same(validator: Any, folder: Path, value: dict[str, Any]) -> None:
    models = value.get("models")
    parts = [(value, RUN), (value.get("defaults"), MODEL)]
    parts += [(model, MODEL) for model in (models if isinstance(models, list) else [])]
    if any(says_text_by_numbers(part, keys) for part, keys in parts):
        return
    assert accepted(folder, value) == validator.is_valid(value)
