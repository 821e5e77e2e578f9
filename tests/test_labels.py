"""Class names: from a file or the model's metadata, one for each class, one a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import labels
from kit.errors import UsageError
from kit.types import Interpretation, Model, Signature


def model(names: str | None = None) -> Model:
    metadata = {} if names is None else {"names": names}
    return Model(
        path=Path("unread"),
        digest="",
        signature=Signature(inputs=(), outputs=()),
        metadata=metadata,
        opset=18,
        ir_version=9,
    )


def meaning(classes: int | None) -> Interpretation:
    return Interpretation(
        task="detect", head="yolov8", contract="served", class_count=classes, normalization=None, color="rgb",
        thresholds=None, reason="",
    )  # fmt: skip


class TestFile:
    @pytest.mark.parametrize(
        ("content", "names"),
        [
            ("a\nb\n", ("a", "b")),
            ("a\nb", ("a", "b")),
            ("a\r\nb\r\n", ("a", "b")),
            ("  traffic light \nb\n\n\n", ("traffic light", "b")),
            ("a\n\n", ("a",)),
            ("Brücke\n空の瓶\n", ("Brücke", "空の瓶")),
            ("\nb\n", ("", "b")),  # class 0 has no name: COCO files have such gaps
        ],
    )
    def test_has_one_name_a_line(self, content: str, names: tuple[str, ...], tmp_path: Path) -> None:
        file = tmp_path / "labels.txt"
        file.write_bytes(content.encode())
        assert labels.find(file, model(), meaning(len(names))) == names

    def test_wins_over_the_model(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("x\ny\n")
        assert labels.find(tmp_path / "labels.txt", model("['a', 'b']"), meaning(2)) == ("x", "y")

    @pytest.mark.parametrize(("lines", "classes"), [(2, 3), (3, 2), (0, 1), (80, 1)])
    def test_of_another_length_is_refused_with_both_numbers(self, lines: int, classes: int, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("name\n" * lines)
        expected = f"has {lines} lines, the model has {classes} classes"
        with pytest.raises(UsageError, match=expected):
            labels.find(tmp_path / "labels.txt", model(), meaning(classes))

    def test_of_a_model_without_classes_is_taken_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("a\nb\n")
        assert labels.find(tmp_path / "labels.txt", model(), meaning(None)) == ("a", "b")

    @pytest.mark.parametrize("content", [None, b"\xff\xfea\x00"])
    def test_that_cannot_be_read_is_named(self, content: bytes | None, tmp_path: Path) -> None:
        file = tmp_path / "labels.txt"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(UsageError, match=f"^labels {re.escape(str(file))} cannot be read: "):
            labels.find(file, model(), meaning(1))


class TestMetadata:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("{0: 'person', 1: 'bicycle'}", ("person", "bicycle")),
            ("{1: 'bicycle', 0: 'person'}", ("person", "bicycle")),
            ("['person', 'bicycle']", ("person", "bicycle")),
            ("['two\\nlines', ' wide  space ']", ("two lines", "wide space")),
            ("{'0': 'person', '1': 'bicycle'}", ()),
            ("{0: 'person', 2: 'bicycle'}", ()),
            ("{0: 'person', 1: 7}", ()),
            ("['person']", ()),
            ("['a', 'b', 'c']", ()),
            ("person, bicycle", ()),
            ("", ()),
            (None, ()),
        ],
    )
    def test_is_used_where_it_fits_the_classes(self, text: str | None, names: tuple[str, ...]) -> None:
        assert labels.find(None, model(text), meaning(2)) == names

    def test_is_not_used_where_there_are_no_classes(self) -> None:
        assert labels.find(None, model("['a']"), meaning(None)) == ()

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5), st.booleans())
    def test_any_name_becomes_one_line(self, names: list[str], as_dict: bool) -> None:
        text = repr(dict(enumerate(names)) if as_dict else names)
        found = labels.find(None, model(text), meaning(len(names)))
        assert len(found) == len(names)
        assert "".join(f"{name}\n" for name in found).splitlines() == list(found)

    @given(st.text())
    def test_no_text_breaks_it(self, text: str) -> None:
        found = labels.find(None, model(text), meaning(2))
        assert found == () or len(found) == 2
