"""``kit init``: what it writes makes what ``kit generate`` makes without it, and every line that it offers is right."""

from __future__ import annotations

from pathlib import Path

import models
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import document as tree
from kit import initial, spec
from kit.errors import SourceNotFoundError, UsageError
from kit.initial import Wish
from kit.planning import Options
from kit.specfile import document, plan
from kit.specfile.fields import MODEL, RUN
from kit.specfile.writing import quoted
from kit.types import Thresholds

NETWORKS = {
    "detector": models.detector(),
    "classifier": models.classifier(),
    "two-inputs": models.two_inputs(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_says_what_holds_without_it(here: Path, name: str) -> None:
    models.save(NETWORKS[name], Path(f"{name}.onnx"))
    initial.write(Wish(source=f"{name}.onnx", targets=("t4", "x86-cpu")), Path("spec.yaml"), force=False)
    (job,) = plan.jobs(Path("spec.yaml"))
    assert job.spec == spec.build(f"{name}.onnx", name=None, targets=("t4", "x86-cpu"), thresholds=Thresholds())
    assert job.options == Options()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_line_that_it_offers_may_be_said(here: Path, name: str) -> None:
    """Alone, and all together; the paths in the examples are made here."""
    models.save(NETWORKS[name], Path(f"{name}.onnx"))
    Path("labels.txt").touch()
    Path("images").mkdir()
    Path("my-targets").mkdir()
    text = initial.text(Wish(source=f"{name}.onnx", targets=("x86-cpu",)), Path())
    lines = text.splitlines()
    offered = [
        n for n, line in enumerate(lines) if line.lstrip().startswith("#") and not line.lstrip().startswith("# ")
    ]
    names = {lines[n].lstrip().lstrip("#").partition(":")[0] for n in offered}
    said = {"source", "name", "targets"}
    unfit = {"input_shape", "weights"} | ({"thresholds"} if name != "detector" else set())
    assert names == {key.name for key in (*MODEL, *RUN)} - said - unfit | {"defaults"}
    for chosen in ([n] for n in offered):
        said_now = [line.replace("#", "", 1) if n in chosen else line for n, line in enumerate(lines)]
        Path("spec.yaml").write_text("\n".join(said_now))
        assert len(plan.jobs(Path("spec.yaml"))) == 1
    together = [line.replace("#", "", 1) if n in offered else line for n, line in enumerate(lines)]
    Path("spec.yaml").write_text("\n".join(together))
    assert len(plan.jobs(Path("spec.yaml"))) == 1


def test_values_that_it_offers_are_those_that_hold(here: Path) -> None:
    """To say them changes nothing but that it was said."""
    models.save(models.detector(), Path("d.onnx"))
    text = initial.text(Wish(source="d.onnx", targets=("t4",)), Path())
    offered = (
        *("#task: detect", "#head: yolov8", "#color: rgb", "#precision: fp32", "#mean: [0.0, 0.0, 0.0]"),
        *("#std: [1.0, 1.0, 1.0]", "#max_batch_size: 8"),
        "#thresholds: {score: 0.25, iou: 0.45, max_detections: 100}",
    )
    for line in offered:
        assert f"    {line}\n" in text
    assert text.startswith("# d: images FP32[N, ")
    assert "# Recognised as detect (yolov8, " in text


class TestTheFile:
    def test_is_not_overwritten_without_a_word(self, here: Path) -> None:
        Path("spec.yaml").write_text("mine")
        with pytest.raises(UsageError, match=r"^spec\.yaml is there already; --force overwrites it, or choose another"):
            initial.write(Wish(source="model.onnx", targets=("t4",)), Path("spec.yaml"), force=False)
        assert Path("spec.yaml").read_text() == "mine"
        initial.write(Wish(source="model.onnx", targets=("t4",)), Path("spec.yaml"), force=True)
        assert plan.jobs(Path("spec.yaml"))[0].spec.targets == ("t4",)

    def test_names_the_model_from_its_own_folder(self, here: Path) -> None:
        Path("specs").mkdir()
        initial.write(Wish(source="model.onnx", targets=("t4",)), Path("specs/a.yaml"), force=False)
        assert "  - source: ../model.onnx\n" in Path("specs/a.yaml").read_text()
        assert plan.jobs(Path("specs/a.yaml"))[0].spec.source == "specs/../model.onnx"

    def test_is_not_made_for_a_mistake(self, here: Path) -> None:
        with pytest.raises(SourceNotFoundError):
            initial.write(Wish(source="x.onnx", targets=("t4",)), Path("spec.yaml"), force=False)
        assert not Path("spec.yaml").exists()


@pytest.mark.parametrize(
    "name", ["a b.onnx", "über.onnx", "1.onnx", "no.onnx", "#x.onnx", "a'b\".onnx", "-x.onnx", "no"]
)
def test_odd_names_of_files(here: Path, name: str) -> None:
    models.save(models.classifier(), Path(name))
    source = name if name.endswith(".onnx") else f"./{name}"
    initial.write(Wish(source=source, targets=("t4",), name="m"), Path("spec.yaml"), force=False)
    (job,) = plan.jobs(Path("spec.yaml"))
    assert Path(job.spec.source) == Path(name)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn"]), min_size=1))
def test_quoted_is_read_as_it_was(word: str) -> None:
    root, wrong = document.parse(f"key: {quoted(word)}\n")
    assert wrong == ()
    assert isinstance(root, tree.Pairs)
    ((_, value),) = root.pairs
    assert isinstance(value, tree.Scalar)
    assert value.text == word


def test_a_model_that_is_not_recognised_is_offered_as_raw(here: Path) -> None:
    models.save(models.two_inputs(), Path("m.onnx"))
    assert "    #task: raw\n" in initial.text(Wish(source="m.onnx", targets=("t4",)), Path())


def test_what_the_user_says_is_said(here: Path) -> None:
    models.save(models.detector(), Path("d.onnx"))
    wish = Wish(source="d.onnx", targets=("t4",), task="detect", head="yolov8", contract="native")
    text = initial.text(wish, Path())
    assert "\n    task: detect\n" in text
    assert "\n    head: yolov8\n" in text
    assert "\n    contract: native\n" in text
