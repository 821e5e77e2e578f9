"""A spec file gets new values and loses nothing: remarks, order, quotes, blank lines and what others share."""

from __future__ import annotations

import difflib
import re
import stat
from pathlib import Path

import models
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kit import initial
from kit.errors import InvalidSpecError, TuneError
from kit.initial import Wish
from kit.specfile import applying, document, editing, plan
from kit.specfile.editing import Place
from kit.types import Serving

FOUND = Serving(max_batch_size=2, instance_count=3, max_queue_delay_us=500, intra_op_threads=1)
ALONE = Place(model=0)

SHAPES = {
    "block": (
        "#\nmodels:\n  - source: a.onnx # one\n\n    # ask\n    instances: 1   # few\n    keep: 3\n#\n",
        "#\nmodels:\n  - source: a.onnx # one\n\n    # ask\n    instances: 3   # few\n    keep: 3\n    threads: 1\n#\n",
    ),
    "flow": (
        "models: [{source: a.onnx, keep: 3}]\n",
        "models: [{source: a.onnx, keep: 3, instances: 3, threads: 1}]\n",
    ),
    "flow over lines": (
        "models:\n  - {\n    source: a.onnx,   # one\n    keep: 3,  # old\n  }\n",
        "models:\n  - {\n    source: a.onnx,   # one\n    keep: 3, instances: 3, threads: 1,  # old\n  }\n",
    ),
    "no end of line": (
        "models:\n- source: a.onnx",
        "models:\n- source: a.onnx\n  instances: 3\n  threads: 1\n",
    ),
    "an empty value": (
        "models:\n- source: a.onnx\n  threads: # auto\n  instances:\n",
        "models:\n- source: a.onnx\n  threads: 1 # auto\n  instances: 3\n",
    ),
    "a list below": (
        "models:\n- source: a.onnx\n  targets:\n  - x86-cpu   # here\n# that is all\n",
        "models:\n- source: a.onnx\n  targets:\n  - x86-cpu   # here\n  instances: 3\n  threads: 1\n# that is all\n",
    ),
    "folded text": (
        "models:\n- source: a.onnx\n  name: >-\n    m\n\n# end\n",
        "models:\n- source: a.onnx\n  name: >-\n    m\n\n  instances: 3\n  threads: 1\n# end\n",
    ),
    "windows": (
        "models:\r\n- source: a.onnx\r\n",
        "models:\r\n- source: a.onnx\r\n  instances: 3\r\n  threads: 1\r\n",
    ),
    "an alias": (
        "defaults: {keep: &n 2}\nmodels:\n- {source: a.onnx, instances: *n }\n",
        "defaults: {keep: &n 2}\nmodels:\n- {source: a.onnx, instances: 3, threads: 1 }\n",
    ),
    "what kit init writes": (
        "models:\n  - source: a.onnx\n    # Copies. [from 1]\n    #instances: 1\n\n    # CPU\n    #threads: 4\n",
        "models:\n  - source: a.onnx\n    # Copies. [from 1]\n    instances: 3\n\n    # CPU\n    threads: 1\n",
    ),
    "what it writes, on windows": (
        "models:\r\n- source: a.onnx\r\n  #instances: 1\r\n  #threads: 4\r\n",
        "models:\r\n- source: a.onnx\r\n  instances: 3\r\n  threads: 1\r\n",
    ),
    "a remark that is more than a key": (
        "models:\n  - source: a.onnx\n    #instances: 8 too slow\n  #threads: 2\n",
        "models:\n  - source: a.onnx\n    instances: 3\n    threads: 1\n    #instances: 8 too slow\n  #threads: 2\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_values_change(shape: str) -> None:
    before, after = SHAPES[shape]
    assert editing.put(before, ALONE, {"instances": "3", "threads": "1"}) == after


def test_the_right_model_of_several() -> None:
    text = "models:\n- source: a.onnx\n- source: b.onnx\n  instances: 1\n- {source: c.onnx}\n"
    assert editing.put(text, Place(model=1), {"instances": "2"}) == text.replace("instances: 1", "instances: 2")
    assert "- {source: c.onnx, threads: 2}" in editing.put(text, Place(model=2), {"threads": "2"})


TARGET = Place(model=0, target="t4")
APART = {
    "none": ("", "  per_target: {t4: {instances: 3, threads: 1}}\n"),
    "nothing in it": ("  per_target:\n", "  per_target: {t4: {instances: 3, threads: 1}}\n"),
    "another": ("  per_target: {l4: {keep: 1}}\n", "  per_target: {l4: {keep: 1}, t4: {instances: 3, threads: 1}}\n"),
    "a block": (
        "  per_target:\n    l4: {instances: 9}  # big\n",
        "  per_target:\n    l4: {instances: 9}  # big\n    t4: {instances: 3, threads: 1}\n",
    ),
    "the same": (
        "  per_target:\n    t4:\n      threads: 4  # all\n    l4: {}\n",
        "  per_target:\n    t4:\n      threads: 1  # all\n      instances: 3\n    l4: {}\n",
    ),
    "the same, empty": ("  per_target: {t4: ~}\n", "  per_target: {t4: {instances: 3, threads: 1}}\n"),
}  # fmt: skip


@pytest.mark.parametrize("shape", APART)
def test_one_target_of_several(shape: str) -> None:
    before, after = (f"models:\n- source: a.onnx\n{text}  keep: 1\n" for text in APART[shape])
    made = editing.put(before, TARGET, {"instances": "3", "threads": "1"})
    if shape == "none":
        after = "models:\n- source: a.onnx\n  keep: 1\n" + APART[shape][1]
    assert made == after
    assert made.splitlines()[editing.line_of(made, TARGET, "instances") - 1].count("instances: 3") == 1


@pytest.mark.parametrize(
    "text",
    [
        "defaults: &d {keep: 1}\nmodels: &m\n- source: a.onnx\n",
        "models:\n- &a\n  source: a.onnx\n- *a\n",
        "models:\n- source: a.onnx\n  instances: &n 2\n  keep: *n\n",
    ],
)
def test_what_is_shared_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(
        TuneError, match=r"^line \d is shared by & and \*.*; write yourself, at the model: instances: 3"
    ):
        editing.put(text, ALONE, {"instances": "3"})


def test_what_cannot_be_put_there_is_said() -> None:
    text = "models:\n- ? source\n  : a.onnx\n  ? instances\n"
    with pytest.raises(TuneError, match=r"^the spec is written in a way .*, at the model: instances: 3"):
        editing.put(text, ALONE, {"instances": "3"})


KEYS = {"instances": "3", "threads": "1", "max_batch_size": "2", "queue_delay_us": "500"}
REMARK = st.sampled_from(["", "  # why", "   # a: b", "  # {x"])
REMARKS = re.compile(r"# (?:mine|here|why|a: b|\{x|remark: 1|in it)\r?$", re.MULTILINE)
VALUES = {
    "name": ["m", "'m'", '"m"'], "keep": ["2", "", "~"], "targets": ["t4", "[t4, l4]", "[ t4 ,l4 , ]"],
    "thresholds": ["{score: 0.3}", "{score: 0.3, iou: 0.5 }", ""], "mean": ["0.5", "[0.1, 0.2, 0.3]"],
    "instances": ["1", "", "7"], "threads": ["0", "~"], "queue_delay_us": ["1"], "labels": ["über.txt", "'a # b'"],
}  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return specs of one to three models as people write them."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [draw(st.sampled_from(["# mine", "", "output: out  # here"])), "models:"]
    indent = " " * draw(st.integers(0, 4))
    for _ in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True))
        pairs = [("source", "model.onnx"), *((name, draw(st.sampled_from(VALUES[name]))) for name in names)]
        if draw(st.booleans()):
            lines.append(f"{indent}- {{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}" + draw(REMARK))
            continue
        for number, (key, value) in enumerate(pairs):
            lines.append(f"{indent}{'- ' if not number else '  '}{key}: {value}{draw(REMARK)}")
            lines += draw(st.sampled_from([[], [""], ["# remark: 1"], [f"{indent}  # in it"]]))
    return newline.join(lines) + draw(st.sampled_from(["", newline, newline * 2]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=texts(),
    number=st.integers(0, 2),
    target=st.sampled_from([None, "t4", "l4"]),
    values=st.lists(st.sampled_from(sorted(KEYS)), min_size=1, unique=True),
)
def test_everything_else_stays(text: str, number: int, target: str | None, values: list[str]) -> None:
    """By the document (which ``put`` holds itself to), and by its lines: none goes but those that a value stands in."""
    root, wrong = document.parse(text)
    assume(not wrong and number < len(plain(root)["models"]))
    place, said = Place(model=number, target=target), {key: KEYS[key] for key in values}
    made = editing.put(text, place, said)
    before, after = plain(root), plain(document.parse(made)[0])
    one = after["models"][number] if target is None else after["models"][number]["per_target"][target]
    assert {key: one[key] for key in values} == said
    for key in values if target is None else ["per_target"]:
        before["models"][number].pop(key, None)
        after["models"][number].pop(key)
    assert before == after
    assert editing.put(made, place, said) == made
    gone = [line[2:] for line in difflib.ndiff(text.splitlines(), made.splitlines()) if line.startswith("- ")]
    assert all("{" in line or line.split(":")[0].strip(" -") in said for line in gone), gone
    assert [m.strip() for m in REMARKS.findall(made)] == [m.strip() for m in REMARKS.findall(text)]


def plain(node: object) -> dict[str, object]:
    """Return a document in JSON's values, all scalars as text."""
    from kit.document import Items, Pairs, Scalar

    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    if isinstance(node, Pairs):
        return {key.text: plain(value) for key, value in node.pairs}
    assert isinstance(node, Scalar)
    return node.text


class TestApplying:
    def test_what_differs_is_written_and_told(self, here: Path) -> None:
        Path("spec.yaml").write_text("models:\n- source: model.onnx\n  instances: 3\n  threads: 4  # all\n")
        changes = applying.apply(applying.find(Path("spec.yaml"), "model", "x86-cpu"), FOUND)
        (job,) = plan.jobs(Path("spec.yaml"))
        assert job.spec.on("x86-cpu").max_queue_delay_us == 500
        assert (job.spec.instance_count, job.spec.intra_op_threads, job.spec.max_batch_size) == (3, 1, 2)
        assert [(c.key, c.before, c.after, c.line) for c in changes] == [
            ("max_batch_size", "4", "2", 5), ("queue_delay_us", "0", "500", 6), ("threads", "4", "1", 4),
        ]  # fmt: skip
        assert "# all\n" in Path("spec.yaml").read_text()
        assert applying.apply(applying.find(Path("spec.yaml"), "model", "x86-cpu"), FOUND) == ()

    def test_a_file_of_kit_init(self, here: Path) -> None:
        models.save(models.detector(), Path("d.onnx"))
        for wish, place in (
            (("x86-cpu",), "\n    instances: 3\n"),
            (("x86-cpu", "t4"), "\n    per_target: {x86-cpu: {"),
        ):
            initial.write(Wish(source="d.onnx", targets=wish), Path("spec.yaml"), force=True)
            before = Path("spec.yaml").read_text().splitlines()
            changes = applying.apply(applying.find(Path("spec.yaml"), "d", "x86-cpu"), FOUND)
            assert place in Path("spec.yaml").read_text()
            after = Path("spec.yaml").read_text().splitlines()
            assert len(before) == len(after)
            assert sum(a != b for a, b in zip(before, after, strict=True)) == (len(changes) if len(wish) == 1 else 1)
            assert plan.jobs(Path("spec.yaml"))[0].spec.on("x86-cpu").instance_count == 3

    def test_of_another_precision_and_runtime(self, here: Path) -> None:
        Path("spec.yaml").write_text("models:\n- {source: model.onnx, targets: [t4, x86-cpu]}\n")
        wanted = applying.find(Path("spec.yaml"), "model", "x86-cpu")
        applying.apply(wanted, Serving(runtime="openvino", precision="fp32", max_batch_size=1))
        assert Path("spec.yaml").read_text() == (
            "models:\n- {source: model.onnx, targets: [t4, x86-cpu], "
            "per_target: {x86-cpu: {runtime: openvino, max_batch_size: 1}}}\n"
        )

    def test_a_target_that_has_not_what_was_found(self, here: Path) -> None:
        text = "models:\n- {source: model.onnx, targets: [orin-nano-8gb]}\n"
        Path("spec.yaml").write_text(text)
        with pytest.raises(InvalidSpecError, match=r"spec\.yaml:2:\d+: orin-nano-8gb has 6 CPU threads, not 64"):
            applying.apply(applying.find(Path("spec.yaml"), "model", "orin-nano-8gb"), Serving(intra_op_threads=64))
        assert Path("spec.yaml").read_text() == text
        assert [p.name for p in Path().iterdir() if "partial" in p.name] == []

    @pytest.mark.parametrize(
        ("model", "target", "told"),
        [
            ("mode", "x86-cpu", r'^spec\.yaml makes no model "mode"; did you mean "model"'),
            ("model", "t4", r"^spec\.yaml makes model for x86-cpu, not for t4; add it to targets$"),
        ],
    )
    def test_mistakes(self, here: Path, model: str, target: str, told: str) -> None:
        Path("spec.yaml").write_text("models:\n- source: model.onnx\n")
        with pytest.raises(TuneError, match=told):
            applying.find(Path("spec.yaml"), model, target)

    def test_the_file_keeps_its_mode_its_mark_and_its_place_behind_a_link(self, here: Path) -> None:
        Path("real").mkdir()
        Path("real/s.yaml").write_bytes(b"\xef\xbb\xbfmodels:\r\n- source: model.onnx\r\n")
        Path("real/s.yaml").chmod(0o640)
        Path("spec.yaml").symlink_to("real/s.yaml")
        applying.apply(applying.find(Path("spec.yaml"), "model", "x86-cpu"), Serving(instance_count=2))
        assert Path("real/s.yaml").read_bytes() == b"\xef\xbb\xbfmodels:\r\n- source: model.onnx\r\n  instances: 2\r\n"
        assert stat.S_IMODE(Path("real/s.yaml").stat().st_mode) == 0o640
        assert Path("spec.yaml").is_symlink()
        assert [p.name for p in Path("real").iterdir()] == ["s.yaml"]
