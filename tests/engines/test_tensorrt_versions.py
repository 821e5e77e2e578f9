"""What is known of TensorRT's versions, held to the lists of options that their sources have."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import pytest
import recipes

from kit import targets
from kit.engines import versions
from kit.errors import UnsupportedModelError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LISTS = tomllib.loads(Path(__file__).with_name("trtexec-options.toml").read_text(encoding="utf-8"))
OPTIONS = {version: frozenset(entry["options"].split()) for version, entry in LISTS.items()}


def test_the_lists_are_of_the_releases_that_are_tested() -> None:
    assert tuple(OPTIONS) == recipes.VERSIONS
    assert all(len(options) > 90 for options in OPTIONS.values())


@pytest.mark.parametrize("version", recipes.VERSIONS)
class TestOptions:
    def test_what_is_said_to_be_there_is_there(self, version: str) -> None:
        facts = versions.facts().options
        named = {*facts.everywhere, *facts.limited}
        assert {name for name in named if facts.has(name, version)} <= OPTIONS[version]

    def test_what_is_said_to_be_gone_is_gone(self, version: str) -> None:
        gone = versions.facts().options.gone
        assert gone
        after = {name for name, first in gone.items() if versions.numbers(version) >= versions.numbers(first)}
        assert not after & OPTIONS[version]

    def test_what_is_gone_later_was_there_before(self, version: str) -> None:
        gone = versions.facts().options.gone
        before = {name for name, first in gone.items() if versions.numbers(version) < versions.numbers(first)}
        late = {"--bf16", "--int4", "--calibProfile", "--weightless"}  # of 10.0
        assert before - late <= OPTIONS[version] | {n for n, first in gone.items() if first == "10.0"}

    def test_nothing_that_is_used_is_gone(self, version: str) -> None:
        facts = versions.facts().options
        stale = {n for n, first in facts.gone.items() if versions.numbers(version) >= versions.numbers(first)}
        assert not [name for name in stale if facts.has(name, version)]

    def test_measuring_is_said_in_options_that_it_has(self, version: str) -> None:
        assert set(versions.of(version).measure) <= OPTIONS[version]


def test_every_version_of_a_target_is_known() -> None:
    found = {t.stack.tensorrt_version for t in map(targets.load, targets.names())} - {None}
    assert len(found) > 1
    assert all(versions.of(version).max_opset >= 17 for version in found if version)


def test_the_ranges_meet_without_a_gap() -> None:
    spans = versions.facts().versions
    assert all(one.before == other.since for one, other in itertools.pairwise(spans))


FACTS = versions.facts()


@pytest.mark.parametrize(
    "fact", [*FACTS.versions, FACTS.options, FACTS.python, FACTS.limits, FACTS.container, FACTS.rtx]
)
def test_every_fact_has_a_source_and_a_date(fact: versions.Version) -> None:
    assert re.match(r"https://\S+$", fact.source)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", fact.date)


@pytest.mark.parametrize(
    ("version", "typing"),
    [("8.6.1.6", "flags"), ("10.0.1", "flags"), ("10.3.0", "flags"), ("10.11.0.33", "flags"), ("10.12.0", "option"),
     ("10.16.1.11", "option"), ("11.0.0", "always"), ("11.1.0.106", "always"), ("11.4.1", "always")],
)  # fmt: skip
def test_typing(version: str, typing: str) -> None:
    assert versions.of(version).typing == typing


@pytest.mark.parametrize("version", ["8.5.2", "7.1.3", "12.0", ""])
def test_an_unknown_version_is_refused_with_those_that_are_known(version: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"the options of 8\.6 up to 12\.0; use --runtime onnxruntime"):
        versions.of(version)


@pytest.mark.parametrize(
    ("banner", "release"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --help", "8.6.1"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec", "8.5.2"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # /usr/src/tensorrt/bin/trtexec", "10.3.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101100] [b33]", "10.11.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11]", "10.16.1"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b106]", "11.1.0"),
        ("trtexec: command not found", None),
    ],
)
def test_the_banner_names_the_release(banner: str, release: str | None) -> None:
    assert versions.of_banner(banner) == release


def test_a_release_is_three_numbers() -> None:
    assert versions.release("10.11.0.33") == versions.release("10.11") == "10.11.0"
    assert versions.numbers("10.9.0") < versions.numbers("10.11")


@pytest.mark.parametrize(
    ("own", "serving", "compatible", "refused"),
    [("10.11.0.33", "10.11.0.40", False, False), ("10.3.0", "10.11.0.33", False, True),
     ("10.3.0", "10.11.0.33", True, False), ("11.1.0", "10.11.0.33", True, True), (None, "10.11.0", True, True)],
)  # fmt: skip
def test_a_tool_of_another_release(own: str | None, serving: str, compatible: bool, refused: bool) -> None:
    reason = versions.other_release("trtexec", own, serving, compatible)
    assert (reason is not None) == refused
    assert reason is None or versions.release(serving) in reason
