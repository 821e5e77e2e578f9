"""Engines on a real GPU: built, held to ONNX Runtime, run again, served. For whoever has one:

    pytest -m gpu tests/building/test_on_a_gpu.py

They need NVIDIA's driver, and TensorRT: the Python package ``tensorrt``, trtexec, or docker with the image of t4.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kit.cli
from kit import building, runners, targets
from kit.engines import agreement, builders, gpus, provenance
from kit.engines.builders import python, trtexec
from kit.inputs import images_in, read_image
from kit.server import docker
from kit.server.interface import ServerOptions

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
NAME = "this-machine"
BATCH = 4


@functools.cache
def release() -> str | None:
    """The TensorRT of this machine; that of t4's image where only docker is here."""
    program = trtexec._program()
    own = python._installed() or (trtexec._release(program) if program else None)
    return own or (targets.load("t4").stack.tensorrt_version if docker.unavailable_reason() is None else None)


@pytest.fixture(scope="module", autouse=True)
def gpu() -> Any:
    found = gpus.found()
    if found is None or release() is None:
        pytest.skip("no NVIDIA GPU with TensorRT is here")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, gpu: Any) -> Path:
    """A folder with a target file that says what this machine is: t4's with its GPU and its TensorRT."""
    made = tmp_path_factory.mktemp("gpu")
    text = (targets.BUILT_IN / "t4.toml").read_text(encoding="utf-8")
    known = targets.load("t4")
    text = text.replace('"7.5"', f'"{gpu.compute_capability or "7.5"}"')
    text = text.replace(f'"{known.stack.tensorrt_version}"', f'"{release()}"')
    (made / "targets").mkdir()
    (made / "targets" / f"{NAME}.toml").write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def repository(folder: Path) -> Path:
    """The digits in three precisions, each with its engine, by the real command line."""
    common = ["--target", NAME, "--targets", str(folder / "targets")]
    for level in ("fp32", "fp16", "int8"):
        arguments = [
            "generate", str(DIGITS / "digits.onnx"), "--name", level, "--precision", level, "--runtime", "tensorrt",
            "--max-batch-size", str(BATCH), "--output", str(folder / "repository"), "--no-verify", "--quiet",
            "--calibration", str(DIGITS / "calibration"), "--validation", str(DIGITS / "test"),
        ]  # fmt: skip
        assert kit.cli.run([*arguments, *common]) == 0
    images = ["--images", str(DIGITS / "test" / "images")]
    assert kit.cli.run(["build", str(folder / "repository"), *common, *images]) == 0
    return folder / "repository"


@pytest.fixture(scope="module")
def frames() -> np.ndarray[Any, Any]:
    paths = images_in(DIGITS / "test" / "images")[:BATCH]
    return np.stack([read_image(path, (320, 320), 3) for path in paths])


def plan(repository: Path, level: str) -> Path:
    return repository / level / "1" / f"model.{NAME}.plan"


def made(repository: Path, level: str) -> provenance.Provenance:
    found = provenance.read(plan(repository, level))
    assert found is not None
    return found


@pytest.mark.parametrize("level", ["fp32", "fp16", "int8"])
class TestEveryPrecision:
    def test_the_engine_answers_as_onnx_runtime_does(self, level: str, repository: Path) -> None:
        known = made(repository, level)
        assert not list(agreement.problems(known.agreement, agreement.least(frozenset(known.precisions))))
        assert [timing.batch for timing in known.timings] == [1, BATCH]
        assert known.precisions == {"fp32": (), "fp16": ("fp16",)}.get(level, known.precisions)

    def test_every_batch_size_answers_as_one_does(
        self, level: str, repository: Path, frames: np.ndarray[Any, Any]
    ) -> None:
        pytest.importorskip("tensorrt")
        asked = agreement.least(frozenset(made(repository, level).precisions))
        with runners.open(str(plan(repository, level))) as engine:
            alone = [engine.run({"images": frames[index : index + 1]}) for index in range(BATCH)]
            for size in range(1, BATCH + 1):
                together = engine.run({"images": np.ascontiguousarray(frames[:size])})
                joined = {name: np.concatenate([one[name] for one in alone[:size]]) for name in together}
                assert not list(agreement.problems(agreement.compare(joined, together, size, asked), asked))


def test_int8_finds_what_fp16_finds_and_is_no_slower(repository: Path, frames: np.ndarray[Any, Any]) -> None:
    half, small = made(repository, "fp16"), made(repository, "int8")
    assert small.timings[-1].p50_ms <= 1.1 * half.timings[-1].p50_ms
    pytest.importorskip("tensorrt")
    asked = agreement.LEAST["int8"]
    with runners.open(str(plan(repository, "fp16"))) as one, runners.open(str(plan(repository, "int8"))) as other:
        expected, got = one.run({"images": frames}), other.run({"images": frames})
    assert expected["num"].sum() > 0
    assert not list(agreement.problems(agreement.compare(expected, got, BATCH, asked), asked))


def test_half_precision_is_no_slower_than_full(repository: Path) -> None:
    assert made(repository, "fp16").timings[-1].p50_ms <= 1.1 * made(repository, "fp32").timings[-1].p50_ms


def test_an_engine_of_one_fixed_shape(folder: Path) -> None:
    common = ["--target", NAME, "--targets", str(folder / "targets")]
    output = str(folder / "fixed")
    arguments = [
        "generate",
        str(DIGITS / "digits.onnx"),
        "--runtime",
        "tensorrt",
        "--max-batch-size",
        "1",
        "--output",
        output,
    ]
    assert kit.cli.run([*arguments, *common, "--no-verify", "--quiet"]) == 0
    assert kit.cli.run(["build", output, *common, "--quiet"]) == 0
    known = provenance.read(Path(output) / "digits" / "1" / f"model.{NAME}.plan")
    assert known is not None
    assert known.shapes[0].least == known.shapes[0].most == (1, 320, 320, 3)


@pytest.mark.parametrize("name", builders.names())
def test_every_builder_that_can_build_here_does(name: str, repository: Path, folder: Path) -> None:
    asked = building.Asked(
        models=("fp16",), target=NAME, target_folders=(folder / "targets",), builder=name, force=True
    )
    (task,) = building.tasks(repository, asked)
    reason = builders.get(name).unavailable(task.recipe)
    if reason is not None:
        pytest.skip(reason)
    assert building.make(task, asked).made.builder == name


def test_triton_serves_it(repository: Path, folder: Path, frames: np.ndarray[Any, Any]) -> None:
    """The container of the target loads the engine and answers as it did when it was built."""
    reason = docker.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    import tritonclient.grpc as grpc

    target = targets.load(NAME, (folder / "targets",))
    options = ServerOptions(repository=repository, config_name=NAME, target=target, models=("fp16",))
    server = docker.start(options, print)
    try:
        given = grpc.InferInput("images", frames.shape, "UINT8")
        given.set_data_from_numpy(frames)
        with grpc.InferenceServerClient(server.grpc_url) as client:
            answer = client.infer("fp16", [given], client_timeout=60)
        got = {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
    finally:
        server.stop()
    with runners.open(str(repository / "fp16" / "1" / "model.onnx")) as expected:
        asked = agreement.LEAST["fp16"]
        seen = agreement.compare(expected.run({"images": frames}), got, BATCH, asked)
    assert not list(agreement.problems(seen, asked))


def test_the_record_is_json(repository: Path) -> None:
    assert json.loads(provenance.beside(plan(repository, "fp16")).read_text())["gpu"]["driver"]
