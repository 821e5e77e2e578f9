"""A fixed batch made variable: proved by equality, or left alone with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import kit.graph
from kit import batching
from kit.compare import runner
from kit.types import DataType, Model, Signature, Tensor

FLOAT = models.FLOAT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    made.mkdir()
    return made


def described(model: onnx.ModelProto, folder: Path) -> Model:
    onnx.checker.check_model(model)
    path = models.save(model, folder.parent / "source" / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(model, path))


def network(
    nodes: list[onnx.NodeProto], shape: tuple[int, ...], made: tuple[int, ...], opset: int = 17, **weights: object
) -> onnx.ModelProto:
    """A network with the input x and the output y, of fixed sizes."""
    return models.build(nodes, [("x", FLOAT, shape)], [("y", FLOAT, made)], weights, opset=opset)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def flatten(batch: int = 1) -> onnx.ModelProto:
    """What every exporter writes for ``view(1, -1)``."""
    return network([models.node("Reshape", "x to", "y")], (batch, 3, 4, 4), (batch, 48), to=ints(batch, -1))


def upscale(batch: int = 1) -> onnx.ModelProto:
    """Resize with the batch among its sizes."""
    resize = models.node("Resize", "x   to", "y", mode="nearest")
    resize.input[:] = ["x", "", "", "to"]
    return network([resize], (batch, 2, 3, 4), (batch, 2, 6, 8), to=ints(batch, 2, 6, 8))


def class_token() -> onnx.ModelProto:
    """A constant row in front of those of each picture, as vision transformers have it."""
    nodes = [models.node("Concat", "token x", "y", axis=1)]
    return network(nodes, (1, 4, 3), (1, 5, 3), token=np.ones((1, 1, 3), np.float32))


def attention(heads: int = 2) -> onnx.ModelProto:
    """Heads merged with the batch, as ``nn.MultiheadAttention`` does, with the batch in second place."""
    nodes = [
        models.node("Transpose", "x", "sequence", perm=[1, 0, 2]),
        models.node("Reshape", "sequence split", "parts"),
        models.node("Transpose", "parts", "each", perm=[1, 0, 2]),
        models.node("Transpose", "parts", "keys", perm=[1, 2, 0]),
        models.node("MatMul", "each keys", "logits"),
        models.node("Softmax", "logits", "weights", axis=-1),
        models.node("MatMul", "weights each", "mixed"),
        models.node("Transpose", "mixed", "back", perm=[1, 0, 2]),
        models.node("Reshape", "back join", "joined"),
        models.node("Transpose", "joined", "y", perm=[1, 0, 2]),
    ]
    return network(nodes, (1, 5, 4), (1, 5, 4), split=ints(5, heads, 4 // heads), join=ints(5, 1, 4))


def unmerged() -> onnx.ModelProto:
    """The batch is merged with windows and comes apart again through a shape with a 1 in front."""
    nodes = [
        models.node("Reshape", "x apart", "windows"),
        models.node("MatMul", "windows w", "mixed"),
        models.node("Reshape", "mixed together", "y"),
    ]
    return network(
        nodes, (1, 3, 4, 2), (1, 3, 4, 2), apart=ints(3, 4, 2), together=ints(1, 3, 4, 2),
        w=np.arange(4, dtype=np.float32).reshape(2, 2),
    )  # fmt: skip


def picked() -> onnx.ModelProto:
    """Queries, keys and values stacked in front of the batch and picked one by one, by Gather and by Split."""
    nodes = [
        models.node("Reshape", "x three", "stacked"),
        models.node("Transpose", "stacked", "front", perm=[2, 0, 1, 3]),
        models.node("Gather", "front zero", "queries", axis=0),
        models.node("Split", "front", "a b c", axis=0),
        models.node("Squeeze", "b zeros", "keys"),
        models.node("Mul", "queries keys", "products"),
        models.node("ReduceSum", "products last", "y", keepdims=0),
    ]
    return network(
        nodes, (1, 5, 12), (1, 5), three=ints(1, 5, 3, 4), zero=np.array(0, np.int64), zeros=ints(0), last=ints(-1)
    )


def repeated() -> onnx.ModelProto:
    """Expand to a shape with the batch in it."""
    return network([models.node("Expand", "x to", "y")], (1, 1, 3), (1, 4, 3), to=ints(1, 4, 3))


def two_inputs() -> onnx.ModelProto:
    return models.build(
        [models.node("Reshape", "left to", "l"), models.node("Add", "l right", "y")],
        [("left", FLOAT, (1, 2, 2)), ("right", FLOAT, (1, 4))], [("y", FLOAT, (1, 4))], {"to": ints(1, 4)},
    )  # fmt: skip


def looked_up() -> onnx.ModelProto:
    """Indices into a table."""
    nodes = [models.node("Gather", "table x", "rows", axis=0), models.node("Reshape", "rows to", "y")]
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    return models.build(
        nodes, [("x", TensorProto.INT64, (1, 3))], [("y", FLOAT, (1, 6))], {"table": table, "to": ints(1, 6)}
    )


VARIABLE = {
    "classifier": models.classifier(batch=1), "detector": models.detector(batch=1),
    "old detector": models.detector(batch=1, opset=11), "four pictures": models.detector(batch=4),
    "flatten": flatten(), "flatten 4": flatten(4), "upscale": upscale(), "upscale 2": upscale(2),
    "class token": class_token(), "attention": attention(), "one head": attention(1), "windows": unmerged(),
    "picked": picked(), "repeated": repeated(), "two inputs": two_inputs(), "looked up": looked_up(),
    "bytes": models.classifier(element=models.BYTE, layout="NHWC", batch=1),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLE)
def test_every_batch_is_answered_as_each_picture_alone(name: str, folder: Path) -> None:
    before = described(VARIABLE[name], folder)
    size = batching.fixed_batch(before.signature)
    assert size is not None
    made = batching.make_variable(before, folder)
    assert made.notes == (
        f"the batch of {size} was made variable: several pictures together are answered as each alone",
    )
    assert made.signature.batched
    assert [t.shape[1:] for t in made.signature.outputs] == [t.shape[1:] for t in before.signature.outputs]
    assert [p.name for p in folder.iterdir()] == ["model.onnx"]
    generator = np.random.default_rng(1)
    feeds = {
        t.name: generator.integers(0, 3, (8, *t.shape[1:])).astype(t.dtype.numpy_name)
        if not t.dtype.is_float
        else generator.random((8, *t.shape[1:]), np.float32)
        for t in before.signature.inputs
    }
    alone = runner(before.path)
    parts = [alone({n: v[i : i + size] for n, v in feeds.items()}) for i in range(0, 8, size)]
    run = runner(made.path)
    for together in (1, 2, 5, 8):
        answers = run({n: v[:together] for n, v in feeds.items()})
        for output, got in answers.items():
            expected = np.concatenate([part[output] for part in parts])[:together]
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        folder = tmp_path / str(number) / "stage"
        folder.mkdir(parents=True)
        digests.add(batching.make_variable(described(attention(), folder), folder).digest)
    assert len(digests) == 1


def mixes() -> onnx.ModelProto:
    """An answer that depends on the whole batch cannot be split."""
    return network([models.node("ReduceMean", "x", "m", axes=[0], keepdims=1), models.node("Sub", "x m", "d"),
                    models.node("Add", "d m", "s"), models.node("Mul", "s m", "y")], (1, 4), (1, 4))  # fmt: skip


def along() -> onnx.ModelProto:
    nodes = [models.node("Concat", "x x", "pair", axis=0), models.node("ReduceMean", "pair", "y", axes=[0], keepdims=1)]
    return network(nodes, (1, 4), (1, 4))


def nothing() -> onnx.ModelProto:
    nodes = [models.node("Log", "negative", "l"), models.node("Add", "x l", "y")]
    return network(nodes, (1, 4), (1, 4), negative=np.full((1, 4), -1, np.float32))


def first_only() -> onnx.ModelProto:
    return network([models.node("Slice", "x zero one zero", "y")], (1, 4), (1, 4), zero=ints(0), one=ints(1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (mixes, "output y changes by"),
        (along, "joins along the batch"),
        (nothing, "output y is NaN"),
        (first_only, r"output y (becomes|has shape)"),
    ],
)
def test_where_equality_does_not_prove_it_the_batch_stays_and_the_reason_is_told(
    make: object, words: str, folder: Path
) -> None:
    assert callable(make)
    before = described(make(), folder)
    after = batching.make_variable(before, folder)
    assert after.digest == before.digest
    assert after.signature == before.signature
    assert after.path.parent == folder
    (note,) = after.notes
    assert re.match(rf"the batch stays 1 and requests are not batched: .*{words}.*; export with a free batch", note)
    assert "\n" not in note


def signature(inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]]) -> Signature:
    tensors = [
        tuple(Tensor(name=f"{kind}{i}", dtype=DataType.FP32, shape=shape) for i, shape in enumerate(shapes))
        for kind, shapes in (("i", inputs), ("o", outputs))
    ]
    return Signature(inputs=tensors[0], outputs=tensors[1])


@pytest.mark.parametrize(
    ("inputs", "outputs", "size"),
    [
        ([(1, 3, 8, 8)], [(1, 5)], 1),
        ([(4, 3, 8, 8)], [(4, 5)], 4),
        ([(1, 3, 8, 8)], [(-1, 5)], 1),
        ([(1, 3, 8, 8), (1, 2)], [(1, 5), (1, 2)], 1),
        ([(-1, 3, 8, 8)], [(-1, 5)], None),
        ([(1, 3, 8, 8)], [(100, 4)], None),
        ([(1, 3, 8, 8), (2, 2)], [(1, 5)], None),
        ([(640, 640, 3)], [(640, 640)], None),
        ([(2, 4)], [(2, 4)], None),
        ([(4,)], [(4,)], None),
        ([(1,)], [(1,)], None),
        ([(1, 3, 8, 8)], [()], None),
        ([], [(1, 3)], None),
        ([(0, 3, 8, 8)], [(0, 3)], None),
    ],
)
def test_what_is_taken_for_a_batch(
    inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]], size: int | None
) -> None:
    assert batching.fixed_batch(signature(inputs, outputs)) == size


@given(rows=st.integers(1, 9), size=st.integers(1, 4))
def test_in_parts_asks_for_whole_parts_and_gives_every_row_once(rows: int, size: int) -> None:
    asked: list[int] = []

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(len(feeds["x"]))
        return {"y": feeds["x"] * 2}

    x = np.arange(rows * 2).reshape(rows, 2)
    assert np.array_equal(batching.in_parts(run, size)({"x": x})["y"], x * 2)
    assert set(asked) == {size}


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_chain_of_reshapes_and_transposes_is_right_or_left_alone(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the graph does with its axes: the result is never a wrong one."""
    folder = tmp_path_factory.mktemp("chain") / "stage"
    folder.mkdir()
    shape, nodes, weights, last = [1, 2, 3, 2], [], {}, "x"
    for number in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(len(shape))))
            nodes.append(models.node("Transpose", last, f"t{number}", perm=list(order)))
            shape = [shape[i] for i in order]
        else:
            shape = data.draw(
                st.sampled_from([[1, 12], [1, 2, 6], [2, 1, 6], [12, 1], [1, 2, 3, 2], [2, 3, 2], [1, 1, 12]])
            )
            weights[f"s{number}"] = ints(*shape)
            nodes.append(models.node("Reshape", f"{last} s{number}", f"t{number}"))
        last = f"t{number}"
    weights["end"] = ints(1, 12)
    nodes.append(models.node("Reshape", f"{last} end", "y"))
    before = described(network(nodes, (1, 2, 3, 2), (1, 12), **weights), folder)
    made = batching.make_variable(before, folder)
    x = np.random.default_rng(3).random((4, 2, 3, 2), np.float32)
    if made.digest == before.digest:
        return
    expected = np.concatenate([runner(before.path)({"x": one[None]})["y"] for one in x])
    assert np.array_equal(runner(made.path)({"x": x})["y"], expected)


def test_helper_models_are_what_they_say() -> None:
    """A test of a batch that was free all along would show nothing."""
    for name, model in VARIABLE.items():
        dims = [
            d.dim_value for value in (*model.graph.input, *model.graph.output) for d in value.type.tensor_type.shape.dim
        ]
        assert all(dims), name
