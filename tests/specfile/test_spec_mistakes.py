"""Every mistake in a spec file is told at once, with its line and column and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import InvalidSpecError, SourceNotFoundError
from kit.specfile import plan
from kit.specfile.document import LARGEST_BYTES

Mistakes = Callable[[str], list[str]]

TEN = """\
# A spec with ten mistakes, and four more.
output: model.onnx
defaults:
  targets: [x86-cpu, t5]
  precison: fp32
  verify: no
models:
  - source: modle.onnx
    name: digits
    task: detct
    thresholds: {score: 1.5, iuo: 0.3, max_detections: many}
  - source: model.onnx
    name: Digits
    threads: 16
    targets: orin-nano-8gb
    dla: true
    max_batch_size: 012
  - name: my model
    labels: nowhere.txt
"""


def test_ten_at_once(mistakes: Mistakes, golden: Callable[[str, str], None]) -> None:
    golden("spec/ten-mistakes.txt", "\n".join(mistakes(TEN)) + "\n")


def of_model(text: str) -> str:
    return f"models:\n  - source: model.onnx\n    {text}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "1:1: nothing is in it; write one with: kit init MODEL", id="empty"),
        pytest.param("# only a remark\n", "1:1: nothing is in it; write one with: kit init MODEL", id="remarks"),
        pytest.param("---\n", "1:1: nothing is in it; write one with: kit init MODEL", id="a document of nothing"),
        pytest.param("word", '1:1: expected keys; a spec begins with "models:", got "word"', id="a word"),
        pytest.param("- a", '1:1: expected keys; a spec begins with "models:", got a list', id="a list"),
        pytest.param("output: x", '1:1: no models; write "models:" and below it "- source: model.onnx"', id="none"),
        pytest.param("models:", '1:1: expected a list; each model begins with "- source: model.onnx"', id="no model"),
        pytest.param(
            "models: []", '1:9: expected a list; each model begins with "- source: model.onnx"', id="empty list"
        ),
        pytest.param(
            "models: {a: 1}", '1:9: expected a list; each model begins with "- source: model.onnx"', id="keys"
        ),
        pytest.param("models:\n  -\n", "2:4: nothing is here; a model begins with source: model.onnx", id="no keys"),
        pytest.param("models:\n  - a.onnx\n", '2:5: a model is keys; write "- source: a.onnx"', id="no keys, a word"),
        pytest.param(
            "models:\n  - source: x\n   name: x\n",
            "3:4: indented otherwise than what it belongs to; keys of one thing begin in one column",
            id="indentation",
        ),
        pytest.param(
            "models:\n  - source: x\n    name:x\n    keep: 1\n",
            '4:5: the line before has no ": " between key and value',
            id="no space after a colon",
        ),
        pytest.param(
            "output:x\nmodels: []\n",
            '2:7: a ":" that belongs to no key; put the value in quotes, or a space after the ":" above',
            id="no space",
        ),
        pytest.param(
            "models:\n- source: *.onnx\n",
            '2:12: "*" and "&" stand before names of what is shared; put it in quotes',
            id="star",
        ),
        pytest.param("models:\n  - name: x\n", "2:5: no source; write source: model.onnx", id="no source"),
        pytest.param("models:\n  - source:\n", "2:5: no source; write source: model.onnx", id="empty source"),
        pytest.param(of_model("name: a\n    name: b"), "4:5: name stands here already, in line 3", id="key twice"),
        pytest.param(
            of_model("thresholds: 0.3"),
            '3:17: expected keys, each with a value: score, iou, max_detections, got "0.3"',
            id="no keys below",
        ),
        pytest.param(
            of_model("keep: !!python/object/apply:os.system [x]"),
            "3:11: the tag !!python/object/apply:os.system means nothing in a spec; delete it",
            id="a tag that runs",
        ),
        pytest.param(
            of_model("keep: *old"), "3:11: *old: nothing before this place is named &old", id="alias of nothing"
        ),
        pytest.param("models: &a [*a]", "1:13: *a: nothing before this place is named &a", id="alias of itself"),
        pytest.param(
            "models:\n  - <<: {keep: 1}\n    source: model.onnx\n",
            "2:5: << is no key; what models share stands once, under defaults",
            id="merge key",
        ),
        pytest.param(of_model("? [a]\n    : b"), "3:7: a key must be a word", id="a list for a key"),
        pytest.param("models:\n\t- source: x\n", "2:1: a tab; YAML indents with spaces", id="tab"),
        pytest.param(
            "models:\n  - source: C: x\n",
            '2:14: a ":" that belongs to no key; put the value in quotes, or a space after the ":" above',
            id="two colons",
        ),
        pytest.param("models:\n  - source: @x\n", "2:13: '@' cannot begin a value; put it in quotes", id="reserved"),
        pytest.param("models: [a", "1:11: no YAML: expected ',' or ']', but got '<stream end>'", id="not closed"),
        pytest.param('models: "a', "1:11: no YAML: found unexpected end of stream", id="open quotes"),
        pytest.param(
            of_model("name: a\x07b"), "3:12: the character U+0007 may not stand in YAML; delete it", id="bell"
        ),
        pytest.param(
            of_model('name: "a\\u0007b"'),
            "3:11: expected a name in one line, without control characters",
            id="escaped bell",
        ),
        pytest.param(
            "models:\n  - source: model.onnx\n---\nmodels:\n",
            "3:1: a second document begins; write all models into one",
            id="two documents",
        ),
        pytest.param("a: " + "[" * 30, "1:24: nested deeper than 20 levels; a spec has five", id="deep"),
        pytest.param("models:\n" + "  - {}\n" * 1001, "2:3: 1001 models; a spec has at most 1000", id="many"),
    ],
)
def test_of_form(mistakes: Mistakes, text: str, told: str) -> None:
    assert told in mistakes(text)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("lables: x", 'unknown key "lables"; did you mean "labels"?'),
        ("Targets: x", 'unknown key "Targets"; write "targets"; the keys here are '),
        ("max-batch-size: 1", 'unknown key "max-batch-size"; write "max_batch_size"'),
        ("instance_count: 1", 'unknown key "instance_count"; write "instances"'),
        ("score_threshold: 1", 'unknown key "score_threshold"; write "thresholds"'),
        ("output: x", 'unknown key "output"; it stands at the top of the file, for all models'),
        ("dla: true", "a DLA is in agx-orin-64gb, orin-nx-16gb, orin-nx-8gb, and engines are built for it"),
        ("zzz: 1", 'unknown key "zzz"; choose from '),
        (f"{'k' * 100}: 1", f'unknown key "{"k" * 60}"'),
    ],
)
def test_unknown_keys_of_a_model(mistakes: Mistakes, key: str, told: str) -> None:
    (line,) = mistakes(of_model(key))
    assert line.startswith("3:5: ")
    assert told in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("targets: x86-cpu", '1:1: unknown key "targets"; it stands at a model, or under defaults'),
        ("name: x", '1:1: unknown key "name"; it stands at a model'),
        ("modells: x", '1:1: unknown key "modells"; did you mean "models"?'),
        ("repository: x", '1:1: unknown key "repository"; write "output"'),
        ("defaults: {name: x}", '1:12: unknown key "name"; each model has its own'),
        ("defaults: {target: t4}", '1:12: unknown key "target"; write "targets"'),
        ("defaults: t4", "1:11: expected keys, each with a value: targets"),
    ],
)
def test_keys_in_the_wrong_place(mistakes: Mistakes, text: str, told: str) -> None:
    (line,) = mistakes(f"{text}\nmodels:\n  - source: model.onnx\n")
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("key", "column", "told"),
    [
        ("targets: t5", 14, 'no target "t5"; did you mean "t4"?'),
        ("targets: [t4, t4]", 19, '"t4" stands twice in this list'),
        ("targets: []", 14, "expected 1 to 64 of them, got a list"),
        ("targets: {t4: 1}", 14, "expected a list; each is the name of a target, got keys"),
        ("targets: [[t4]]", 15, "expected the name of a target, got a list"),
        ("task: clasify", 11, 'unknown task "clasify"; did you mean "classify"? choose from classify, detect, '),
        ("task: [raw]", 11, "got a list"),
        ("precision: fp23", 16, 'unknown precision "fp23"; did you mean "fp32"?'),
        ("contract: severed", 15, 'did you mean "served"?'),
        ("color: grb", 12, "choose from bgr, rgb"),
        ("verify: off", 13, 'unknown value for verify "off"; choose from auto, live, none'),
        ("keep: -1", 11, 'expected a whole number from 0, got "-1"'),
        ("keep: 1.5", 11, "expected a whole number"),
        ("keep: '1'", 11, 'got "1" in quotes, which is text'),
        ("keep: true", 11, 'got "true"'),
        ("keep: 0x10", 11, 'got "0x10"'),
        ("keep: 1_000", 11, 'got "1_000"'),
        ("keep: 1:30", 11, 'got "1:30"'),
        ("keep: 012", 11, 'got "012"'),
        ("keep: 2026-11-22", 11, 'got "2026-11-22"'),
        ("keep: .inf", 11, 'got ".inf"'),
        ("keep: 1e999", 11, 'got "1e999"'),
        ("instances: 0", 16, "expected a whole number from 1 to 1024"),
        ("thresholds: {score: 1}", 25, 'expected a number of at least 0 and below 1, got "1"'),
        ("thresholds: {iou: 0}", 23, 'expected a number above 0 and at most 1, got "0"'),
        ("thresholds: {score: .nan}", 25, "expected a number"),
        ("mean: high", 11, "expected a number, or a list of one for each channel"),
        ("mean: [0.1, x]", 17, "expected a number"),
        ("mean: 0.1, 0.2", 11, "expected a number"),
        ("std: [1, 0, 1]", 14, "1e-06 to 1e+06 in size"),
        ("std: []", 10, "a list"),
        ("input_shape: 0x3", 18, "expected a shape without the batch, as 3x640x640"),
        ("input_shape: [3, 0]", 22, "expected a whole number from 1"),
        ("labels: nowhere.txt", 13, 'labels "nowhere.txt": no such file, nor a known set; choose from coco-80'),
        ("labels: coco80", 13, 'did you mean "coco-80"?'),
        ("labels: .", 13, 'labels "." is a folder'),
        ("head: yolov88", 11, 'unknown head "yolov88"; did you mean "yolov8"?'),
        ("head: [detr, sofmax]", 11, 'head "detr" has no variation "sofmax"; did you mean "softmax"?'),
        ("argmax: yes", 13, 'expected true or false, got "yes"'),
        ("calibration: pictures", 18, "pictures does not exist"),
        (f"labels: {'a' * 300}", 13, "cannot be read: [Errno 36] File name too long"),
        (f"calibration: {'a' * 300}", 18, "cannot be read: File name too long"),
        ("name: a/b", 11, 'model name "a/b": letters'),
        (
            "threads: 16\n    targets: [t4, orin-nano-8gb]",
            14,
            "orin-nano-8gb has 6 CPU threads, not 16; ask for 6 or fewer",
        ),
        (
            "weights: random",
            14,
            "this model has its weights inside; weights are for package.module:callable and timm:NAME",
        ),
        ("weights: w.pt", 14, "w.pt does not exist"),
        ("input_shape: 3x8x8", 18, "this model says itself what it takes; input_shape is for PyTorch models"),
    ],
)
def test_values(mistakes: Mistakes, key: str, column: int, told: str) -> None:
    (line,) = mistakes(of_model(key))
    assert line.startswith(f"3:{column}: ")
    assert told in line


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("modle.onnx", "2:13: modle.onnx does not exist; ./ holds model.onnx"),
        ("folder/x.onnx", "2:13: folder/x.onnx does not exist"),
        (".", "2:13: . is a folder; give the path of a model"),
        ("[a]", "2:13: expected the path of a model, package.module:callable or timm:NAME, got a list"),
        ("'a b:c'", '2:13: "a b:c" is no file'),
        ("' '", '2:13: expected the path of a model, package.module:callable or timm:NAME, got " "'),
    ],
)
def test_sources(mistakes: Mistakes, source: str, told: str) -> None:
    (line,) = mistakes(f"models:\n  - source: {source}\n    name: m\n")
    assert line.startswith(told)


def test_means_of_another_length_than_stds(mistakes: Mistakes) -> None:
    assert mistakes(of_model("mean: [1, 2]\n    std: [1, 2, 3]")) == [
        "3:11: mean has 2 values, std has 3; give one for each channel"
    ]


def test_one_name_for_two_models(mistakes: Mistakes) -> None:
    text = "models:\n  - source: model.onnx\n  - {source: model.onnx, name: MODEL}\n  - source: ./model.onnx\n"
    words = 'the model of line 2 is named "model" already; give this one a name: of its own'
    assert mistakes(text) == [f"3:32: {words}", f"4:13: {words}"]


def test_a_mistake_under_defaults_is_told_once(mistakes: Mistakes) -> None:
    both = "  - source: model.onnx\n  - {source: model.onnx, name: other}\n"
    assert len(mistakes(f"defaults: {{targets: [orin-nano-8gb], threads: 16}}\nmodels:\n{both}")) == 1
    assert len(mistakes(f"defaults: {{targets: [t5]}}\nmodels:\n{both}")) == 1


def test_no_more_than_a_hundred_are_told(mistakes: Mistakes) -> None:
    told = mistakes("models:\n" + "  - source: nowhere.onnx\n" * 150)
    assert len(told) == 101
    assert told[-1] == "... and 50 more"


class TestTheFile:
    @pytest.fixture(autouse=True)
    def in_a_folder(self, here: Path) -> None:
        pass

    def test_that_is_not_there(self) -> None:
        with pytest.raises(SourceNotFoundError, match=r"^x\.yaml does not exist; write one with: kit init MODEL$"):
            plan.jobs(Path("x.yaml"))
        Path("y.yaml").touch()
        with pytest.raises(SourceNotFoundError, match=r"^x\.yaml does not exist; \./ holds y\.yaml$"):
            plan.jobs(Path("x.yaml"))

    def test_that_is_a_folder(self) -> None:
        Path("x.yaml").mkdir()
        with pytest.raises(SourceNotFoundError, match=r"^x\.yaml is a folder; give the path of a spec file"):
            plan.jobs(Path("x.yaml"))

    def test_that_never_ends(self) -> None:
        with pytest.raises(SourceNotFoundError, match="/dev/zero is no regular file"):
            plan.jobs(Path("/dev/zero"))

    def test_that_is_large(self) -> None:
        Path("x.yaml").write_bytes(b"#" * (10 << 20))
        with pytest.raises(InvalidSpecError, match=r"^x\.yaml has 10240 KB; a spec file has at most 256 KB$"):
            plan.jobs(Path("x.yaml"))
        Path("x.yaml").write_bytes(b"#" * LARGEST_BYTES)
        with pytest.raises(InvalidSpecError, match="nothing is in it"):
            plan.jobs(Path("x.yaml"))

    def test_that_is_no_text(self) -> None:
        Path("x.yaml").write_bytes(b"models:\n  - source: \xff\n")
        with pytest.raises(InvalidSpecError, match=r"^x\.yaml:2:13: not UTF-8 text; save it as UTF-8$"):
            plan.jobs(Path("x.yaml"))

    def test_with_a_byte_order_mark_is_read(self) -> None:
        Path("x.yaml").write_bytes(b"\xef\xbb\xbfmodels:\n  - source: model.onnx\n")
        assert [job.spec.name for job in plan.jobs(Path("x.yaml"))] == ["model"]

    def test_of_windows_is_read(self) -> None:
        Path("x.yaml").write_bytes(b"models:\r\n  - source: model.onnx\r\n    keep: x\r\n")
        with pytest.raises(InvalidSpecError, match=r"x\.yaml:3:11: expected a whole number"):
            plan.jobs(Path("x.yaml"))
