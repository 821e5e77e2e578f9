"""config.pbtxt read back by protobuf: what Triton would refuse is found, in Triton's words."""

import json
import re
from pathlib import Path

import pytest
from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from kit import render, targets
from kit.config import check_config, parse, to_load_override
from kit.errors import BadRepositoryError
from kit.types import DataType, Signature, Spec, Tensor

TARGET = targets.load("x86-cpu")
SIGNATURE = Signature(
    inputs=(Tensor(name="frames", dtype=DataType.UINT8, shape=(-1, 8, 8, 3)),),
    outputs=(Tensor(name="scores", dtype=DataType.FP32, shape=(-1, 10)),),
)
SCALAR = Tensor(name="frames", dtype=DataType.UINT8, shape=(-1,))


def text(signature: Signature = SIGNATURE, **changes: int) -> str:
    backend = TARGET.backend("onnxruntime")
    assert backend is not None
    return render.render_config(
        render.config_context(
            name="digits",
            signature=signature,
            backend=backend,
            target=TARGET,
            spec=Spec(source="m.onnx", name="digits", targets=("x86-cpu",), **changes),
            model_filename="model.onnx",
            label_filename="labels.txt",
            label_output="scores",
        )
    )


def problems(config: str, *, name: str = "digits", folder: Path | None = None) -> str:
    return "\n".join(check_config(config, name=name, signature=SIGNATURE, target=TARGET, folder=folder))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'name: "digits"',
            'name: "other"',
            "unexpected directory name 'digits' for model 'other', directory name must",
        ),
        ('backend: "onnxruntime"', "", "must specify 'backend'"),
        ('"onnxruntime"', '"onnxrunti"', 'x86-cpu has no backend "onnxrunti"; did you mean "onnxruntime"?'),
        ('default_model_filename: "model.onnx"', "", "must specify 'default_model_filename'"),
        ("max_batch_size: 4\n", "", "max_batch_size is not written"),
        ("max_batch_size: 4", "max_batch_size: -1", "'max_batch_size' must be non-negative value for digits"),
        ("max_batch_size: 4", "max_batch_size: 0", "dynamic_batching with max_batch_size 0 batches nothing"),
        ("max_queue", "preferred_batch_size: [9] max_queue", "preferred size must be <= max batch size for digits"),
        ("KIND_CPU", "KIND_GPU", "instance group has kind KIND_GPU; onnxruntime on x86-cpu needs KIND_CPU"),
        ("count: 1", "count: 0", "instance group has count 0"),
        ('name: "frames"', 'name: "images"', "unexpected inference input 'images', allowed inputs are: frames"),
        ('name: "scores"', 'name: "y"', "unexpected inference output 'y', allowed outputs are: scores"),
        ("TYPE_UINT8", "TYPE_FP32", "datatype TYPE_FP32 for input 'frames', model provides TYPE_UINT8"),
        ("    dims: [ 10 ]", "", "model output 'scores' must specify 'dims'"),
        ("dims: [ 10 ]", "dims: [ 0 ]", "dimension must be integer >= 1, or -1 to indicate a variable-size dimension"),
        (
            "dims: [ 10 ]",
            "dims: [ -1 ]",
            "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making",
        ),
        ("dims: [ 8, 8, 3 ] z", "dims: [ -1, 8, 3 ] z", "warmup setting expects all variable-size dimensions are spec"),
        ("batch_size: 2", "batch_size: 0", "warmup 'batch of 2' has batch_size 0: Triton skips 0 in silence"),
        ("batch_size: 2", "batch_size: 5", "write 1 to 4"),
        ('key: "frames"', 'key: "x"', "warmup 'batch of 1' has no data for input 'frames'"),
    ],
)
def test_what_triton_would_refuse_is_named(old: str, new: str, message: str) -> None:
    good = text()
    assert old in good
    assert message in problems(good.replace(old, new))


def test_a_good_one_has_no_problem() -> None:
    assert problems(text()) == ""


def test_a_variable_input_may_be_narrowed_and_an_output_not() -> None:
    wide = Signature(
        inputs=(Tensor(name="frames", dtype=DataType.UINT8, shape=(-1, -1, 8, 3)),),
        outputs=(Tensor(name="scores", dtype=DataType.FP32, shape=(-1, -1)),),
    )
    (problem,) = check_config(text(), name="digits", signature=wide, target=TARGET)
    assert "tensor 'scores': the model expects" in problem


def test_an_input_that_is_missing_is_counted() -> None:
    two = Signature(
        inputs=(*SIGNATURE.inputs, SCALAR.__class__(name="b", dtype=DataType.FP32, shape=(-1, 2))), outputs=()
    )
    assert "configuration expects 1 inputs, model provides 2" in "\n".join(
        check_config(text(), name="digits", signature=two, target=TARGET)
    )


def test_a_model_with_a_fixed_batch_cannot_be_batched() -> None:
    fixed = Signature(inputs=(Tensor(name="frames", dtype=DataType.UINT8, shape=(1, 8, 8, 3)),), outputs=())
    (found, _) = check_config(text(), name="digits", signature=fixed, target=TARGET)
    assert found == (
        "model 'digits', tensor 'frames': for the model to support batching the shape should have at least 1 dimension "
        "and the first dimension must be -1; but shape expected by the model is [1,8,8,3]"
    )


def test_an_empty_reshape_needs_batching() -> None:
    scalar = Signature(inputs=(SCALAR,), outputs=SIGNATURE.outputs)
    good = text(scalar)
    assert check_config(good, name="digits", signature=scalar, target=TARGET) == ()
    bad = good.replace("max_batch_size: 4", "max_batch_size: 0")
    assert "cannot have empty reshape for non-batching model as scalar tensors are not supported" in "\n".join(
        check_config(bad, name="digits", signature=scalar, target=TARGET)
    )


def test_a_scalar_of_a_model_without_batches() -> None:
    scalar = Signature(inputs=(Tensor(name="x", dtype=DataType.FP32, shape=()),), outputs=SIGNATURE.outputs)
    good = text(scalar)
    assert check_config(good, name="digits", signature=scalar, target=TARGET) == ()


def test_files_are_looked_for(tmp_path: Path) -> None:
    assert "at least one version must be available under the version policy of model 'digits'" in problems(
        text(), folder=tmp_path
    )
    (tmp_path / "1").mkdir()
    (tmp_path / "warmup").mkdir()
    found = problems(text(), folder=tmp_path)
    assert "version 1 has no model.onnx, which default_model_filename names" in found
    assert "output 'scores' names labels in labels.txt" in found
    (tmp_path / "1" / "model.onnx").touch()
    (tmp_path / "labels.txt").touch()
    assert problems(text(), folder=tmp_path) == ""


def test_an_old_version_may_have_files_of_other_names(tmp_path: Path) -> None:
    """As where targets begin to differ in precision: 1/model.onnx stays, and 2/model.t4.onnx is served."""
    (tmp_path / "labels.txt").touch()
    for number in ("1", "2", "10"):
        (tmp_path / number).mkdir()
    (tmp_path / "10" / "model.onnx").touch()
    assert problems(text(), folder=tmp_path) == ""
    assert "version 10 has no other.onnx" in problems(text().replace("model.onnx", "other.onnx"), folder=tmp_path)
    every = text().replace("latest { num_versions: 1 }", "all { }")
    assert "version 1 has no model.onnx" in problems(every, folder=tmp_path)
    some = text().replace("latest { num_versions: 1 }", "specific { versions: [ 2, 10 ] }")
    assert "version 2 has no model.onnx" in problems(some, folder=tmp_path)
    assert "version 1 has" not in problems(some, folder=tmp_path)


def test_what_cannot_be_read_is_said_with_its_line() -> None:
    with pytest.raises(BadRepositoryError, match=r'config.pbtxt: .*2:1 : .*has no field named "instance_grup"'):
        parse('name: "x"\ninstance_grup { }\n')
    assert "1:7" in problems("name: [")


@pytest.mark.parametrize("largest", [0, 4])
def test_the_load_override_is_the_same_configuration(largest: int) -> None:
    config = text(max_batch_size=largest)
    override = to_load_override(config)
    assert json.loads(override)["max_batch_size"] == largest
    assert json_format.Parse(override, ModelConfig()) == parse(config)


def test_no_instance_group_leaves_the_device_to_triton() -> None:
    config = re.sub(r"instance_group \[.*?\n\]\n", "", text(), flags=re.DOTALL)
    assert "no instance_group: Triton would choose the device and the count" in problems(config)
