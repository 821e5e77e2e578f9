"""Imports point one way, axes are closed, and heavy libraries come last: read from the code, not from a promise."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

KIT = Path(__file__).parents[1] / "kit"

LAYERS = (
    ("kit.errors", "kit.types"),
    ("kit.alignment", "kit.answered", "kit.axis", "kit.disk", "kit.document", "kit.labels", "kit.latency",
     "kit.machine", "kit.modules", "kit.paths", "kit.progress", "kit.quiet", "kit.signals", "kit.templating"),
    ("kit.environments",),
    ("kit.anatomy", "kit.cache", "kit.dialect", "kit.external", "kit.flops", "kit.graph", "kit.inputs",
     "kit.quality"),
    ("kit.calibration", "kit.evidence"),
    ("kit.heads",),
    ("kit.engines", "kit.exports", "kit.nearness", "kit.precision", "kit.runtimes", "kit.sources", "kit.targets",
     "kit.tasks"),
    ("kit.runners", "kit.server", "kit.stream"),
    ("kit.accuracy", "kit.load"),
    ("kit.batching", "kit.built", "kit.compare", "kit.config", "kit.contract", "kit.lacking", "kit.manifest",
     "kit.normalization", "kit.pictures", "kit.render", "kit.simplify", "kit.spec", "kit.stages", "kit.standby"),
    ("kit.ahead", "kit.appraisal", "kit.artifacts", "kit.bench", "kit.blame", "kit.contents", "kit.drafting",
     "kit.evaluation", "kit.fallback", "kit.inspection", "kit.loading", "kit.lowering", "kit.recognise", "kit.report",
     "kit.repository", "kit.summary", "kit.verify", "kit.workspace"),
    ("kit.building", "kit.exporting", "kit.pipeline", "kit.planning", "kit.tune"),
    ("kit.batch", "kit.jobs", "kit.worker"),
    ("kit.initial", "kit.specfile"),
    ("kit.cli",),
    ("kit.__main__",),
)  # fmt: skip
"""From the ground up: a module imports from its own layer, without going round, and from those below it."""

AXES = (
    "kit.sources", "kit.heads", "kit.tasks", "kit.precision", "kit.runners", "kit.runtimes", "kit.stream.decode",
    "kit.stream.sinks", "kit.stream.sources", "kit.stream.wire", "kit.accuracy.layouts", "kit.accuracy.metrics",
    "kit.engines.builders", "kit.exports", "kit.load.arrivals", "kit.load.protocols",
    "kit.tune.places",
)  # fmt: skip
HEAVY = ("torch", "onnx", "onnxruntime", "onnxsim", "onnxscript", "openvino", "cv2", "PIL", "grpc", "tritonclient",
         "google.protobuf", "numpy", "jinja2", "locust", "gevent", "av", "gi", "yaml", "prometheus_client",
         "pycocotools")  # fmt: skip
"""What takes long to import, or is not there on a bare install."""


NUMERIC = (
    "kit.compare", "kit.nearness", "kit.heads._arrays", "kit.tasks._suppression", "kit.accuracy.bootstrap",
    "kit.accuracy.metrics._precision", "kit.calibration.coverage", "kit.calibration.features",
    "kit.calibration.likeness", "kit.precision._answers", "kit.precision._histogram",
)  # fmt: skip


PATCHED = ("kit.load.locustfile", "kit.load.nursery", "kit.load.users")
"""What only locust imports, in a process of its own: gevent has changed Python there."""


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(KIT.parent).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_name(file): file
    for file in sorted(KIT.rglob("*.py"))
    if "backends" not in file.relative_to(KIT).parts  # they run inside the server and import nothing of the kit
}


@functools.cache
def tree(file: Path) -> ast.AST:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(node: ast.AST, module: str) -> Iterator[str]:
    """Yield the absolute names that an import statement of ``module`` brings in."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
            base = importlib.util.resolve_name("." * node.level + base, package)
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILES else base


def at_module_level(parent: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported."""
    for child in ast.iter_child_nodes(parent):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from at_module_level(child)


@functools.cache
def edges(*, everywhere: bool) -> dict[str, set[str]]:
    """Return for each module of the kit those that it imports, in functions too or only while it is imported."""
    found: dict[str, set[str]] = {}
    for name, file in FILES.items():
        nodes = ast.walk(tree(file)) if everywhere else at_module_level(tree(file))
        found[name] = {target for node in nodes for target in imported(node, name) if target in FILES} - {name, "kit"}
    return found


def layer(module: str) -> int:
    found = [n for n, names in enumerate(LAYERS) if any(module == m or module.startswith(f"{m}.") for m in names)]
    assert len(found) == 1, f"{module} needs a place in LAYERS"
    return found[0]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of a circle, or nothing."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph[module]):
            if found := visit(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next(filter(None, (visit(module, []) for module in graph)), [])


def test_every_module_has_its_place_in_the_layers() -> None:
    # A shell that finds nothing to import would pass every other test here.
    assert len(FILES) > 40
    assert sum(map(len, edges(everywhere=True).values())) > 100
    for module in FILES:
        if module != "kit":
            layer(module)


def test_contributing_says_what_each_module_is_for() -> None:
    text = (KIT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| in `kit/` | for |")[2]
    named = [name for row in text.split("\n\n")[0].splitlines() for name in re.findall("`([a-z_]+)/?`", row)]
    there = {module.split(".")[1] for module in FILES if "." in module} - {"__main__"}
    assert sorted(named) == sorted(there)


@pytest.mark.parametrize("module", sorted(set(FILES) - {"kit"}))
def test_imports_point_down(module: str) -> None:
    upwards = {target for target in edges(everywhere=True)[module] if layer(target) > layer(module)}
    assert not upwards


def with_packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the same with what Python imports on the way: a package's ``__init__`` before a module of it.

    Not for those inside that package: it is being imported already, by whoever imports them.
    """
    found = {}
    for module, targets in graph.items():
        parts = ((target.split(".")[:length], target) for target in targets for length in range(target.count(".") + 1))
        above = {".".join(names) for names, _ in parts} & graph.keys() - {"kit"}
        found[module] = targets | {package for package in above if not module.startswith(f"{package}.")} - {module}
    return found


def test_no_module_imports_itself_by_a_detour() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    by_init = {"p": {"p.a"}, "p.a": {"q"}, "p.b": set(), "q": {"p.b"}}
    assert cycle(by_init) == []
    assert cycle(with_packages(by_init)) == ["p", "p.a", "q", "p"]
    assert cycle(with_packages(edges(everywhere=True))) == []


def members(package: str) -> set[str]:
    prefix = f"{package}."
    names = {m for m in FILES if m.startswith(prefix)}
    return {m for m in names if m != f"{package}.interface" and not m.removeprefix(prefix).startswith("_")}


@pytest.mark.parametrize("package", AXES)
def test_nobody_imports_a_member_of_an_axis_by_name(package: str) -> None:
    own = members(package)
    assert own
    importers = {module for module, targets in edges(everywhere=True).items() if targets & own}
    assert importers == set()


@pytest.mark.parametrize("package", AXES)
def test_nobody_spells_out_a_members_module(package: str) -> None:
    """``importlib.import_module("kit.tasks.detect")`` would be the same, said otherwise."""
    texts = {
        node.value
        for file in FILES.values()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not members(package) & texts


@pytest.mark.parametrize("package", AXES)
def test_what_is_private_to_an_axis_stays_in_it(package: str) -> None:
    private = {m for m in FILES if m.startswith(f"{package}._")}
    outside = {m: t for m, t in edges(everywhere=True).items() if not f"{m}.".startswith(f"{package}.")}
    assert not any(targets & private for targets in outside.values())


def test_backends_import_nothing_of_the_kit() -> None:
    for file in (KIT / "server" / "backends").rglob("*.py"):
        nodes = list(at_module_level(tree(file)))
        names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
        assert not any(name.split(".")[0] == "kit" for name in names), file


def loaded_by(*code: str) -> set[str]:
    """Return the modules that are loaded after ``code``, in a fresh interpreter."""
    program = "\n".join(["import sys", *code, "sys.stdout.flush()", "print('', *sys.modules, sep='\\n')"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    return set(done.stdout.split())


def test_heavy_libraries_are_named_as_they_are_imported() -> None:
    """Or the tests below would look for names that nobody uses."""
    used = {name for module, file in FILES.items() for node in ast.walk(tree(file)) for name in imported(node, module)}
    unused = {h for h in HEAVY if not any(u == h or u.startswith(f"{h}.") for u in used)}
    assert unused <= {"grpc", "onnxscript", "openvino", "cv2", "locust"}  # these come by others, or are not used yet


def test_help_imports_next_to_nothing() -> None:
    loaded = loaded_by("import kit.cli", "assert kit.cli.run(['--help']) == 0")
    assert "kit.cli" in loaded
    assert loaded & {*HEAVY, "rich", "msgspec", "yaml", "platformdirs", "kit.pipeline", "kit.targets"} == set()


@pytest.mark.parametrize("module", ["kit.pipeline", "kit.spec", "kit.verify", "kit.server.embedded"])
def test_importing_the_whole_path_imports_no_heavy_library(module: str) -> None:
    assert loaded_by(f"import {module}") & {*HEAVY, "rich"} == set()


def test_importing_any_module_is_light() -> None:
    """All but those whose whole work is numpy's, which others import in their functions."""
    light = sorted(set(FILES) - {"kit.__main__", *NUMERIC, *PATCHED})
    assert loaded_by("import importlib", f"[importlib.import_module(m) for m in {light!r}]") & set(HEAVY) == set()
    at_the_top = {importer for importer, targets in edges(everywhere=False).items() if targets & set(NUMERIC)}
    assert at_the_top <= set(NUMERIC)
    everywhere = {importer for importer, targets in edges(everywhere=True).items() if targets & set(PATCHED)}
    assert everywhere <= set(PATCHED)


def test_a_refused_command_line_imports_no_heavy_library() -> None:
    """A mistyped path is answered at once, whatever is installed."""
    loaded = loaded_by("import kit.cli", "assert kit.cli.run(['generate', 'nowhere.onnx']) == 10")
    assert loaded & set(HEAVY) == set()
