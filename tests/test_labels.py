"""Class names: from a file or the model's metadata, one for each class, one a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import labels
from kit.errors import UsageError
from kit.planning import Options
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
        assert labels.find(str(file), model(), meaning(len(names))) == names

    def test_wins_over_the_model(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("x\ny\n")
        assert labels.find(str(tmp_path / "labels.txt"), model("['a', 'b']"), meaning(2)) == ("x", "y")

    @pytest.mark.parametrize(("lines", "classes"), [(2, 3), (3, 2), (0, 1), (80, 1)])
    def test_of_another_length_is_refused_with_both_numbers(self, lines: int, classes: int, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("name\n" * lines)
        expected = f"has {lines} lines, the model has {classes} classes"
        with pytest.raises(UsageError, match=expected):
            labels.find(str(tmp_path / "labels.txt"), model(), meaning(classes))

    def test_of_a_model_without_classes_is_taken_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("a\nb\n")
        assert labels.find(str(tmp_path / "labels.txt"), model(), meaning(None)) == ("a", "b")

    def test_that_is_no_text_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "labels.txt"
        file.write_bytes(b"\xff\xfea\x00")
        with pytest.raises(UsageError, match=f"^labels {re.escape(str(file))} cannot be read: "):
            labels.find(str(file), model(), meaning(1))

    def test_that_is_a_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"is a folder; give a file with one name a line$"):
            labels.read(str(tmp_path))

    def test_that_is_mistyped_is_answered_with_its_neighbour(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("a\n")
        with pytest.raises(UsageError, match=r"nor a known set; did you mean .*/labels\.txt\?$"):
            labels.read(str(tmp_path / "lables.txt"))

    def test_may_begin_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfperson\r\n")
        assert labels.read(str(tmp_path / "labels.txt")) == ("person",)


SETS = {"coco-80": 80, "coco-91": 91, "imagenet-1001": 1001, "imagenet-1k": 1000, "voc-20": 20, "voc-21": 21}


class TestKnownSets:
    def test_are_those_and_as_long_as_their_names_say(self) -> None:
        assert {name: len(labels.read(name)) for name in labels.known()} == SETS

    @pytest.mark.parametrize("name", SETS)
    def test_each_says_where_it_is_from(self, name: str) -> None:
        folder = Path(labels.__file__).parent / "label_sets"
        head = [line for line in (folder / f"{name}.txt").read_text().splitlines() if line.startswith("#")]
        assert any("BSD-3-Clause" in line and "torchvision" in line for line in head)
        assert "BSD 3-Clause License" in (folder / "LICENSE.torchvision").read_text()

    @pytest.mark.parametrize("name", SETS)
    def test_each_name_is_one_line_of_words(self, name: str) -> None:
        names = labels.read(name)
        assert all(text and text == " ".join(text.split()) for text in names)
        assert len(set(names) - {"N/A"}) == len([n for n in names if n != "N/A"])

    def test_those_with_a_background_are_those_without_one_behind_it(self) -> None:
        assert labels.read("voc-21") == ("background", *labels.read("voc-20"))
        assert labels.read("imagenet-1001") == ("background", *labels.read("imagenet-1k"))
        assert tuple(n for n in labels.read("coco-91")[1:] if n != "N/A") == labels.read("coco-80")

    @pytest.mark.parametrize(
        ("name", "index", "word"),
        [
            ("coco-80", 0, "person"),
            ("coco-80", 79, "toothbrush"),
            ("coco-91", 90, "toothbrush"),
            ("voc-20", 14, "person"),
            ("voc-21", 15, "person"),
            ("imagenet-1k", 207, "golden retriever"),
            ("imagenet-1k", 999, "toilet tissue"),
        ],
    )
    def test_keep_their_order(self, name: str, index: int, word: str) -> None:
        assert labels.read(name)[index] == word

    @pytest.mark.parametrize(
        ("mistyped", "meant"),
        [("coco80", "coco-80"), ("imagenet", "imagenet-1k"), ("voc20", "voc-20"), ("COCO-80", "coco-80")],
    )
    def test_mistyped_are_answered_with_the_nearest(self, mistyped: str, meant: str) -> None:
        with pytest.raises(UsageError, match=f'nor a known set; did you mean "{meant}"\\? choose from coco-80'):
            labels.read(mistyped)

    def test_a_file_of_the_same_name_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "coco-80").write_text("mine\n")
        assert labels.read("coco-80") == ("mine",)

    @pytest.mark.parametrize(
        ("given", "classes", "remedy"),
        [
            ("imagenet-1k", 1001, "imagenet-1001 would fit"),
            ("coco-91", 80, "coco-80 would fit"),
            ("voc-20", 21, "voc-21"),
        ],
    )
    def test_of_another_length_are_refused_with_the_set_that_fits(self, given: str, classes: int, remedy: str) -> None:
        expected = f"labels {given} has {SETS[given]} names, the model has {classes} classes; {remedy}"
        with pytest.raises(UsageError, match=expected):
            labels.find(given, model(), meaning(classes))

    def test_are_checked_before_any_work(self, tmp_path: Path) -> None:
        from kit import pipeline
        from kit.types import Spec

        spec = Spec(source=str(tmp_path / "none.onnx"), name="m", targets=("x86-cpu",), labels="coco80")
        with pytest.raises(UsageError, match='did you mean "coco-80"'):
            pipeline.generate(spec, Options(output=tmp_path / "out"))


class TestMetadata:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("{0: 'person', 1: 'bicycle'}", ("person", "bicycle")),
            ("{1: 'bicycle', 0: 'person'}", ("person", "bicycle")),
            ("['person', 'bicycle']", ("person", "bicycle")),
            ("['two\\nlines', ' wide  space ']", ("two lines", "wide space")),
            ("{'0': 'person', '1': 'bicycle'}", ("person", "bicycle")),
            ('{"0": "person", "1": "bicycle"}', ("person", "bicycle")),
            ('["person", "bicycle"]', ("person", "bicycle")),
            ("('person', 'bicycle')", ("person", "bicycle")),
            ("{'bicycle': 1, 'person': 0}", ("person", "bicycle")),
            ("{'person': 1, 'bicycle': 2}", ()),
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

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("names", "['person', 'bicycle']"),
            ("labels", "['person', 'bicycle']"),
            ("Labels", "['person', 'bicycle']"),
            ("classes", "['person', 'bicycle']"),
            ("class_names", '["person", "bicycle"]'),
            ("id2label", '{"0": "person", "1": "bicycle"}'),
            ("label2id", '{"bicycle": 1, "person": 0}'),
            ("config", '{"model_type": "segformer", "id2label": {"0": "person", "1": "bicycle"}}'),
        ],
    )
    def test_is_found_under_the_usual_keys(self, key: str, text: str) -> None:
        assert labels.from_metadata({key: text, "stride": "32"}, 2) == ("person", "bicycle")

    def test_the_first_that_fits_is_taken(self) -> None:
        metadata = {"names": "['a']", "classes": "17", "id2label": '{"0": "person", "1": "bicycle"}'}
        assert labels.from_metadata(metadata, 2) == ("person", "bicycle")

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
