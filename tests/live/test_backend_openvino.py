"""The backend ``openvino`` in a real server, on the same tiny models read from their ONNX files."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

from kit.errors import ModelLoadError

from .conftest import Bench, config, graph, identity

pytestmark = pytest.mark.live


def ov_config(dims: str = "4", more: str = "", **kwargs: Any) -> str:
    text = config(dims, more=f'default_model_filename: "model.onnx"\n{more}', **kwargs)
    return text.replace('"onnxruntime"', '"openvino"')


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


def doubled(dtype: str = "FP32", shape: tuple[Any, ...] = ("n", 4)) -> Any:
    from onnx import helper

    return graph([helper.make_node("Add", ["x", "x"], ["y"])], {"x": (dtype, shape)}, {"y": (dtype, shape)})


@pytest.mark.parametrize("dtype", ["FP32", "FP16", "INT32", "INT64", "INT8", "UINT8", "BOOL"])
def test_types_come_back_as_they_went(openvino_bench: Bench, sample: Any, dtype: str) -> None:
    name = openvino_bench.loaded(identity(dtype, (2, 4)), ov_config("2, 4", dtype=dtype, batch=0))
    # OpenVINO's CPU computes in 32 bits what is INT64: values beyond would not come back.
    sent = sample("INT32", (2, 4)).astype(np.int64) if dtype == "INT64" else sample(dtype, (2, 4))
    (received,) = openvino_bench.infer(name, x=sent).values()
    assert received.dtype == sent.dtype
    np.testing.assert_array_equal(received, sent)


def test_the_batch_is_the_largest_one_or_padded(openvino_bench: Bench) -> None:
    from tritonclient.utils import InferenceServerException

    strict = openvino_bench.loaded(doubled(), ov_config(batch=4))
    full, half = np.ones((4, 4), np.float32), np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(openvino_bench.infer(strict, x=full)["y"], full * 2)
    with pytest.raises(InferenceServerException, match="expected requests with batch size '4', got '2'"):
        openvino_bench.infer(strict, x=half)
    padded = openvino_bench.loaded(doubled(), ov_config(batch=4, more=parameter("ENABLE_BATCH_PADDING", "YES")))
    np.testing.assert_array_equal(openvino_bench.infer(padded, x=half)["y"], half * 2)


def test_padded_requests_run_as_one_batch(openvino_bench: Bench) -> None:
    more = f"{parameter('ENABLE_BATCH_PADDING', 'YES')} dynamic_batching {{ max_queue_delay_microseconds: 400000 }}"
    name = openvino_bench.loaded(doubled(), ov_config(batch=8, more=more))
    answers: dict[int, Any] = {}

    def send(number: int) -> None:
        answers[number] = openvino_bench.infer(name, x=np.full((1, 4), number, np.float32))["y"]

    threads = [threading.Thread(target=send, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: float(answer[0, 0]) for number, answer in answers.items()} == {i: i * 2.0 for i in range(6)}
    assert openvino_bench.executions(name, inferences=6) < 6


def test_any_size_through_a_dynamic_first_dimension(openvino_bench: Bench) -> None:
    name = openvino_bench.loaded(doubled(), ov_config("-1, 4", batch=0))
    for rows in (1, 3):
        sent = np.ones((rows, 4), np.float32)
        np.testing.assert_array_equal(openvino_bench.infer(name, x=sent)["y"], sent * 2)


def test_configured_types_are_converted(openvino_bench: Bench) -> None:
    text = ov_config("2, 4", batch=0).replace('"x" data_type: TYPE_FP32', '"x" data_type: TYPE_UINT8')
    name = openvino_bench.loaded(doubled("FP32", (2, 4)), text)
    sent = np.arange(8, dtype=np.uint8).reshape(2, 4)
    np.testing.assert_array_equal(openvino_bench.infer(name, x=sent)["y"], sent.astype(np.float32) * 2)


_OTHER_DIMS = (
    "model 'NAME', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 2 "
    "dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making "
    "complete shape [8,5])"
)
_OTHER_DEVICE = (
    "model 'NAME' asks for the device 'GPU' and the embedded server runs OpenVINO on the CPU only; serve it with "
    "--engine docker"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ov_config(inputs="images"), "unexpected inference input 'images', allowed inputs are: x"),
        (ov_config(outputs="boxes"), "unexpected inference output 'boxes', allowed outputs are: y"),
        (ov_config(inputs="x z"), "unable to load model 'NAME', configuration expects 2 inputs, model provides 1"),
        (ov_config(dtype="FP64"), "unsupported datatype TYPE_FP64 for input 'x' for model 'NAME'"),
        (
            ov_config("5"),
            _OTHER_DIMS,
        ),
        (
            ov_config(more=parameter("NUM_STREAMS", "many")),
            "expected the parameter 'NUM_STREAMS' to be either AUTO/NUMA/<int_value>, got many",
        ),
        (
            ov_config(more=parameter("INFERENCE_NUM_THREADS", "x")),
            "expected the parameter 'INFERENCE_NUM_THREADS' to be a non-negative number, got x",
        ),
        (
            ov_config(more=parameter("TARGET_DEVICE", "GPU")),
            _OTHER_DEVICE,
        ),
    ],
)
def test_refusals(openvino_bench: Bench, text: str, message: str) -> None:
    name = openvino_bench.add(doubled(), text)
    expected = f"Triton refused to load model {name!r}: {message.replace('NAME', name)}"
    with pytest.raises(ModelLoadError, match=f"^{re.escape(expected)}$"):
        openvino_bench.server.load(name)
