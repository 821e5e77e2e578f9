"""The backend ``onnxruntime`` in a real server: every data type, batches, errors, and what it refuses."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kit.errors import ModelLoadError
from kit.server import interpreter

from .conftest import ONNX_TYPES, Bench, config, graph, identity

pytestmark = pytest.mark.live


def _server_has_numpy_2() -> bool:
    chosen = interpreter.find()
    assert chosen is not None
    return chosen.version == interpreter.NUMPY2


def refused(bench: Bench, model: Any, text: str, message: str) -> None:
    """Assert that the model is refused with exactly this reason, in one line; ``NAME`` stands for its name."""
    name = bench.add(model, text)
    expected = f"Triton refused to load model {name!r}: {message.replace('NAME', name)}"
    with pytest.raises(ModelLoadError, match=f"^{re.escape(expected)}$"):
        bench.server.load(name)


class TestDataTypes:
    @pytest.mark.parametrize("dtype", sorted(set(ONNX_TYPES) - {"BF16"}))
    def test_every_type_comes_back_as_it_went(self, bench: Bench, sample: Any, dtype: str) -> None:
        if dtype == "BYTES" and _server_has_numpy_2():
            message = (
                "tensor 'x' holds strings, which the embedded server cannot move under Python 3.13; install Python "
            )
            more = "3.12, 3.11 or 3.10 beside it and it will be used"
            refused(bench, identity(dtype, ("batch", "width")), config("-1", dtype=dtype), message + more)
            return
        name = bench.loaded(identity(dtype, ("batch", "width")), config("-1", dtype=dtype))
        for shape in ((1, 5), (3, 7), (2, 0), (8, 1)):
            sent = sample(dtype, shape)
            (received,) = bench.infer(name, x=sent).values()
            assert received.dtype == sent.dtype
            assert received.shape == sent.shape
            assert received.tobytes() == sent.tobytes() or (received == sent).all()

    def test_bfloat16_comes_back_as_it_went(self, bench: Bench) -> None:
        name = bench.loaded(identity("BF16", ("batch", 4)), config("4", dtype="BF16"))
        sent = np.array([[1.5, -2.0, 1e30, 0.0], [3.0, 4.0, -0.5, np.inf]], ml_dtypes.bfloat16)
        (received,) = bench.infer(name, x=(sent, "BF16")).values()
        np.testing.assert_array_equal(received, sent)

    def test_bfloat16_requests_run_as_one_batch(self, bench: Bench) -> None:
        name = bench.loaded(identity("BF16", ("batch", 4)), config("4", dtype="BF16", more=_BATCHING))
        sent = [np.full((1, 4), i, ml_dtypes.bfloat16) for i in range(8)]
        for i, received in enumerate(_at_once(bench, name, [{"x": (array, "BF16")} for array in sent])):
            np.testing.assert_array_equal(received["y"], sent[i])


class TestShapes:
    def test_several_inputs_and_outputs(self, bench: Bench) -> None:
        from onnx import helper

        nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Cast", ["a"], ["cast"], to=7)]
        tensors = {"a": ("FP32", ["n", 3]), "b": ("FP32", ["n", 3])}
        model = graph(nodes, tensors, {"sum": ("FP32", ["n", 3]), "cast": ("INT64", ["n", 3])})
        text = config("3", inputs="a b", outputs="sum").replace(
            "\ninstance", '\noutput { name: "cast" data_type: TYPE_INT64 dims: [3] }\ninstance'
        )
        name = bench.loaded(model, text)
        a, b = np.array([[1, 2, 3]], np.float32), np.array([[10, 20, 30]], np.float32)
        answer = bench.infer(name, b=b, a=a)
        np.testing.assert_array_equal(answer["sum"], a + b)
        np.testing.assert_array_equal(answer["cast"], [[1, 2, 3]])
        assert set(bench.infer(name, outputs=("cast",), a=a, b=b)) == {"cast"}

    def test_without_batching_dims_are_the_full_shape(self, bench: Bench) -> None:
        name = bench.loaded(identity("FP32", (2, "w")), config("2, -1", batch=0))
        sent = np.arange(6, dtype=np.float32).reshape(2, 3)
        np.testing.assert_array_equal(bench.infer(name, x=sent)["y"], sent)

    def test_a_scalar_is_one_element(self, bench: Bench) -> None:
        name = bench.loaded(identity("FP32", ()), config("1", batch=0))
        np.testing.assert_array_equal(bench.infer(name, x=np.array([2.5], np.float32))["y"], [2.5])

    def test_one_number_for_each_image_through_reshape(self, bench: Bench) -> None:
        text = config("1").replace("dims: [1]", "dims: [1] reshape { shape: [] }")
        name = bench.loaded(identity("FP32", ("batch",)), text)
        sent = np.array([[1.0], [2.0]], np.float32)
        np.testing.assert_array_equal(bench.infer(name, x=sent)["y"], sent)

    def test_another_file_name_and_a_folder_as_model(self, bench: Bench) -> None:
        text = config(more='default_model_filename: "model.x86-cpu.onnx"')
        name = bench.loaded(identity(), text, filename="model.x86-cpu.onnx")
        assert bench.infer(name, x=np.ones((1, 4), np.float32))["y"].shape == (1, 4)
        folder = bench.add(identity(), config())
        path: Path = bench.repository / folder / "1" / "model.onnx"
        moved = path.rename(path.with_name("file"))
        path.mkdir()
        moved.rename(path / "model.onnx")
        bench.server.load(folder)

    def test_an_input_that_a_request_may_leave_out(self, bench: Bench) -> None:
        from onnx import TensorProto, helper

        model = graph(
            [helper.make_node("Add", ["x", "bias"], ["y"])],
            {"x": ("FP32", [4]), "bias": ("FP32", [4])},
            {"y": ("FP32", [4])},
            [helper.make_tensor("bias", TensorProto.FLOAT, [4], [1.0, 1.0, 1.0, 1.0])],
        )
        text = config("4", batch=0, more='input { name: "bias" data_type: TYPE_FP32 dims: [4] optional: true }')
        name = bench.loaded(model, text)
        zeros = np.zeros(4, np.float32)
        np.testing.assert_array_equal(bench.infer(name, x=zeros)["y"], [1, 1, 1, 1])
        np.testing.assert_array_equal(bench.infer(name, x=zeros, bias=zeros + 5)["y"], [5, 5, 5, 5])


_BATCHING = "dynamic_batching { max_queue_delay_microseconds: 400000 }"


def _at_once(bench: Bench, name: str, requests: list[dict[str, Any]]) -> list[Any]:
    """Send requests at the same time; an answer that is an error is returned as it is."""
    from tritonclient.utils import InferenceServerException

    answers: list[Any] = [None] * len(requests)

    def send(index: int) -> None:
        try:
            answers[index] = bench.infer(name, **requests[index])
        except InferenceServerException as error:
            answers[index] = error

    threads = [threading.Thread(target=send, args=(i,)) for i in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class TestBatches:
    def test_requests_at_once_run_as_one_batch_and_answers_are_not_mixed(self, bench: Bench) -> None:
        name = bench.loaded(identity("FP32", ("batch", "width")), config("-1", batch=16, more=_BATCHING))
        sent = [np.full((1 + i % 2, 4), i, np.float32) for i in range(8)]
        for i, answer in enumerate(_at_once(bench, name, [{"x": array} for array in sent])):
            np.testing.assert_array_equal(answer["y"], sent[i])
        assert bench.executions(name, inferences=12) < 8

    def test_shapes_that_differ_are_grouped(self, bench: Bench) -> None:
        text = config("-1", dtype="INT32", batch=16, more=_BATCHING)
        name = bench.loaded(identity("INT32", ("batch", "width")), text)
        sent = [np.full((1, 2 + i % 3), i, np.int32) for i in range(9)]
        for i, answer in enumerate(_at_once(bench, name, [{"x": array} for array in sent])):
            np.testing.assert_array_equal(answer["y"], sent[i])

    def test_an_error_hits_its_request_only(self, bench: Bench) -> None:
        from onnx import helper

        # Fails for an index beyond the table, so that one request of a batch is wrong and the others are right.
        table = helper.make_tensor("table", 1, [4], [0.0, 10.0, 20.0, 30.0])
        node = helper.make_node("Gather", ["table", "x"], ["y"])
        model = graph([node], {"x": ("INT64", ["n", 1])}, {"y": ("FP32", ["n", 1])}, [table])
        text = config("1", dtype="INT64", more=_BATCHING).replace(
            'name: "y" data_type: TYPE_INT64', 'name: "y" data_type: TYPE_FP32'
        )
        name = bench.loaded(model, text)
        indices = (1, 2, 99, 3)
        answers = _at_once(bench, name, [{"x": np.array([[i]], np.int64)} for i in indices])
        for index, answer in zip(indices, answers, strict=True):
            if index == 99:
                assert "indices element out of data bounds" in answer.message()
                assert "\n" not in answer.message()
            else:
                np.testing.assert_array_equal(answer["y"], [[index * 10.0]])
        assert bench.executions(name, inferences=len(indices)) < len(indices)

    def test_strings_that_are_no_utf8_fail_alone(self, bench: Bench) -> None:
        if _server_has_numpy_2():
            pytest.skip("Python 3.13 has no numpy with which strings can be moved")
        name = bench.loaded(identity("BYTES", ("n", 1)), config("1", dtype="BYTES", more=_BATCHING))
        words = (b"right", b"\xff\xfe", b"also right")
        answers = _at_once(bench, name, [{"x": np.array([[w]], np.object_)} for w in words])
        assert [answers[0]["y"][0, 0], answers[2]["y"][0, 0]] == [words[0], words[2]]
        assert "codec can't decode" in answers[1].message()


class TestRefusals:
    """What the real backend refuses is refused in its words."""

    def test_a_fixed_batch_dimension(self, bench: Bench) -> None:
        message = (
            "model 'NAME', tensor 'x': for the model to support batching the shape should have at least 1 dimension "
            "and the first dimension must be -1; but shape expected by the model is [1,4]"
        )
        refused(bench, identity("FP32", (1, 4)), config(), message)

    def test_the_batch_dimension_written_twice(self, bench: Bench) -> None:
        message = (
            "model 'NAME', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration "
            "specifies 3 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit "
            "tensor shape, making complete shape [-1,-1,4])"
        )
        refused(bench, identity(), config("-1, 4"), message)

    def test_a_wildcard_for_a_fixed_dimension(self, bench: Bench) -> None:
        message = (
            "model 'NAME', tensor 'x': the model expects 2 dimensions (shape [2,4]) but the model configuration "
            "specifies 2 dimensions (shape [2,-1])"
        )
        refused(bench, identity("FP32", (2, 4)), config("2, -1", batch=0), message)

    def test_outputs_are_compared_exactly_and_inputs_may_be_narrower(self, bench: Bench) -> None:
        message = (
            "model 'NAME', tensor 'y': the model expects 2 dimensions (shape [-1,-1]) but the model configuration "
            "specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit "
            "tensor shape, making complete shape [-1,4])"
        )
        refused(bench, identity("FP32", ("batch", "width")), config("4"), message)

    def test_a_data_type(self, bench: Bench) -> None:
        message = (
            "unable to load model 'NAME', configuration expects datatype TYPE_UINT8 for input 'x', "
            "model provides TYPE_FP32"
        )
        refused(bench, identity(), config(dtype="UINT8"), message)

    def test_an_inputs_name(self, bench: Bench) -> None:
        message = "unexpected inference input 'images', allowed inputs are: x"
        refused(bench, identity(), config(inputs="images"), message)

    def test_an_outputs_name(self, bench: Bench) -> None:
        message = "unexpected inference output 'boxes', allowed outputs are: y"
        refused(bench, identity(), config(outputs="boxes"), message)

    def test_the_number_of_inputs(self, bench: Bench) -> None:
        message = "unable to load model 'NAME', configuration expects 2 inputs, model provides 1"
        refused(bench, identity(), config(inputs="x z"), message)

    def test_an_optional_input_of_a_model_that_batches(self, bench: Bench) -> None:
        message = "unable to load model 'NAME', optional input 'z' is not supported for models that support batching"
        text = config(more='input { name: "z" data_type: TYPE_FP32 dims: [4] optional: true }')
        refused(bench, identity(), text, message)

    def test_a_scalar_with_other_dims_than_1(self, bench: Bench) -> None:
        message = (
            "unable to load model 'NAME', scalar tensor 'x', should only provide 1 in the model configuration when the "
            "model doesn't support batching. Model configuration provided: [4]."
        )
        refused(bench, identity("FP32", ()), config("4", batch=0), message)

    def test_a_gpu_instance(self, bench: Bench) -> None:
        text = config().replace("KIND_CPU", "KIND_GPU")
        name = bench.add(identity(), text)
        with pytest.raises(ModelLoadError, match=r"KIND_GPU|GPU"):
            bench.server.load(name)

    @pytest.mark.parametrize("accelerator", ["tensorrt", "cuda"])
    def test_an_accelerator_that_needs_a_gpu(self, bench: Bench, accelerator: str) -> None:
        message = (
            f"model 'NAME' asks for the execution accelerator '{accelerator}' and the embedded server has no GPU; "
            "serve it with --engine docker or with a CPU target's configuration"
        )
        text = config(more=_accelerators(f'gpu_execution_accelerator {{ name: "{accelerator}" }}'))
        refused(bench, identity(), text, message)

    def test_an_unknown_accelerator(self, bench: Bench) -> None:
        message = "unknown Execution Accelerator 'warp' is requested"
        refused(bench, identity(), config(more=_accelerators('gpu_execution_accelerator { name: "warp" }')), message)
        refused(bench, identity(), config(more=_accelerators('cpu_execution_accelerator { name: "warp" }')), message)

    def test_a_file_that_is_no_onnx(self, bench: Bench) -> None:
        name = bench.add(b"no model", config())
        expected = rf"^Triton refused to load model '{name}': onnx runtime error 7: [^\n]*$"
        with pytest.raises(ModelLoadError, match=expected):
            bench.server.load(name)

    def test_a_file_that_is_missing(self, bench: Bench) -> None:
        name = bench.add(identity(), config(more='default_model_filename: "other.onnx"'))
        path = bench.repository / name / "1" / "other.onnx"
        with pytest.raises(ModelLoadError, match=re.escape(f"unable to find '{path}' for model instance '{name}")):
            bench.server.load(name)

    def test_an_execution_mode(self, bench: Bench) -> None:
        message = "Invalid configuration value provided. Expected values for execution_mode are 0 or 1 but got 2 ."
        refused(bench, identity(), config(more=_parameter("execution_mode", "2")), message)

    def test_a_thread_count_that_is_no_number(self, bench: Bench) -> None:
        text = config(more=_parameter("intra_op_thread_count", "many"))
        refused(bench, identity(), text, "failed to convert 'many' to integral number")


def _accelerators(text: str) -> str:
    return f"optimization {{ execution_accelerators {{ {text} }} }}"


def _parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


class TestSettings:
    def test_threads_are_those_of_the_configuration(self, bench: Bench) -> None:
        counts = []
        for threads in ("1", "4"):
            name = bench.loaded(identity(), config(more=_parameter("intra_op_thread_count", threads)))
            counts.append(_threads_of(bench, name))
        assert counts[1] - counts[0] == 3

    @pytest.mark.parametrize("level", [-1, 0, 1, 2])
    def test_graph_levels_load(self, bench: Bench, level: int) -> None:
        more = f"optimization {{ graph {{ level: {level} }} }} {_parameter('execution_mode', '1')}"
        name = bench.loaded(identity(), config(more=f"{more} {_parameter('inter_op_thread_count', '1')}"))
        assert bench.infer(name, x=np.ones((1, 4), np.float32))["y"].sum() == 4


def _threads_of(bench: Bench, name: str) -> int:
    """Return how many threads the stub of the model has."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(arguments) > 1 and arguments[1].startswith(str(bench.repository / name).encode() + b"/"):
            return len(list((process / "task").iterdir()))
    raise AssertionError(f"no stub of {name}")


class TestAutoComplete:
    def test_nothing_but_the_model(self, completing_bench: Bench) -> None:
        name = completing_bench.add(identity("FP32", ("batch", 4)), "")
        (completing_bench.repository / name / "config.pbtxt").unlink()
        completing_bench.server.load(name)
        completed = completing_bench.client.get_model_config(name, as_json=True)["config"]
        assert completed["max_batch_size"] == 4
        assert completed["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}]
        assert "dynamic_batching" in completed
        assert completing_bench.infer(name, x=np.ones((2, 4), np.float32))["y"].shape == (2, 4)

    def test_a_scalar_for_each_image_is_reshaped(self, completing_bench: Bench) -> None:
        name = completing_bench.loaded(identity("FP32", ("batch",)), 'backend: "onnxruntime"')
        sent = np.array([[1.0], [2.0]], np.float32)
        np.testing.assert_array_equal(completing_bench.infer(name, x=sent)["y"], sent)

    def test_a_model_that_cannot_batch_and_should(self, completing_bench: Bench) -> None:
        message = (
            "autofill failed for model 'NAME': model does not support batching while non-zero max_batch_size is "
            "specified"
        )
        refused(completing_bench, identity("FP32", (1, 4)), 'backend: "onnxruntime" max_batch_size: 2', message)
