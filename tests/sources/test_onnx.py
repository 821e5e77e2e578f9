"""ONNX files: what the model is stays, what tells of the machine that made it goes, each refusal has its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest
from onnx import helper

from kit import sources
from kit.compare import runner
from kit.errors import SourceNotFoundError, UnsupportedModelError
from kit.types import DataType, Model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    made.mkdir()
    return made


def load(model: onnx.ModelProto, folder: Path, name: str = "given.onnx") -> Model:
    path = models.save(model, folder.parent / "source" / name)
    return sources.resolve(str(path)).load(str(path), folder, None).model


def messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and every message in it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if not hasattr(value, "ListFields") else [value]:
                yield from messages(one)


def chatty() -> onnx.ModelProto:
    """A model with a remark wherever ONNX has room for one, in a subgraph and a function too."""
    one = helper.make_tensor("one", models.FLOAT, [1], [1.0])
    add = helper.make_graph(
        [models.node("Constant", "", "c", value=one), models.node("Add", "x c", "a")], "then", [],
        [helper.make_tensor_value_info("a", models.FLOAT, ("batch", 4))],
    )  # fmt: skip
    same = helper.make_graph(
        [models.node("Identity", "x", "b")], "else", [],
        [helper.make_tensor_value_info("b", models.FLOAT, ("batch", 4))],
    )  # fmt: skip
    double = helper.make_function(
        "own", "Double", ["v"], ["w"], [models.node("Add", "v v", "w")], [helper.make_opsetid("", 18)]
    )
    nodes = [
        models.node("If", "condition", "chosen", then_branch=add, else_branch=same, name="choose"),
        helper.make_node("Double", ["chosen"], ["doubled"], domain="own"),
        models.node("Mul", "doubled factor", "y", name="scale"),
    ]
    model = models.build(
        nodes, [("x", models.FLOAT, ("batch", 4))], [("y", models.FLOAT, ("batch", 4))],
        {"factor": np.float32(2), "condition": np.array(True)}, opset=18, ir_version=10,
    )  # fmt: skip
    model.functions.append(double)
    model.opset_import.append(helper.make_opsetid("own", 1))
    for message in messages(model):
        fields = {field.name for field in message.DESCRIPTOR.fields}
        if "doc_string" in fields:
            message.doc_string = "made by me on my machine"
        if "metadata_props" in fields and message is not model:
            message.metadata_props.add(key="pkg.torch.onnx.stack_trace", value='File "/home/me/net.py", line 3')
    return model


class TestStripping:
    def test_remarks_go_wherever_they_are(self, folder: Path) -> None:
        assert chatty().SerializeToString().count(b"made by me") > 8
        made = onnx.load(str(load(chatty(), folder).path))
        left = {
            type(m).__name__
            for m in messages(made)
            if getattr(m, "doc_string", "") or (m is not made and len(getattr(m, "metadata_props", ())))
        }
        assert left == set()

    def test_names_and_answers_stay(self, folder: Path) -> None:
        made = load(chatty(), folder)
        proto = onnx.load(str(made.path))
        assert [n.name for n in proto.graph.node] == ["choose", "", "scale"]
        assert [t.name for t in proto.graph.initializer] == ["factor", "condition"]
        assert (proto.graph.name, proto.functions[0].name) == ("graph", "Double")
        feeds = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
        assert np.array_equal(runner(made.path)(feeds)["y"], (feeds["x"] + 1) * 4)

    @pytest.mark.parametrize(
        ("key", "value", "stays"),
        [
            ("names", "{0: 'person', 1: 'and/or'}", True),
            ("stride", "32", True),
            ("docs", "https://docs.ultralytics.com/models/yolov8", True),
            ("license", "AGPL-3.0 License (https://ultralytics.com/license)", True),
            ("imgsz", "[640, 640]", True),
            ("date", "2026-11-22T10:00:00.000000", False),
            ("Date", "yesterday", False),
            ("timestamp", "1700000000", False),
            ("description", "Ultralytics YOLOv8n model trained on /home/me/coco.yaml", False),
            ("description", "Ultralytics YOLOv8n model trained on coco.yaml", True),
            ("args", "{'data': '/data/sets/coco.yaml'}", False),
            ("weights", "C:\\Users\\me\\best.pt", False),
        ],
    )
    def test_metadata_that_tells_of_a_day_or_a_machine_goes(
        self, key: str, value: str, stays: bool, folder: Path
    ) -> None:
        model = models.scale()
        helper.set_model_props(model, {key: value, "kept": "yes"})
        assert load(model, folder).metadata == {**({key: value} if stays else {}), "kept": "yes"}

    def test_operator_sets_are_named_once(self, folder: Path) -> None:
        model = models.scale()
        model.opset_import.extend([helper.make_opsetid("ai.onnx", 17), helper.make_opsetid("ai.onnx.ml", 3)])
        made = onnx.load(str(load(model, folder).path))
        assert [(o.domain, o.version) for o in made.opset_import] == [("", 17), ("ai.onnx.ml", 3)]


class TestBytes:
    def test_equal_models_are_equal_bytes(self, tmp_path: Path) -> None:
        """However the file was written: order of metadata and operator sets, remarks, the file's name."""
        first = models.classifier(metadata={"names": "['a', 'b', 'c']", "task": "classify", "date": "2026-01-01"})
        first.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        second = models.classifier(metadata={"task": "classify", "names": "['a', 'b', 'c']"})
        second.opset_import.insert(0, helper.make_opsetid("ai.onnx.ml", 3))
        second.opset_import.append(helper.make_opsetid("ai.onnx", 17))
        second.doc_string = "another remark"
        second.graph.node[0].doc_string = "and one more"
        assert first.SerializeToString() != second.SerializeToString()
        digests = set()
        for number, model in enumerate((first, second)):
            folder = tmp_path / str(number) / "stage"
            folder.mkdir(parents=True)
            made = load(model, folder, f"{number}.onnx")
            digests.add((made.digest, made.path.read_bytes()))
        assert len(digests) == 1

    def test_another_weight_is_another_digest(self, folder: Path) -> None:
        assert load(models.scale(2.0), folder).digest != load(models.scale(2.0000002), folder).digest

    def test_the_digest_is_the_files(self, folder: Path) -> None:
        import hashlib

        made = load(models.scale(), folder)
        assert made.digest == hashlib.sha256(made.path.read_bytes()).hexdigest()
        assert made.path.parent == folder

    def test_the_fingerprint_is_that_of_the_users_file(self, tmp_path: Path) -> None:
        path = models.save(models.scale(), tmp_path / "a.onnx")
        source = sources.resolve(str(path))
        before = source.fingerprint(str(path))
        assert source.fingerprint(str(models.save(models.scale(), tmp_path / "b.onnx"))) == before
        models.save(models.scale(3.0), path)
        assert source.fingerprint(str(path)) != before


class TestSignature:
    def test_is_what_onnx_runtime_infers(self, folder: Path) -> None:
        """An output declared without a shape has the one that follows from the graph."""
        model = models.classifier()
        model.graph.output[0].type.tensor_type.ClearField("shape")
        made = load(model, folder)
        assert made.signature.outputs[0].shape == (-1, 3)
        assert (made.opset, made.ir_version) == (17, 8)

    @pytest.mark.parametrize(
        ("element", "dtype"),
        [(models.FLOAT, DataType.FP32), (models.HALF, DataType.FP16), (models.BYTE, DataType.UINT8),
         (onnx.TensorProto.INT64, DataType.INT64), (onnx.TensorProto.BOOL, DataType.BOOL),
         (onnx.TensorProto.STRING, DataType.BYTES), (onnx.TensorProto.DOUBLE, DataType.FP64)],
    )  # fmt: skip
    def test_has_tritons_types(self, element: int, dtype: DataType, folder: Path) -> None:
        identity = models.build(
            [models.node("Identity", "x", "y")], [("x", element, ("batch", 2))], [("y", element, ("batch", 2))]
        )
        signature = load(identity, folder).signature
        assert {t.dtype for t in (*signature.inputs, *signature.outputs)} == {dtype}

    def test_of_sequences_is_refused(self, folder: Path) -> None:
        pieces = helper.make_tensor_sequence_value_info("y", models.FLOAT, None)
        graph = helper.make_graph(
            [models.node("SplitToSequence", "x", "y", axis=1)], "graph",
            [helper.make_tensor_value_info("x", models.FLOAT, ("batch", 4))], [pieces],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        with pytest.raises(UnsupportedModelError, match=r"^y is a seq\(tensor\(float\)\); Triton serves tensors only$"):
            load(model, folder)


class TestRefusals:
    def test_folders_are_no_models(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").mkdir()
        with pytest.raises(SourceNotFoundError, match=r"model\.onnx is a folder; give the path of an \.onnx file$"):
            sources.resolve(str(tmp_path / "model.onnx")).fingerprint(str(tmp_path / "model.onnx"))

    def test_a_mistyped_path_is_answered_with_its_neighbours(self, tmp_path: Path) -> None:
        for name in "fcabedg":
            (tmp_path / f"{name}.onnx").touch()
        (tmp_path / "x.txt").touch()
        wrong = str(tmp_path / "wrong.onnx")
        with pytest.raises(
            SourceNotFoundError,
            match=re.escape(f"{wrong} does not exist; {tmp_path}/ holds a.onnx, b.onnx, c.onnx, d.onnx, e.onnx") + "$",
        ):
            sources.resolve(wrong).fingerprint(wrong)

    @pytest.mark.parametrize("place", ["empty/wrong.onnx", "nowhere/wrong.onnx"])
    def test_where_there_is_none_the_form_is_told(self, place: str, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(SourceNotFoundError, match=r"wrong\.onnx does not exist; give the path of an \.onnx file$"):
            sources.resolve(str(tmp_path / place)).fingerprint(str(tmp_path / place))

    def test_a_loop_of_links_is_told(self, tmp_path: Path) -> None:
        loop = tmp_path / "loop.onnx"
        loop.symlink_to(loop)
        with pytest.raises(SourceNotFoundError, match=r"loop\.onnx cannot be read: "):
            sources.resolve(str(loop)).fingerprint(str(loop))


def test_the_users_file_is_never_changed(folder: Path, tmp_path: Path) -> None:
    path = models.save(chatty(), tmp_path / "mine.onnx")
    path.chmod(0o444)
    before = path.read_bytes()
    sources.resolve(str(path)).load(str(path), folder, None)
    assert path.read_bytes() == before


def test_what_cannot_be_loaded_is_called_by_the_users_name_for_it(folder: Path) -> None:
    """Not by that of its copy in the cache."""
    proto = models.build(
        [models.node("Relu", "nothing", "y")], [("x", models.FLOAT, (1,))], [("y", models.FLOAT, (1,))]
    )
    with pytest.raises(UnsupportedModelError, match=r"^ONNX Runtime cannot load mine\.onnx: "):
        load(proto, folder, "mine.onnx")
