"""What the user asks for: names that are safe everywhere, numbers inside their ranges, and nothing lost."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import spec
from kit.errors import InvalidModelNameError, SourceNotFoundError, UsageError
from kit.types import Normalization, Thresholds

NAMES = (
    st.text()
    | st.text(st.sampled_from("aZ09_-./\\ \n:~$'\"é*"), max_size=8)
    | st.from_regex(r"[\w.-]{1,210}", fullmatch=True)
)


def accepted(name: str) -> bool:
    try:
        spec.check_name(name, given=True)
    except InvalidModelNameError:
        return False
    return True


class TestName:
    @given(NAMES)
    def test_what_is_accepted_is_safe(self, name: str) -> None:
        """As a folder, as an argument, in a shell, in a URL and in config.pbtxt."""
        if not accepted(name):
            return
        assert name
        assert name[0] not in "-."
        assert ".." not in name
        assert Path(name).parts == (name,)
        assert (Path("/repository") / name).parent == Path("/repository")
        assert shlex.quote(name) == name
        assert quote(name, safe="") == name
        assert name.isascii()
        assert name.isprintable()
        assert len(f".{name}.report.json.12345678".encode()) <= 255

    @given(NAMES)
    def test_what_is_refused_is_answered_with_a_name_that_would_do(self, name: str) -> None:
        try:
            spec.check_name(name, given=False)
        except InvalidModelNameError as error:
            better = str(error).rpartition("for example --name ")[2]
            assert accepted(better)

    @pytest.mark.parametrize("name", ["a", "_", "0", "yolo-v8.1_n", "model.", "a" * 200, "A.b-C_d"])
    def test_accepted(self, name: str) -> None:
        assert accepted(name)

    @pytest.mark.parametrize(
        ("name", "better"),
        [
            ("my model", "my-model"),
            ("modèle", "mod-le"),
            ("a/b", "a-b"),
            ("../x", "x"),
            ("a..b", "a.b"),
            ("-rf", "rf"),
            (".hidden", "hidden"),
            ("模型", "model"),
            ("", "model"),
            ("a\n", "a"),
            ("a" * 201, "a" * 64),
        ],
    )
    def test_refused_with_the_nearest(self, name: str, better: str) -> None:
        with pytest.raises(InvalidModelNameError, match=f"for example --name {re.escape(better)}$"):
            spec.check_name(name, given=True)

    @pytest.mark.parametrize(
        ("given_by_user", "whose"), [(True, "model name"), (False, "the source gives the model name")]
    )
    def test_says_who_gave_it(self, given_by_user: bool, whose: str) -> None:
        with pytest.raises(InvalidModelNameError, match=f'^{whose} "a b": '):
            spec.check_name("a b", given=given_by_user)


class TestShape:
    @given(st.lists(st.integers(1, 999_999_999), min_size=1, max_size=5))
    def test_reads_what_is_written_so(self, sizes: list[int]) -> None:
        assert spec.parse_shape("x".join(map(str, sizes))) == tuple(sizes)

    @given(st.text() | st.text(st.sampled_from("0123456789x-. "), max_size=9))
    def test_gives_positive_numbers_or_refuses(self, text: str) -> None:
        if re.fullmatch("[0-9]+(x[0-9]+)*", text) and all(0 < int(size) < 10**9 for size in text.split("x")):
            assert spec.parse_shape(text) == tuple(int(size) for size in text.split("x"))
            return
        with pytest.raises(UsageError, match="for example 3x640x640"):
            spec.parse_shape(text)

    def test_nothing_is_nothing(self) -> None:
        assert spec.parse_shape(None) is None
        assert spec.parse_numbers(None) is None


class TestNumbers:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4))
    def test_reads_what_is_written_so(self, values: list[float]) -> None:
        assert spec.parse_numbers(",".join(map(repr, values))) == tuple(values)

    @given(st.text() | st.text(st.sampled_from("0123456789,.-einfa "), max_size=9))
    def test_gives_finite_numbers_or_refuses(self, text: str) -> None:
        try:
            values = [float(value) for value in text.split(",")]
        except ValueError:
            values = [math.inf]
        if all(abs(value) <= 1e6 for value in values):
            assert spec.parse_numbers(text) == tuple(values)
            return
        with pytest.raises(UsageError, match=re.escape("for example 0.485,0.456,0.406")):
            spec.parse_numbers(text)


class TestThresholds:
    @pytest.mark.parametrize(
        "thresholds",
        [Thresholds(), Thresholds(score=0.0), Thresholds(score=0.999), Thresholds(iou=1.0), Thresholds(iou=1e-9),
         Thresholds(max_detections=1), Thresholds(max_detections=10_000)],
    )  # fmt: skip
    def test_inside(self, thresholds: Thresholds) -> None:
        spec.check_thresholds(thresholds)

    @pytest.mark.parametrize(
        ("thresholds", "word"),
        [
            (Thresholds(score=-0.01), "score"),
            (Thresholds(score=1.0), "score"),
            (Thresholds(score=float("nan")), "score"),
            (Thresholds(iou=0.0), "IoU"),
            (Thresholds(iou=1.01), "IoU"),
            (Thresholds(iou=float("nan")), "IoU"),
            (Thresholds(max_detections=0), "max detections"),
            (Thresholds(max_detections=10_001), "max detections"),
        ],
    )
    def test_outside_is_told_with_an_example(self, thresholds: Thresholds, word: str) -> None:
        with pytest.raises(UsageError, match=f"^{word}.*for example"):
            spec.check_thresholds(thresholds)


class TestNormalization:
    def test_nothing_asked_is_nothing(self) -> None:
        assert spec.normalization(None, None) is None

    @pytest.mark.parametrize(
        ("mean", "std", "made"),
        [
            ((0.5,), None, Normalization(mean=(0.5,), std=(1.0,))),
            (None, (0.5, 0.5, 0.5), Normalization(mean=(0.0, 0.0, 0.0), std=(0.5, 0.5, 0.5))),
            ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), Normalization(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))),
            ((0.0,), (0.5,), Normalization(mean=(0.0,), std=(0.5,))),
        ],
    )
    def test_the_other_half_changes_nothing(
        self, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, made: Normalization
    ) -> None:
        assert spec.normalization(mean, std) == made
        assert made.scale == 1 / 255

    @pytest.mark.parametrize("std", [(0.0,), (1.0, 0.0, 1.0), (1e-9,), (-1e-9,)])
    def test_nothing_is_divided_by_nothing(self, std: tuple[float, ...]) -> None:
        with pytest.raises(UsageError, match=r"^std .*divided by it"):
            spec.normalization(None, std)

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(UsageError, match="mean has 3 values, std has 1; give one for each channel"):
            spec.normalization((0.0, 0.0, 0.0), (1.0,))


class TestBuild:
    def build(self, source: str = "folder/model.onnx", name: str | None = None, **rest: object) -> spec.Spec:
        chosen = {"targets": ("x86-cpu",), "thresholds": Thresholds(), **rest}
        return spec.build(source, name=name, **chosen)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("source", "name"),
        [("folder/model.onnx", "model"), ("a.b.onnx", "a.b"), ("package.net:build", "build"), ("net:Net.tiny", "tiny")],
    )
    def test_the_source_names_the_model(self, source: str, name: str) -> None:
        assert self.build(source).name == name
        assert self.build(source, "other").name == "other"

    def test_an_empty_name_is_not_no_name(self) -> None:
        with pytest.raises(InvalidModelNameError):
            self.build(name="")

    def test_targets_keep_their_order_and_are_named_once(self) -> None:
        assert self.build(targets=("t4", "x86-cpu", "t4")).targets == ("t4", "x86-cpu")

    def test_none_means_the_default(self) -> None:
        made = self.build(color=None, contract=None, max_batch_size=None, instance_count=None)
        assert (made.color, made.contract, made.max_batch_size) == (None, "served", None)

    def test_zero_is_not_none(self) -> None:
        made = self.build(max_batch_size=0, intra_op_threads=0, max_queue_delay_us=0)
        assert (made.max_batch_size, made.intra_op_threads, made.max_queue_delay_us) == (0, 0, 0)

    def test_what_is_no_source_is_refused(self) -> None:
        with pytest.raises(SourceNotFoundError):
            self.build("word")
        with pytest.raises(UsageError, match="score"):
            self.build(thresholds=Thresholds(score=2))


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_no_output_folder_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--output is empty; give a folder"):
        spec.output_folder(text)
    assert spec.output_folder(" a ") == Path(" a ")
