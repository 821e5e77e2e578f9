"""What config.pbtxt says, held by golden files; and why each decision is what it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kit import render, targets, templating
from kit.config import check_config, parse
from kit.errors import UnsupportedModelError
from kit.targets.values import Target
from kit.types import DataType, Signature, Spec, Tensor

Golden = Callable[[str, str], None]
DIGEST = "0123456789abcdef" * 4


def tensor(name: str, dtype: str, *shape: int) -> Tensor:
    return Tensor(name=name, dtype=DataType(dtype), shape=shape)


DETECTOR = Signature(
    inputs=(tensor("frames", "UINT8", -1, 480, 640, 3),),
    outputs=(
        tensor("count", "INT32", -1, 1),
        tensor("boxes", "FP32", -1, 100, 4),
        tensor("scores", "FP32", -1, 100),
        tensor("classes", "INT32", -1, 100),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A golden file that is not a detector with every default."""

    signature: Signature
    target: str = "x86-cpu"
    backend: str = "onnxruntime"
    changes: dict[str, object]
    labels: str | None = None
    versions: tuple[int, ...] = ()


CASES = {
    "classifier": Case(
        signature=Signature(
            inputs=(tensor("frames", "UINT8", -1, 224, 224, 3),), outputs=(tensor("probabilities", "FP32", -1, 1000),)
        ),
        changes={"max_batch_size": 6, "instance_count": 2, "intra_op_threads": 2, "max_queue_delay_us": 500},
        labels="probabilities",
    ),
    "raw-two-inputs": Case(
        signature=Signature(
            inputs=(tensor("images", "FP32", -1, 3, 32, 32), tensor("sizes", "INT64", -1, 2)),
            outputs=(tensor("logits", "FP16", -1, 10), tensor("valid", "BOOL", -1, 10)),
        ),
        target="l4",
        changes={},
    ),
    "static-batch": Case(
        signature=Signature(inputs=(tensor("images", "FP32", 1, 3, 32, 32),), outputs=(tensor("y", "FP32", 1, 10),)),
        target="t4",
        changes={},
    ),
    "one-number-per-image": Case(
        signature=Signature(
            inputs=(tensor("frames", "UINT8", -1, 8, 8, 1), tensor("gain", "FP32", -1)),
            outputs=(tensor("score", "FP32", -1),),
        ),
        target="t4",
        changes={},
    ),
    "variable-size": Case(
        signature=Signature(inputs=(tensor("images", "FP32", -1, 3, -1, -1),), outputs=(tensor("y", "FP32", -1, 10),)),
        target="orin-nano-8gb",
        changes={},
    ),
    "text": Case(
        signature=Signature(inputs=(tensor("text", "BYTES", -1, 1),), outputs=(tensor("y", "FP32", -1, 4),)),
        target="t4",
        changes={},
    ),
    "no-batching": Case(signature=DETECTOR, target="t4", changes={"max_batch_size": 0}),
    "versions": Case(signature=DETECTOR, changes={"max_batch_size": 1}, versions=(3, 4)),
    "openvino": Case(signature=DETECTOR, backend="openvino", changes={"intra_op_threads": 4}),
    "tensorrt-plan": Case(signature=DETECTOR, target="agx-orin-64gb", backend="tensorrt", changes={}),
    "int8-before-tensorrt-11": Case(signature=DETECTOR, target="orin-nx-16gb", changes={"precision": "int8"}),
}


def rendered(
    signature: Signature,
    target: Target,
    *,
    backend: str = "onnxruntime",
    labels: str | None = None,
    versions: tuple[int, ...] = (),
    digest: str | None = DIGEST,
    **changes: object,
) -> str:
    spec = replace(Spec(source="model.onnx", name="model", targets=(target.name,)), **changes)
    chosen = target.backend(backend)
    assert chosen is not None
    return render.render_config(
        render.config_context(
            name="model",
            signature=signature,
            backend=chosen,
            target=target,
            spec=spec,
            model_filename="model.onnx",
            label_filename=labels and "labels.txt",
            label_output=labels,
            versions=versions,
            digest=digest,
        )
    )


@pytest.mark.parametrize("name", targets.names())
def test_a_detector_on_every_target(name: str, golden: Golden) -> None:
    target = targets.load(name)
    text = rendered(DETECTOR, target, labels="classes")
    golden(f"config/detector.{name}.pbtxt", text)
    assert check_config(text, name="model", signature=DETECTOR, target=target) == ()


@pytest.mark.parametrize("name", CASES)
def test_other_models(name: str, golden: Golden) -> None:
    case = CASES[name]
    target = targets.load(case.target)
    text = rendered(
        case.signature, target, backend=case.backend, labels=case.labels, versions=case.versions, **case.changes
    )
    golden(f"config/{name}.{case.target}.pbtxt", text)
    assert check_config(text, name="model", signature=case.signature, target=target) == ()


def test_no_golden_file_is_left_over() -> None:
    folder = Path(__file__).parents[1] / "golden" / "config"
    expected = {f"detector.{n}.pbtxt" for n in targets.names()} | {f"{n}.{c.target}.pbtxt" for n, c in CASES.items()}
    assert {f.name for f in folder.iterdir()} == expected


def test_max_batch_size_is_written_when_it_is_0_which_protobuf_itself_drops() -> None:
    text = rendered(CASES["static-batch"].signature, targets.load("x86-cpu"))
    assert "\nmax_batch_size: 0\n" in text
    assert "dynamic_batching" not in text


@pytest.mark.parametrize("largest", [0, 1])
def test_a_batch_of_one_has_nothing_to_wait_for(largest: int) -> None:
    config = parse(rendered(DETECTOR, targets.load("x86-cpu"), max_batch_size=largest))
    assert not config.HasField("dynamic_batching")


@pytest.mark.parametrize(("largest", "sizes"), [(0, [1]), (1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_warmup_runs_the_sizes_that_will_occur(largest: int, sizes: list[int]) -> None:
    signature = CASES["static-batch"].signature if largest == 0 else DETECTOR
    config = parse(rendered(signature, targets.load("x86-cpu"), max_batch_size=largest))
    assert [w.batch_size for w in config.model_warmup] == sizes


def test_a_batch_for_a_model_without_batch_dimension_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r'max_batch_size 4: "images" \[1, 3, 32, 32\] has no batch dimens'):
        rendered(CASES["static-batch"].signature, targets.load("x86-cpu"), max_batch_size=4)


def test_openvino_is_never_given_a_batch_that_it_would_refuse() -> None:
    target = targets.load("x86-cpu")
    assert parse(rendered(DETECTOR, target, backend="openvino")).max_batch_size == 1
    with pytest.raises(UnsupportedModelError, match="OpenVINO backend answers only full batches; use 1 and more inst"):
        rendered(DETECTOR, target, backend="openvino", max_batch_size=8)


def test_a_dimension_of_0_is_refused() -> None:
    empty = Signature(inputs=(tensor("x", "FP32", -1, 0),), outputs=(tensor("y", "FP32", -1, 1),))
    with pytest.raises(UnsupportedModelError, match=r'"x" \[-1, 0\] is always empty'):
        rendered(empty, targets.load("x86-cpu"))


def test_labels_of_no_output_are_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match='labels for "names", which is no output'):
        rendered(DETECTOR, targets.load("x86-cpu"), labels="names")


def _accelerator(text: str) -> dict[str, str]:
    (accelerator,) = parse(text).optimization.execution_accelerators.gpu_execution_accelerator
    return dict(accelerator.parameters)


def test_no_profile_is_given_because_onnx_runtime_may_cut_the_graph() -> None:
    for case in ("raw-two-inputs", "detector"):
        text = rendered(CASES[case].signature if case in CASES else DETECTOR, targets.load("t4"))
        assert not [key for key in _accelerator(text) if "profile" in key]
        assert int(_accelerator(text)["trt_min_subgraph_size"]) > 18


def test_the_warmup_shows_tensorrt_the_range_of_batch_sizes() -> None:
    sizes = [sample.batch_size for sample in parse(rendered(DETECTOR, targets.load("t4"))).model_warmup]
    assert min(sizes) == 1
    assert max(sizes) == targets.load("t4").defaults.max_batch_size


def test_an_input_that_varies_in_size_is_told_to_cost_engines() -> None:
    signature = Signature(inputs=(tensor("x", "FP32", -1, -1),), outputs=(tensor("y", "FP32", -1, 1),))
    assert '# TensorRT builds an engine anew when a larger "x" arrives.' in rendered(signature, targets.load("t4"))
    assert "TensorRT" not in rendered(signature, targets.load("x86-cpu"))


def test_cached_engines_of_other_weights_are_not_taken() -> None:
    first, second = (_accelerator(rendered(DETECTOR, targets.load("t4"), digest=d * 64)) for d in "ab")
    assert first["trt_engine_cache_prefix"] != second["trt_engine_cache_prefix"]
    assert "trt_engine_cache_prefix" not in _accelerator(rendered(DETECTOR, targets.load("t4"), digest=None))


@pytest.mark.parametrize(
    ("target", "precision", "mode"),
    [("t4", "int8", "FP32"), ("orin-nano-8gb", "fp32", "FP32"), ("orin-nano-8gb", "fp16", "FP16")],
)
def test_the_builder_switch_is_given_only_where_tensorrt_has_one(target: str, precision: str, mode: str) -> None:
    assert _accelerator(rendered(DETECTOR, targets.load(target), precision=precision))["precision_mode"] == mode


def test_nothing_is_put_in_that_stalls_the_queue() -> None:
    config = parse(rendered(DETECTOR, targets.load("t4"), max_queue_delay_us=100))
    assert [f.name for f, _ in config.dynamic_batching.ListFields()] == ["max_queue_delay_microseconds"]


def test_the_template_is_found_in_a_wheel_and_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (templating.folder() / "config.pbtxt.j2").is_file()
    (tmp_path / "kit" / "templates").mkdir(parents=True)
    monkeypatch.setattr(templating, "__file__", str(tmp_path / "kit" / "templating.py"))
    assert templating.folder() == tmp_path / "kit" / "templates"
