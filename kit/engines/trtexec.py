"""trtexec: its command line for each version, and what its output says.

Names of options are those of ``facts.toml``; one that the version does not know is refused here, before trtexec ends
with "Unknown option".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.engines import versions
from kit.engines.provenance import Timing
from kit.engines.recipe import Recipe
from kit.errors import EngineBuildError, UnsupportedModelError

_WARM_UP_MS = 500
_DURATION_S = 3
_LEAST_RUNS = 50
_PERCENTILES = (50, 90, 99)

_LINE = re.compile(r"^(?:\[[^\]]*\] )?\[(?P<level>[EWIV])\] (?P<text>.*)$")
_LATENCY = re.compile(r"^(?:\[[^\]]*\] )?\[I\] Latency: (.*)$", re.MULTILINE)
_PART = re.compile(r"percentile\((\d+)%\) = ([0-9.e+-]+) ms")
_THROUGHPUT = re.compile(r"\[I\] Throughput: ([0-9.e+-]+) qps")
_DUMPED = re.compile(r"Writing file for output binding (.+) \(with datatype \S+ and dimensions ([0-9.]*)\) to (.+)$",
                     re.MULTILINE)  # fmt: skip
_DEVICE = re.compile(r"\[I\] Selected Device: (.+)$", re.MULTILINE)
_CAPABILITY = re.compile(r"\[I\] Compute Capability: (\d+\.\d)")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things lie for trtexec, which may be inside a container. ``inputs`` hold one batch: name to file."""

    onnx: str
    plan: str
    timing_cache: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What trtexec says of the machine that it runs on; None where it does not say it."""

    tensorrt: str | None
    device: str | None
    compute_capability: str | None


@dataclass(frozen=True, kw_only=True)
class Dumped:
    """An output that trtexec wrote into its working folder: the numbers as they lie in memory."""

    name: str
    shape: tuple[int, ...]
    file: str


def build_arguments(recipe: Recipe, places: Places) -> tuple[str, ...]:
    """Return what trtexec is given to build an engine and do nothing else."""
    ranges = [] if recipe.static else _ranges(recipe)
    dla = [] if recipe.dla_core is None else [f"--useDLACore={recipe.dla_core}", "--allowGPUFallback"]
    return _checked(
        recipe,
        (
            f"--onnx={places.onnx}",
            f"--saveEngine={places.plan}",
            *ranges,
            *typing(recipe),
            *dla,
            f"--memPoolSize=workspace:{recipe.workspace_mib}",
            f"--timingCacheFile={places.timing_cache}",
            *(["--versionCompatible"] if recipe.version_compatible else []),
            "--skipInference",
        ),
    )


def measure_arguments(
    recipe: Recipe, places: Places, batch: int, inputs: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return what trtexec is given to time an engine at one batch size, and to answer ``inputs`` where there are some.

    The answers are written into its working folder: ``dumped`` finds them.
    """
    given = _joined("--loadInputs", inputs.items()) if inputs else ()
    return _checked(
        recipe,
        (
            f"--loadEngine={places.plan}",
            *(() if recipe.static else _joined("--shapes", ((n, _by(s)) for n, s in recipe.at(batch).items()))),
            *(() if recipe.dla_core is None else (f"--useDLACore={recipe.dla_core}",)),
            *(("--versionCompatible",) if recipe.version_compatible else ()),
            *versions.of(recipe.tensorrt).measure,
            f"--warmUp={_WARM_UP_MS}",
            f"--duration={_DURATION_S}",
            f"--iterations={_LEAST_RUNS}",
            f"--percentile={','.join(map(str, _PERCENTILES))}",
            *given,
            *(("--dumpRawBindingsToFile",) if inputs else ()),
        ),
    )


def typing(recipe: Recipe) -> tuple[str, ...]:
    """Return the options that say in what precision an explicit graph is built: none where that is the only way."""
    how = versions.of(recipe.tensorrt).typing
    if how == "always":
        return ()
    if how == "option" or recipe.strongly_typed:
        return ("--stronglyTyped",)
    return tuple(f"--{name}" for name in ("fp16", "int8") if name in recipe.precisions)


def seen(output: str) -> Seen:
    """Return what trtexec's output says of its version and of the GPU."""
    device, capability = _DEVICE.search(output), _CAPABILITY.search(output)
    return Seen(
        tensorrt=versions.of_banner(output),
        device=device.group(1).strip() if device else None,
        compute_capability=capability.group(1) if capability else None,
    )


def timing(output: str, batch: int) -> Timing:
    """Return the times that trtexec measured, transfers to and from the GPU included.

    Raises ``EngineBuildError`` where it says none.
    """
    line, rate = _LATENCY.search(output), _THROUGHPUT.search(output)
    found = {int(name): float(value) for name, value in _PART.findall(line.group(1))} if line else {}
    if rate is None or not set(_PERCENTILES) <= set(found):
        raise EngineBuildError("trtexec measured nothing that can be read; run it as --dry-run shows it and look")
    return Timing(batch=batch, p50_ms=found[50], p90_ms=found[90], p99_ms=found[99], per_second=float(rate.group(1)))


def dumped(output: str) -> tuple[Dumped, ...]:
    """Return the outputs that trtexec wrote."""
    return tuple(
        Dumped(name=name, shape=tuple(int(d) for d in dims.split(".") if d), file=file.strip())
        for name, dims, file in _DUMPED.findall(output)
    )


def errors(output: str) -> tuple[str, ...]:
    """Return what trtexec's output tells of errors, without time and level; one that has several lines as one."""
    found: list[list[str]] = []
    current: list[str] | None = None
    for line in output.splitlines():
        match = _LINE.match(line)
        if match is not None:
            current = [match["text"]] if match["level"] == "E" else None
            found += [current] if current is not None else []
        elif line.startswith("&&&&"):
            current = None
        elif current is not None:
            current.append(line)
    return tuple(" ".join(" ".join(lines).split()) for lines in found)


def _ranges(recipe: Recipe) -> list[str]:
    return [
        *_joined("--minShapes", ((s.name, _by(s.least)) for s in recipe.shapes)),
        *_joined("--optShapes", ((s.name, _by(s.usual)) for s in recipe.shapes)),
        *_joined("--maxShapes", ((s.name, _by(s.most)) for s in recipe.shapes)),
    ]


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _joined(option: str, pairs: Iterable[tuple[str, str]]) -> tuple[str]:
    """Return ``--option=name:value,name:value``. Raises ``UnsupportedModelError`` for names that it would tear."""
    parts = []
    for name, value in pairs:
        if set(name) & set(",'"):
            raise UnsupportedModelError(
                f'input "{name}": trtexec takes no name with a comma or a quote in it; export the model with another'
            )
        parts.append(f"{name}:{value}")
    return (f"{option}={','.join(parts)}",)


def _checked(recipe: Recipe, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments. An option that the version does not have is a fault of ours."""
    names = [argument.partition("=")[0] for argument in arguments]
    unknown = [name for name in names if not versions.facts().options.has(name, recipe.tensorrt)]
    if unknown:
        raise AssertionError(f"TensorRT {recipe.tensorrt} does not know {', '.join(unknown)}: kit/engines/facts.toml")
    return arguments
