"""A model on a real Triton beside its file: the same contract, the same answers, and what the runner says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import kit.cli
from kit import runners
from kit.errors import ModelContractError, UnknownModelError
from kit.server import embedded
from kit.server.interface import RunningServer, ServerOptions

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
IMAGES = str(ROOT / "examples" / "digits" / "calibration")

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs")]


@pytest.fixture(scope="module")
def server(embedded_server_runs: None) -> Iterator[RunningServer]:
    with embedded.running(ServerOptions(repository=REPOSITORY)) as running:
        yield running


def test_what_is_served_equals_its_file(server: RunningServer, capfd: pytest.CaptureFixture[str]) -> None:
    served = f"grpc://{server.grpc_url}/digits"
    assert kit.cli.run(["compare", str(REPOSITORY / "digits"), served, "--images", IMAGES, "--inputs", "3"]) == 0
    out, _ = capfd.readouterr()
    assert "equal within the tolerance" in out
    assert "(triton): only its outputs are compared" in " ".join(out.split())


def test_another_contract_is_told_what_to_give(server: RunningServer, capfd: pytest.CaptureFixture[str]) -> None:
    served = f"grpc://{server.grpc_url}/digits/1"
    assert kit.cli.run(["compare", str(ROOT / "examples" / "digits" / "digits.onnx"), served]) == 29
    assert "give the ONNX file of the served model" in capfd.readouterr().err


def test_the_runner_knows_the_signature_and_answers_batches(server: RunningServer) -> None:
    frames = np.zeros((3, 320, 320, 3), np.uint8)
    with runners.open(f"grpc://{server.grpc_url}/digits") as running:
        assert running.signature.inputs[0].shape == (-1, 320, 320, 3)
        made = running.run({"images": frames})
        assert {name: value.shape for name, value in made.items()} == {
            "num": (3, 1), "boxes": (3, 100, 4), "scores": (3, 100), "classes": (3, 100),
        }  # fmt: skip
        with pytest.raises(ModelContractError, match=r"digits on .* does not answer"):
            running.run({"images": frames[..., :1]})


def test_a_mistyped_model_is_answered_with_those_there_are(server: RunningServer) -> None:
    for name, said in (("digit", 'no model digit; did you mean "digits"'), ("digits/7", "no model digits version 7")):
        with pytest.raises(UnknownModelError, match=said), runners.open(f"grpc://{server.grpc_url}/{name}"):
            pass
