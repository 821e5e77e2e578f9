"""Requests that are made once: by any protocol's own words, as tritonclient would send them."""

import json

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from kit.errors import LoadError, ModelContractError
from kit.load import protocols
from kit.load.requests import feeds
from kit.load.values import ModelShare
from kit.types import DataType, Signature, Tensor

FREE = Signature(inputs=(Tensor(name="x", dtype=DataType.FP32, shape=(-1, 3, -1, -1)),), outputs=())
TEXT = Signature(inputs=(Tensor(name="t", dtype=DataType.BYTES, shape=(-1, 2)),), outputs=())


def test_a_shape_fills_what_a_model_leaves_open() -> None:
    (made,) = feeds(FREE, ModelShare(name="m", batch=2), None, {"x": (3, 8, 4)})
    assert (made["x"].shape, made["x"].dtype) == ((2, 3, 8, 4), np.float32)
    with pytest.raises(LoadError, match=r"x takes \[-1, 3, -1, -1\], not \[4, 8, 8\]"):
        feeds(FREE, ModelShare(name="m"), None, {"x": (4, 8, 8)})


def test_what_cannot_be_made_is_told() -> None:
    fixed = Signature(inputs=(Tensor(name="x", dtype=DataType.FP32, shape=(4,)),), outputs=())
    with pytest.raises(ModelContractError, match="takes no batches; leave out --batch 2"):
        feeds(fixed, ModelShare(name="m", batch=2), None, {})
    half = Signature(inputs=(Tensor(name="x", dtype=DataType.BF16, shape=(-1, 4)),), outputs=())
    with pytest.raises(ModelContractError, match="BF16"):
        feeds(half, ModelShare(name="m"), None, {})


@pytest.mark.parametrize("signature", [FREE, TEXT])
def test_grpc_and_http_hold_the_same_bytes_as_tritonclient(signature: Signature) -> None:
    from tritonclient import grpc

    share = ModelShare(name="m", version="3", batch=2)
    made = feeds(signature, share, None, {"x": (3, 4, 4)})
    name, array = next(iter(made[0].items()))
    theirs = grpc.InferInput(name, array.shape, "BYTES" if array.dtype == object else "FP32")
    theirs.set_data_from_numpy(array)

    (encoded,) = protocols.get("grpc").connect("localhost:1").requests(share, made, 1.0)
    ours = service_pb2.ModelInferRequest.FromString(encoded)
    assert (ours.model_name, ours.model_version) == ("m", "3")
    assert ours.inputs[0] == theirs._get_tensor()
    assert list(ours.raw_input_contents) == [theirs._get_content()]

    (request,) = protocols.get("http").connect("localhost:1").requests(share, made, 1.0)
    head = int(request.headers["Inference-Header-Content-Length"])
    told = json.loads(request.body[:head])
    assert request.path == "/v2/models/m/versions/3/infer"
    assert told["inputs"][0]["parameters"]["binary_data_size"] == len(request.body) - head
    assert request.body[head:] == theirs._get_content()
