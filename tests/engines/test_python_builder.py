"""What the Python API is given for each version, held to the enumerators that its bindings have."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import recipes

from kit.engines import library, versions
from kit.engines.builders import python
from kit.engines.builders.interface import Files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MEASURED = tomllib.loads(Path(__file__).with_name("tensorrt-enumerators.toml").read_text(encoding="utf-8"))
NAMES = {version: frozenset(entry["enumerators"].split()) for version, entry in MEASURED.items()}
FILES = Files(folder=Path("/work"), onnx=Path("/work/m.onnx"), plan=Path("/work/m.plan"), timing_cache=Path("/t/c"))
HALF = frozenset({"fp16", "int8"})


@pytest.mark.parametrize("version", NAMES)
class TestEveryVersion:
    def test_what_is_said_to_be_there_is_there(self, version: str) -> None:
        facts = versions.facts().python
        assert set(facts.everywhere) <= NAMES[version]
        for name, span in facts.limited.items():
            assert (name in NAMES[version]) == span.holds(version), name

    @pytest.mark.parametrize("strong", [False, True])
    @pytest.mark.parametrize("precisions", [frozenset(), HALF])
    def test_every_name_that_it_is_given_exists(self, version: str, strong: bool, precisions: frozenset[str]) -> None:
        recipe = recipes.make(
            version, precisions=precisions, strongly_typed=strong and versions.of(version).can_be_strong, dla_core=0,
            version_compatible=True,
        )  # fmt: skip
        given = python.options(recipe, FILES)
        named = {f"NetworkDefinitionCreationFlag.{name}" for name in given["network_flags"]}
        named |= {f"BuilderFlag.{name}" for name in given["builder_flags"]}
        assert named <= NAMES[version]
        assert all(versions.facts().python.has(name, version) for name in named)

    def test_the_script_uses_no_enumerator_that_is_not_there(self, version: str) -> None:
        text = library.SCRIPT.read_text(encoding="utf-8")
        used = set(re.findall(r"trt\.((?:MemoryPoolType|DeviceType|TensorIOMode|BuilderFlag)\.[A-Z_]+)", text))
        assert {"MemoryPoolType.WORKSPACE", "DeviceType.DLA", "TensorIOMode.INPUT"} == used
        assert used <= NAMES[version]

    def test_what_a_version_lacks_the_script_asks_for_first(self, version: str) -> None:
        lacking = {name.rpartition(".")[2] for name in MEASURED[version]["lacking"]}
        assert not lacking or 'hasattr(error, "node_name")' in library.SCRIPT.read_text(encoding="utf-8")
        assert lacking <= {"node_name", "node_operator"}


@pytest.mark.parametrize(
    ("version", "strong", "network", "builder"),
    [
        ("8.6.1", False, ["EXPLICIT_BATCH"], ["FP16", "INT8"]),
        ("10.3.0", False, [], ["FP16", "INT8"]),
        ("10.3.0", True, ["STRONGLY_TYPED"], []),
        ("10.16.1", False, ["STRONGLY_TYPED"], []),
        ("11.4.0", False, [], []),
    ],
)
def test_precision_is_said_as_the_version_wants_it(
    version: str, strong: bool, network: list[str], builder: list[str]
) -> None:
    given = python.options(recipes.make(version, precisions=HALF, strongly_typed=strong), FILES)
    assert (given["network_flags"], given["builder_flags"]) == (network, builder)


def test_without_tensorrt_it_says_so() -> None:
    if python._installed() is not None:
        pytest.skip("tensorrt is installed")
    assert python.MEMBER.unavailable(recipes.make()) == "the package tensorrt is not installed in this Python"


def test_the_command_shows_what_the_script_is_given() -> None:
    ((interpreter, script, function, *given),) = python.MEMBER.commands(recipes.make(), FILES)
    assert (interpreter, script, function) == (sys.executable, str(library.SCRIPT), "build")
    assert "onnx=/work/m.onnx" in given
