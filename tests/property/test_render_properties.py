"""Laws of the renderer: what is written is what protobuf reads back, whatever the names and shapes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kit import render, targets
from kit.config import check_config, parse, to_load_override
from kit.targets.values import Target
from kit.types import DataType, Signature, Spec, Tensor

TARGETS = tuple(targets.load(n) for n in targets.names())
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
DTYPES = st.sampled_from(list(DataType))
SHAPES = st.lists(st.sampled_from([-1, 1, 2, 3, 640, 2**40]), max_size=4).map(tuple)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    batched = draw(st.booleans())
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    tensors = [
        Tensor(name=n, dtype=draw(DTYPES), shape=(-1, *draw(SHAPES)) if batched else draw(SHAPES)) for n in names
    ]
    split = draw(st.integers(1, len(tensors) - 1))
    return Signature(inputs=tuple(tensors[:split]), outputs=tuple(tensors[split:]))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    counts = st.none() | st.integers(1, 64)
    return Spec(
        source="m.onnx",
        name="m",
        targets=("x86-cpu",),
        max_batch_size=draw(st.none() | st.integers(0, 64)),
        instance_count=draw(counts),
        max_queue_delay_us=draw(st.none() | st.integers(0, 10**9)),
        intra_op_threads=draw(st.none() | st.integers(0, 64)),
        precision=draw(st.sampled_from(["fp32", "fp16", "int8"])),
    )


def _render(signature: Signature, target: Target, spec: Spec, name: str = "m", filename: str = "model.onnx") -> str:
    backend = target.backend("onnxruntime")
    assert backend is not None
    if not signature.batched:
        spec = Spec(source="m.onnx", name="m", targets=("x86-cpu",))
    return render.render_config(
        render.config_context(
            name=name,
            signature=signature,
            backend=backend,
            target=target,
            spec=spec,
            model_filename=filename,
            label_filename="labels.txt",
            label_output=signature.outputs[0].name,
            digest="d" * 64,
        )
    )


@settings(max_examples=150, deadline=None)
@given(signatures(), st.sampled_from(TARGETS), specs())
def test_protobuf_reads_back_what_the_model_is(signature: Signature, target: Target, spec: Spec) -> None:
    text = _render(signature, target, spec)
    config = parse(text)
    assert check_config(text, name="m", signature=signature, target=target) == ()
    for written, tensors in ((config.input, signature.inputs), (config.output, signature.outputs)):
        assert [t.name for t in written] == [t.name for t in tensors]
    assert (config.max_batch_size > 0) <= signature.batched
    assert [o.label_filename for o in config.output] == ["labels.txt", *([""] * (len(signature.outputs) - 1))]
    assert all(0 < w.batch_size <= max(config.max_batch_size, 1) for w in config.model_warmup)


@settings(max_examples=30, deadline=None)
@given(signatures(), st.sampled_from(TARGETS), specs())
def test_rendering_is_repeatable(signature: Signature, target: Target, spec: Spec) -> None:
    assert _render(signature, target, spec) == _render(signature, target, spec)


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES)
def test_any_name_survives(name: str, filename: str) -> None:
    signature = Signature(
        inputs=(Tensor(name=name, dtype=DataType.FP32, shape=(-1, 2)),),
        outputs=(Tensor(name=filename, dtype=DataType.FP32, shape=(-1, 2)),),
    )
    text = _render(signature, TARGETS[0], Spec(source="m", name="m", targets=("t4",)), name=name, filename=filename)
    config = parse(text)
    assert (config.name, config.default_model_filename) == (name, filename)
    assert (config.input[0].name, config.output[0].name) == (name, filename)
    assert set(config.model_warmup[0].inputs) == {name}
    to_load_override(text)
