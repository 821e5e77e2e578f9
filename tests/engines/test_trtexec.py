"""trtexec's command line for each version, and what its output says."""

from __future__ import annotations

import pytest
import recipes
from hypothesis import given
from hypothesis import strategies as st
from test_tensorrt_versions import OPTIONS

from kit.engines import trtexec, versions
from kit.engines.trtexec import Places
from kit.errors import EngineBuildError, UnsupportedModelError
from kit.types import DataType, Signature, Tensor

PLACES = Places(onnx="/work/model.onnx", plan="/work/model.t4.plan", timing_cache="/timing/t4.timing")
RANGES = (
    "--minShapes=images:1x320x320x3",
    "--optShapes=images:8x320x320x3",
    "--maxShapes=images:8x320x320x3",
)
LOG = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # /usr/src/tensorrt/bin/trtexec --loadEngine=/work/x.plan
[11/22/2026-10:00:00] [I] === Device Information ===
[11/22/2026-10:00:00] [I] Available Devices:
[11/22/2026-10:00:00] [I]   Device 0: "Orin" UUID: GPU-5b5a
[11/22/2026-10:00:00] [I] Selected Device: Orin
[11/22/2026-10:00:00] [I] Compute Capability: 8.7
[11/22/2026-10:00:00] [I] SMs: 8
[11/22/2026-10:00:00] [I] TensorRT version: 10.3.0
[11/22/2026-10:00:03] [I] === Performance summary ===
[11/22/2026-10:00:03] [I] Throughput: 284.532 qps
[11/22/2026-10:00:03] [I] Latency: min = 3.12671 ms, max = 4.25479 ms, mean = 3.54068 ms, median = 3.54062 ms, percentile(50%) = 3.54062 ms, percentile(90%) = 3.64587 ms, percentile(99%) = 3.75039 ms
[11/22/2026-10:00:03] [I] GPU Compute Time: min = 3.1 ms, max = 3.2 ms, mean = 3.14 ms, median = 3.14 ms, percentile(50%) = 3.1 ms, percentile(90%) = 3.1 ms, percentile(99%) = 3.2 ms
[11/22/2026-10:00:03] [I] Dumping I/O Bindings to RAW Files:
[11/22/2026-10:00:03] [I] Writing file for input binding images (with datatype UInt8 and dimensions 8.320.320.3) to images.input.8.320.320.3.UInt8.raw
[11/22/2026-10:00:03] [I] Writing file for output binding boxes (with datatype Float and dimensions 8.20.4) to boxes.output.8.20.4.Float.raw
[11/22/2026-10:00:03] [I] Writing file for output binding a name/with: all (with datatype Int32 and dimensions 8.1) to a_name_with__all.output.8.1.Int32.raw
&&&& PASSED TensorRT.trtexec [TensorRT v100300] [b26]
"""  # noqa: E501


class TestBuild:
    @pytest.mark.parametrize(
        ("version", "precisions", "typing"),
        [
            ("8.6.1", (), ()),
            ("8.6.1", ("fp16",), ("--fp16",)),
            ("10.3.0", ("fp16", "int8"), ("--fp16", "--int8")),
            ("10.11.0", ("int8",), ("--int8",)),
            ("10.16.0", (), ("--stronglyTyped",)),
            ("10.16.0", ("fp16", "int8"), ("--stronglyTyped",)),
            ("11.1.0", (), ()),
            ("11.1.0", ("fp16", "int8"), ()),
        ],
    )
    def test_the_exact_arguments(self, version: str, precisions: tuple[str, ...], typing: tuple[str, ...]) -> None:
        recipe = recipes.make(version, precisions=frozenset(precisions))
        assert trtexec.build_arguments(recipe, PLACES) == (
            "--onnx=/work/model.onnx",
            "--saveEngine=/work/model.t4.plan",
            *RANGES,
            *typing,
            "--memPoolSize=workspace:2048",
            "--timingCacheFile=/timing/t4.timing",
            "--skipInference",
        )

    def test_a_fixed_batch_is_in_the_graph_and_in_no_profile(self) -> None:
        arguments = trtexec.build_arguments(recipes.make(batch=1), PLACES)
        assert not [a for a in arguments if "Shapes" in a]

    def test_a_dla_falls_back_to_the_gpu(self) -> None:
        recipe = recipes.make("10.11.0", of="orin-nx-16gb", batch=1, dla_core=1, precisions=frozenset({"fp16"}))
        arguments = trtexec.build_arguments(recipe, PLACES)
        assert {"--useDLACore=1", "--allowGPUFallback", "--fp16", "--memPoolSize=workspace:1024"} <= set(arguments)
        assert "--useDLACore=1" in trtexec.measure_arguments(recipe, PLACES, 1)

    def test_version_compatible_is_said_when_it_is_built_and_loaded(self) -> None:
        recipe = recipes.make(version_compatible=True)
        assert "--versionCompatible" in trtexec.build_arguments(recipe, PLACES)
        assert "--versionCompatible" in trtexec.measure_arguments(recipe, PLACES, 1)

    def test_strong_typing_before_it_is_the_rule(self) -> None:
        recipe = recipes.make("10.3.0", precisions=frozenset({"fp16"}), strongly_typed=True)
        arguments = trtexec.build_arguments(recipe, PLACES)
        assert "--stronglyTyped" in arguments
        assert "--fp16" not in arguments

    @pytest.mark.parametrize("name", ["a,b", "it's"])
    def test_a_name_that_trtexec_would_tear_is_refused(self, name: str) -> None:
        tensor = Tensor(name=name, dtype=DataType.FP32, shape=(-1, 4))
        recipe = recipes.make(signature=Signature(inputs=(tensor,), outputs=(tensor,)))
        with pytest.raises(UnsupportedModelError, match="no name with a comma or a quote"):
            trtexec.build_arguments(recipe, PLACES)


@pytest.mark.parametrize("version", recipes.VERSIONS)
class TestEveryVersion:
    @given(
        precisions=st.frozensets(st.sampled_from(["fp16", "int8"])),
        batch=st.sampled_from([0, 1, 2, 8]),
        flags=st.tuples(st.booleans(), st.booleans()),
        dla=st.sampled_from([None, 0]),
    )
    def test_knows_every_option_that_it_is_given(
        self, version: str, precisions: frozenset[str], batch: int, flags: tuple[bool, bool], dla: int | None
    ) -> None:
        shape = (-1,) if batch else (1,)
        tensor = Tensor(name="x", dtype=DataType.UINT8, shape=(*shape, 4, 6, 3))
        recipe = recipes.make(
            version, Signature(inputs=(tensor,), outputs=(tensor,)), batch, precisions=precisions, dla_core=dla,
            version_compatible=flags[0], strongly_typed=flags[1] and versions.of(version).can_be_strong,
        )  # fmt: skip
        given_options = {
            argument.partition("=")[0]
            for size in recipe.batches
            for argument in (
                *trtexec.build_arguments(recipe, PLACES),
                *trtexec.measure_arguments(recipe, PLACES, size, {"x": "/work/input.bin"}),
            )
        }
        assert given_options <= OPTIONS[version]

    def test_times_what_a_server_does(self, version: str) -> None:
        arguments = trtexec.measure_arguments(recipes.make(version), PLACES, 8, {"images": "/work/i.bin"})
        assert "--shapes=images:8x320x320x3" in arguments
        assert "--loadInputs=images:/work/i.bin" in arguments
        assert "--dumpRawBindingsToFile" in arguments
        assert not {"--useCudaGraph", "--noDataTransfers"} & set(arguments)
        assert ("--includeDataTransfers" in arguments) == version.startswith("11")


class TestOutput:
    def test_times(self) -> None:
        found = trtexec.timing(LOG, 8)
        assert (found.p50_ms, found.p90_ms, found.p99_ms, found.per_second) == (3.54062, 3.64587, 3.75039, 284.532)

    @pytest.mark.parametrize("text", ["", LOG.replace("Latency:", "Delay:"), LOG.replace("percentile(99%)", "p99")])
    def test_no_times_are_an_error(self, text: str) -> None:
        with pytest.raises(EngineBuildError, match="measured nothing that can be read"):
            trtexec.timing(text, 1)

    def test_the_machine(self) -> None:
        seen = trtexec.seen(LOG)
        assert (seen.tensorrt, seen.device, seen.compute_capability) == ("10.3.0", "Orin", "8.7")
        assert trtexec.seen("") == trtexec.Seen(tensorrt=None, device=None, compute_capability=None)

    def test_the_outputs_that_were_written(self) -> None:
        boxes, other = trtexec.dumped(LOG)
        assert (boxes.name, boxes.shape, boxes.file) == ("boxes", (8, 20, 4), "boxes.output.8.20.4.Float.raw")
        assert (other.name, other.shape) == ("a name/with: all", (8, 1))
        assert other.file == "a_name_with__all.output.8.1.Int32.raw"

    def test_an_error_of_several_lines_is_one(self) -> None:
        text = (
            "[09/02/2024-17:35:22] [E] [TRT] ModelImporter.cpp:954: ERROR: In function parseNode:\n"
            "[6] Invalid Node - /Tile\nan IIOneHotLayer cannot be used\n"
            "[09/02/2024-17:35:22] [I] Finished parsing\n[09/02/2024-17:35:22] [E] Engine set up failed\n"
            "&&&& FAILED TensorRT.trtexec [TensorRT v100300]\n"
        )
        first, second = trtexec.errors(text)
        assert first.endswith("parseNode: [6] Invalid Node - /Tile an IIOneHotLayer cannot be used")
        assert second == "Engine set up failed"
