import numpy as np
import pytest
import tritonclient.grpc as triton
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2
from tritonclient.grpc._utils import _get_inference_request

from kit.stream import framing
from kit.stream.failures import CallFailedError
from kit.stream.framing import Region
from kit.stream.pixels import PixelLayout
from kit.types import DataType

MODELS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=12)


@st.composite
def layouts(draw: st.DrawFn) -> PixelLayout:
    return PixelLayout(
        name=draw(MODELS),
        dtype=draw(st.sampled_from([DataType.UINT8, DataType.FP16, DataType.FP32])),
        height=draw(st.integers(1, 20)),
        width=draw(st.integers(1, 20)),
        channels=3,
        channels_first=draw(st.booleans()),
        batched=draw(st.booleans()),
    )


def theirs(model: str, version: str, tensor: triton.InferInput, timeout_us: int) -> service_pb2.ModelInferRequest:
    """What tritonclient itself would send."""
    return _get_inference_request(
        model_name=model, inputs=[tensor], model_version=version, request_id="", outputs=None, sequence_id=0,
        sequence_start=False, sequence_end=False, priority=0, timeout=timeout_us, parameters=None,
    )  # fmt: skip


@given(layouts(), MODELS, st.sampled_from(["", "3"]), st.integers(1, 2**40), st.integers(0, 2**32))
def test_a_request_framed_by_hand_is_tritonclients_own(
    layout: PixelLayout, model: str, version: str, timeout_us: int, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 256, layout.shape).astype(layout.dtype.numpy_name)
    tensor = triton.InferInput(layout.name, list(layout.shape), layout.dtype.value)
    tensor.set_data_from_numpy(values)
    parts = (
        framing.header(model, version, layout), framing.raw(layout.byte_size), memoryview(values).cast("B"),
        framing.timeout(timeout_us),
    )  # fmt: skip
    made = service_pb2.ModelInferRequest.FromString(b"".join(parts))
    assert made == theirs(model, version, tensor, timeout_us)
    assert made.raw_input_contents[0] == values.tobytes()


@given(layouts(), st.integers(0, 2**33), st.integers(1, 2**40))
def test_a_request_for_shared_memory_is_tritonclients_own(layout: PixelLayout, offset: int, timeout_us: int) -> None:
    tensor = triton.InferInput(layout.name, list(layout.shape), layout.dtype.value)
    tensor.set_shared_memory("ring", layout.byte_size, offset=offset)
    header = framing.header("m", "", layout, Region(name="ring", offset=offset))
    made = service_pb2.ModelInferRequest.FromString(header + framing.timeout(timeout_us))
    assert made == theirs("m", "", tensor, timeout_us)


@given(st.integers(0, 2**63 - 1))
def test_numbers_are_read_back(number: int) -> None:
    from google.protobuf.internal.decoder import _DecodeVarint

    encoded = framing.varint(number)
    assert _DecodeVarint(encoded, 0) == (number, len(encoded))


def response(datatype: str, values: np.ndarray, *, content: bytes | None = None) -> bytes:
    made = service_pb2.ModelInferResponse(model_name="m", model_version="7")
    made.outputs.add(name="y", datatype=datatype, shape=values.shape)
    made.raw_output_contents.append(values.tobytes() if content is None else content)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float16", "float32", "bool"])
@pytest.mark.parametrize("batched", [True, False])
def test_answers_are_read_as_tritonclient_reads_them(dtype: str, batched: bool) -> None:
    values = (np.arange(6).reshape(1, 2, 3) % 2).astype(dtype)
    message = response(triton_name(dtype), values)
    answer = framing.parse(message, batched=batched)
    expected = triton.InferResult(service_pb2.ModelInferResponse.FromString(message)).as_numpy("y")
    assert answer.version == "7"
    assert np.array_equal(answer.arrays["y"], expected[0] if batched else expected)


def test_strings_are_read() -> None:
    from tritonclient.utils import serialize_byte_tensor

    words = np.array([["a", "über"]], np.object_)
    message = response("BYTES", words, content=serialize_byte_tensor(words).item())
    assert [w.decode() for w in framing.parse(message, batched=True).arrays["y"]] == ["a", "über"]


def triton_name(dtype: str) -> str:
    from tritonclient.utils import np_to_triton_dtype

    return str(np_to_triton_dtype(np.dtype(dtype)))


@pytest.mark.parametrize("message", [b"\xff\xff", response("FP32", np.zeros((1, 2)), content=b"short")])
def test_an_answer_that_is_none_is_a_failure(message: bytes) -> None:
    with pytest.raises(CallFailedError, match="the answer cannot be read"):
        framing.parse(message, batched=True)
