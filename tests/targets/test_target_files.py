"""Every target file is whole, sourced and dated; a wrong one is told everything that is wrong with it."""

import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import tomli
import tomli_w

from kit import targets
from kit.errors import TargetFileError, UnknownTargetError
from kit.targets.schema import NAME, covering, unsourced, values_of
from kit.targets.values import Target

REQUIRED = {
    "x86-cpu", "arm64-cpu", "t4", "l4", "rtx-4090", "orin-nano-8gb", "orin-nx-8gb", "orin-nx-16gb", "agx-orin-64gb",
}  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "targets.md"
EVERY = pytest.mark.parametrize("target", [targets.load(n) for n in targets.names()], ids=targets.names())


def example() -> str:
    (block,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return block


def write(folder: Path, text: str, name: str = "board") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str, name: str = "board") -> str:
    with pytest.raises(TargetFileError) as error:
        targets.load_file(write(folder, text, name))
    return str(error.value)


def test_all_are_there() -> None:
    assert set(targets.names()) >= REQUIRED


@EVERY
def test_each_key_has_a_source_and_a_date(target: Target) -> None:
    assert unsourced(target) == ()
    for fact in target.facts:
        assert fact.source == "choice" or fact.source.startswith("https://")
        assert "2026-01-01" <= fact.date <= "2027-12-31"


@EVERY
def test_it_prints_back_to_itself(target: Target, tmp_path: Path) -> None:
    table = tomli.loads(targets.source_file(target.name).read_text())
    again = targets.load_file(write(tmp_path, tomli_w.dumps(table), target.name))
    assert again == target
    # Nothing of the file was left behind on the way: the target's own fields make the same table.
    fields = {k: v for k, v in asdict(target).items() if k != "name"}
    assert _bare(fields) == _bare(table)


def _bare(value: object) -> object:
    """Drop what is empty, which a file leaves out."""
    if isinstance(value, dict):
        return {k: _bare(v) for k, v in value.items() if v not in (None, "", (), [])}
    return [_bare(v) for v in value] if isinstance(value, (list, tuple)) else value


@EVERY
def test_cores_are_not_oversubscribed(target: Target) -> None:
    """ONNX Runtime's threads of all instances fit the cores; all cores (0) go to one instance at most."""
    threads, instances = target.defaults.intra_op_threads, target.defaults.instance_count
    assert instances == 1 if threads == 0 else threads * instances <= (target.device.cpu_threads or threads)


@EVERY
def test_hardware_and_software_agree(target: Target) -> None:
    backend = target.backend("onnxruntime")
    assert backend is not None
    gpu = target.device.compute_capability is not None
    jetson = target.stack.jetpack is not None
    assert (backend.instance_kind == "KIND_GPU") == gpu == (target.stack.tensorrt_version is not None)
    assert (target.backend("tensorrt") is not None) == gpu
    assert jetson == bool(target.device.power_modes) == target.stack.image.endswith("-igpu")
    assert jetson <= (target.device.memory_shared_with_cpu and target.device.architecture == "aarch64")
    if jetson:
        assert target.backend("python").instance_kind == "KIND_CPU"  # type: ignore[union-attr]
    if gpu:
        assert backend.accelerator is not None
        assert backend.accelerator.parameters["trt_engine_cache_path"].startswith("/")
        assert int(backend.accelerator.parameters["max_workspace_size_bytes"]) < target.device.memory_mib * 2**20 / 4


@EVERY
def test_its_name_can_be_an_option_a_file_and_a_config_name(target: Target) -> None:
    assert NAME.fullmatch(target.name)


def test_openvino_is_served_on_cpus_only() -> None:
    kinds = {b.instance_kind for n in targets.names() for b in [targets.load(n).backend("openvino")] if b}
    assert kinds == {"KIND_CPU"}


def test_an_unknown_target_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownTargetError, match='no target "orin-nano"; did you mean "orin-nano-8gb"'):
        targets.load("orin-nano")


def test_the_documented_example_is_a_target(tmp_path: Path) -> None:
    write(tmp_path, example(), "orin-nano-jp7")
    target = targets.load("orin-nano-jp7", [tmp_path])
    assert target.device.dla_cores == 0
    assert unsourced(target) == ()
    assert set(values_of(target)) >= {"stack.jetpack", "backends.onnxruntime.accelerator.parameters.precision_mode"}


def test_the_documented_names_are_the_targets() -> None:
    listed = {
        n for line in DOCUMENT.read_text().splitlines() if line.startswith("| `") for n in re.findall("`(.*?)`", line)
    }
    assert listed == set(targets.names())


def test_own_folders_add_and_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, description in ((first, "first"), (second, "second")):
        folder.mkdir()
        for name in ("t4", f"only-{description}"):
            write(folder, example().replace("Jetson Orin Nano 8 GB, JetPack 7.2", description), name)
    monkeypatch.setenv("KIT_TARGETS", str(second))
    assert {"only-first", "only-second", "x86-cpu"} <= set(targets.names([first]))
    assert targets.load("t4", [first]).device.description == "first"
    assert targets.load("t4").device.description == "second"
    assert targets.source_file("t4", [first]) == first / "t4.toml"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        TargetFileError, match=r"no folder of targets at .*gone; make it, or correct --targets or KIT_T"
    ):
        targets.names([tmp_path / "gone"])
    monkeypatch.setenv("KIT_TARGETS", f":{tmp_path / 'gone'}")
    with pytest.raises(TargetFileError, match="gone"):
        targets.load("t4")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("memory_mib = 8192", 'memory_mib = "8 GB"', "device.memory_mib: expected a whole number from 1, got '8 GB'"),
        ("dla_cores = 0", "dla_cores = true", "device.dla_cores: expected a whole number from 0, got True"),
        ("dla_cores = 0", "", "device.dla_cores: missing; expected a whole number from 0"),
        ("dla_cores", "dla_core", 'device.dla_core: unknown; did you mean "dla_cores"?'),
        ("[stack]", "[stak]", 'stak: unknown; did you mean "stack"?'),
        ("[stack]", "[stak]", "stack: missing; it needs image, triton_version, onnxruntime_version"),
        ("26.07-py3", "latest", "stack.image: expected an image with an exact tag or digest"),
        ('"8.7"', "8.7", "device.compute_capability: expected"),
        ('"aarch64"', '"arm"', 'device.architecture: expected "x86_64" or "aarch64", got'),
        ('description = "Jetson', 'description = "a\\nb', "device.description: expected one line of text"),
        ("KIND_GPU", "KIND_TPU", 'backends.onnxruntime.instance_kind: expected "KIND_CPU" or "KIND_GPU"'),
        ("KIND_GPU", "KIND_CPU", "backends.onnxruntime.accelerator: only onnxruntime on KIND_GPU takes one"),
        ('compute_capability = "8.7"', "", "instance_kind: KIND_GPU needs device.compute_capability"),
        ('precision_mode = "FP32"', "precision_mode = 32", "accelerator.parameters: expected at least one key"),
        (
            'name = "tensorrt"',
            'name = "openvino"',
            'backends.onnxruntime.accelerator.name: expected "tensorrt" or "cuda"',
        ),
        ("[defaults]", '[[backends]]\nname = "onnxruntime"\ninstance_kind = "KIND_CPU"\n[defaults]', "written twice"),
        ('"device", "stack"', '"devise"', 'facts[1].keys: this file has no devise; did you mean "device"?'),
        ('"device", "stack"', '"device.dla"', 'this file has no device.dla; did you mean "device.dla_cores"?'),
        ('source = "choice"', 'source = "me"', 'facts[2].source: expected a URL or "choice", got'),
        ('date = "2026-11-22"', "date = 2026-11-22", "facts[1].date: expected the day it was looked up"),
        ('note = "measured with kit tune on our board"', "", 'facts[2].note: a "choice" gives its reason'),
    ],
)
def test_what_is_wrong_is_named_with_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in example()
    assert message in problems(tmp_path, example().replace(old, new))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = example().replace("max_opset = 26", "max_opset = 1").replace("instance_count = 1", "instance_count = 0")
    found = problems(tmp_path, f"extra = 1\n{text}", "My Board").splitlines()
    assert found[0].endswith("My Board.toml: 4 problems (docs/targets.md has the keys)")
    assert [line.split(":")[0].strip() for line in found[1:]] == [
        'the file name "My Board"', "extra", "stack.max_opset", "defaults.instance_count",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), [("[device\n", "line 1"), ("facts = 3", r"facts: expected \[\[facts\]\]")]
)
def test_a_file_that_is_no_table_is_said(tmp_path: Path, text: str, message: str) -> None:
    assert re.search(message, problems(tmp_path, text))


def test_no_backend_is_no_target(tmp_path: Path) -> None:
    text = re.sub(r"\[\[backends\]\].*?(?=\[defaults\])", "", example(), flags=re.DOTALL).replace('"backends", ', "")
    assert "backends: none; a target needs at least one [[backends]]" in problems(tmp_path, text)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'x = "\xe9"')
    with pytest.raises(TargetFileError, match=r"latin\.toml: not UTF-8 text"):
        targets.load_file(tmp_path / "latin.toml")
    with pytest.raises(TargetFileError, match="cannot be read: No such file"):
        targets.load_file(tmp_path / "gone.toml")


def test_a_fact_covers_what_is_below_its_key() -> None:
    target = targets.load("x86-cpu")
    assert covering(target, "device.architecture") == covering(target, "device.dla_cores") == (1,)


def test_importing_is_cheap() -> None:
    program = "import sys, kit.targets, kit.render, kit.config; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"jinja2", "google.protobuf", "tritonclient", "numpy", "onnx"} & set(loaded)
