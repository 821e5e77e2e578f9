import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer, running
from tritonclient.grpc import service_pb2

from kit.errors import ModelContractError, UnknownTaskError, UsageError
from kit.stream import contract
from kit.stream.channel import Channel
from kit.stream.contract import ModelContract, ModelOptions
from kit.stream.failures import CallFailedError, Trouble
from kit.types import DataType, Normalization

SERVED = (
    ("num", "INT32", (-1, 1)), ("boxes", "FP32", (-1, 9, 4)), ("scores", "FP32", (-1, 9)),
    ("classes", "INT32", (-1, 9)),
)  # fmt: skip
SERVER = service_pb2.ServerMetadataResponse(name="triton", version="2.51.0", extensions=["statistics"])


def read(
    shape: tuple[int, ...] = (-1, 480, 640, 3), dtype: str = "UINT8", outputs: Any = SERVED, told: str | None = None,
    **options: Any,
) -> ModelContract:  # fmt: skip
    metadata = service_pb2.ModelMetadataResponse(name="m", versions=["2"])
    metadata.inputs.add(name="images", datatype=dtype, shape=shape)
    for name, kind, dims in outputs:
        metadata.outputs.add(name=name, datatype=kind, shape=dims)
    return contract.interpret(metadata, ModelOptions(model="m", **options), told=told, server=SERVER)


def test_a_model_of_the_kit_needs_nothing_told() -> None:
    made = read()
    assert (made.task, made.decoder, made.server, made.versions) == ("detect", "detect", "triton 2.51.0", ("2",))
    assert (made.pixels.height, made.pixels.width, made.pixels.shape) == (480, 640, (1, 480, 640, 3))
    assert made.pixels.direct
    assert made.shown.outputs[1].shape == (9, 4)


def test_a_network_of_others_is_read_too() -> None:
    made = read((1, 3, 640, 640), "FP32", (("output0", "FP32", (1, 84, 8400)),))
    assert (made.task, made.decoder) == ("detect", "head")
    assert made.pixels.channels_first
    assert made.pixels.normalization == Normalization()
    assert made.pixels.dtype is DataType.FP32


def test_each_task_has_the_normalisation_that_it_is_trained_with_unless_told() -> None:
    classifier = (("y", "FP32", (-1, 10)),)
    assert read((-1, 3, 64, 64), "FP16", classifier).pixels.normalization == Normalization(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    told = Normalization(scale=1.0)
    assert read((-1, 3, 64, 64), "FP32", classifier, normalization=told).pixels.normalization == told


def test_a_model_without_batches_has_requests_without_one() -> None:
    made = read((3, 64, 64), "FP32", (("y", "FP32", (10,)),))
    assert made.pixels.shape == (3, 64, 64)
    assert made.shown.outputs[0].shape == (10,)


def test_the_configuration_may_name_the_task() -> None:
    assert read(told="raw").task == "raw"
    assert read(told="raw", task="detect").task == "detect"


def test_any_size_is_taken_where_it_is_said() -> None:
    assert (read((-1, -1, -1, 3), size=(320, 640)).pixels.height, 640) == (320, 640)
    with pytest.raises(ModelContractError, match="takes frames of any size; say which, for example 640x640"):
        read((-1, -1, -1, 3))
    with pytest.raises(ModelContractError, match="takes frames of 640 x 480 only"):
        read(size=(100, 100))


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((-1, 16), "FP32", "takes images FP32 .* which is no picture"),
        ((-1, 480, 640, 3), "INT64", "which is no picture; a camera can feed UINT8, FP16, FP32"),
        ((-1,), "BYTES", "which is no picture"),
        ((8, 3, 64, 64), "FP32", "takes 8 frames at once, always"),
        ((-1, 64, 64, 4), "FP32", "no dimension of 1 or 3 colours"),
    ],
)
def test_what_no_camera_can_feed_is_said(shape: tuple[int, ...], dtype: str, said: str) -> None:
    with pytest.raises(ModelContractError, match=said):
        read(shape, dtype)


def test_two_inputs_are_one_too_many() -> None:
    metadata = service_pb2.ModelMetadataResponse(name="m")
    for name in ("left", "right"):
        metadata.inputs.add(name=name, datatype="UINT8", shape=[-1, 4, 4, 3])
    with pytest.raises(ModelContractError, match=r"takes 2 inputs \(left, right\)"):
        contract.interpret(metadata, ModelOptions(model="m"), told=None, server=SERVER)


def test_a_task_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownTaskError, match="choose from classify, detect, embed, instances, pose, raw, segment"):
        read(task="detection")


def test_the_address_tells_whether_the_server_is_here() -> None:
    assert Channel(url="localhost:8001").local
    assert Channel(url="127.0.0.1:8001").local
    assert Channel(url="unix:/run/triton").local
    assert not Channel(url="192.0.2.7:8001").local  # TEST-NET-1 belongs to nobody
    assert not Channel(url="no-such-host.invalid:8001").local


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("localhost", "localhost:8001"),
        ("localhost:9", "localhost:9"),
        ("grpc://box.local:8001/", "box.local:8001"),
        ("grpcs://box", "grpcs://box:8001"),
        ("[::1]", "[::1]:8001"),
        ("[fe80::1%eth0]:8001", "[fe80::1%eth0]:8001"),
        ("unix:/run/triton.sock", "unix:/run/triton.sock"),
    ],
)
def test_an_address_is_completed(text: str, meant: str) -> None:
    assert Channel(url=text).url == meant


@pytest.mark.parametrize(
    "text", ["", ":8001", "localhost:", "localhost:x", "localhost:99999", "a b", "ftp://x:1", "x:1:2"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address of a gRPC server; give host:port, for example localhost:8001"):
        Channel(url=text)


def test_the_address_of_http_is_answered_with_that_of_grpc() -> None:
    with pytest.raises(UsageError, match=r"http://box:8000 is HTTP; frames go by gRPC: box:8001"):
        Channel(url="http://box:8000")


def test_a_port_that_speaks_http_is_told() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        channel = Channel(url=f"127.0.0.1:{web.server_port}")
        try:
            with pytest.raises(CallFailedError) as caught:
                channel.server(5)
        finally:
            channel.close()
            web.shutdown()
    assert caught.value.failure.trouble is Trouble.UNREACHABLE


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_with_a_certificate_is_asked_by_tls(tmp_path: Path) -> None:
    """In a process of its own: gRPC reads once which certificates it trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    program = (
        "import sys; from pathlib import Path\n"
        "from fake_server import FakeServer, running; from kit.stream.channel import Channel\n"
        "with running(FakeServer(), tls=(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_bytes())) as fake:\n"
        "    print(Channel(url=f'grpcs://localhost:{fake.port}').server(5).name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, key, certificate], capture_output=True, text=True, timeout=600,
        cwd=Path(__file__).parent, env={**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certificate)},
    )  # fmt: skip
    assert done.stdout == "fake\n", done.stderr


def test_a_call_to_nobody_fails_at_once_and_can_be_made_again() -> None:
    with running(FakeServer()) as fake:
        url = fake.url
    channel = Channel(url=url)
    for _ in range(2):
        with pytest.raises(CallFailedError) as caught:
            channel.server(1)
        assert caught.value.failure.trouble is Trouble.UNREACHABLE
        channel.reset()
    channel.close()
