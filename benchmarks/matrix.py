"""Real architectures through ``kit generate`` and the embedded Triton: how many are served, how long, how much memory.

    python benchmarks/matrix.py [--only NAME] [--again] [--table docs/matrix.md]

Each row is a process of its own with an empty stage cache and ``--verify live``. Networks come from the packages that
are installed here (onnx, timm, torchvision, ultralytics, rapidocr) and from ``_networks.py``; what is not installed is
listed as skipped. A row that was measured with the very same code of the kit is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import _measured
from _architectures import ROOT, Architecture, every
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

sys.path.insert(0, str(ROOT))

from kit import cache, paths  # the checkout's, wherever this is run from

HERE = Path(__file__).resolve().parent
FOLDER = ROOT / "out" / "matrix"
_LIMIT_S = 900


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of an architecture. ``detections`` is how many the served graph finds in a random frame."""

    name: str
    origin: str
    wanted: str
    code: str
    outcome: str
    reason: str = ""
    task: str = ""
    head: str = ""
    difference: float = 0.0
    detections: int | None = None
    max_batch: int | None = None
    seconds: float = 0.0
    peak_mib: float = 0.0
    size_mb: float = 0.0


def main() -> int:
    """Measure what was not measured yet, print each row, write the table; exit code 1 where a row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="rows whose name or origin contains this")
    parser.add_argument("--again", action="store_true", help="measure rows anew")
    parser.add_argument("--table", type=Path, help="write the markdown table here")
    arguments = parser.parse_args()
    wanted = [a for a in every() if not arguments.only or arguments.only.lower() in f"{a.name} {a.origin}".lower()]
    if not wanted:
        parser.error(f'no row has "{arguments.only}" in its name or origin')
    rows = measure(wanted, again=arguments.again)
    if arguments.table:
        arguments.table.write_text(table(rows), encoding="utf-8")
    Console().print(f"\n{summary(rows)}")
    return 0 if all(row.outcome != "failed" for row in rows) else 1


def measure(wanted: list[Architecture], *, again: bool) -> list[Row]:
    """Return a row for each architecture, from the last run where the code is the same."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = FOLDER / "rows.jsonl"
    known = {} if again else {(row.name, row.origin): row for row in _read(lines) if row.code == cache.code_digest()}
    rows = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        whole = progress.add_task("", total=len(wanted))
        for architecture in wanted:
            progress.update(whole, description=architecture.name)
            key = (architecture.name, architecture.origin)
            row = known.get(key) or one(architecture)
            if key not in known and row.outcome != "skipped":
                with lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
            rows.append(row)
            progress.console.print(_line(row), soft_wrap=True, highlight=False, markup=False)
            progress.advance(whole)
    return rows


def _read(lines: Path) -> list[Row]:
    if not lines.exists():
        return []
    return [Row(**json.loads(line)) for line in lines.read_text(encoding="utf-8").splitlines()]


def one(architecture: Architecture) -> Row:
    """Run ``kit generate`` on an architecture and tell what came of it."""
    known: Any = {
        "name": architecture.name, "origin": architecture.origin, "wanted": architecture.task,
        "code": cache.code_digest(),
    }  # fmt: skip
    if reason := architecture.missing():
        return Row(**known, outcome="skipped", reason=reason)
    sources = FOLDER / "sources"
    sources.mkdir(exist_ok=True)
    source = architecture.prepare(sources)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = (sys.executable, "-m", "kit", "generate", source, "--name", "model", "--json", "--verify", "live",
                   "--output", str(folder / "repository"), *architecture.options)  # fmt: skip
        done = _measured.run(command, HERE, _environment(folder), _LIMIT_S)
        known |= {"seconds": round(done.seconds, 2), "peak_mib": round(done.peak_mib)}
        if done.code != 0:
            return Row(**known, outcome="failed", reason=_reason(done))
        return Row(**known, **_facts(json.loads(done.output), folder / "repository" / "model"))


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment with a stage cache of its own, beside the server that is installed already."""
    (folder / "cache").mkdir()
    (folder / "cache" / "server").symlink_to(paths.cache_root() / "server")
    python_path = os.pathsep.join((str(HERE / "_beside_cpu_torch"), str(ROOT)))
    return {**os.environ, "KIT_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": python_path}


def _reason(done: _measured.Run) -> str:
    if done.code is None:
        return f"took longer than {_LIMIT_S} s"
    lines = done.errors.strip().splitlines() or ["nothing was said"]
    if done.code < 0 or "Traceback (most recent call last):" in done.errors:
        return f"A FAULT OF THE KIT'S (exit code {done.code}): {lines[-1]}"
    return f"{lines[-1].removeprefix('kit: ')} (exit code {done.code})"


def _facts(result: dict[str, Any], model: Path) -> dict[str, Any]:
    """Return what the manifest and the published files tell."""
    manifest = result["manifest"]
    meaning = manifest["interpretation"]
    levels = {target["verification"]["level"] for target in manifest["targets"].values()}
    differences = [d["relative"] for parity in result["parity"] for d in parity["differences"]]
    (path,) = model.glob("[0-9]*/model.onnx")
    config = (model / "config.pbtxt").read_text(encoding="utf-8")
    batch = next(line for line in config.splitlines() if line.startswith("max_batch_size"))
    return {
        "outcome": "served" if levels == {"live"} else "failed",
        "reason": "" if levels == {"live"} else f"verified only as {', '.join(sorted(levels))}",
        "task": meaning["task"],
        "head": meaning["head"],
        "difference": max(differences, default=0.0),
        "detections": _detections(path),
        "max_batch": int(batch.split(":")[1]),
        "size_mb": round(path.stat().st_size / 1e6, 2),
    }


def _detections(path: Path) -> int | None:
    """Return how many objects the served graph finds in a random frame, where it has an output for their number."""
    from kit import compare, graph, inputs

    signature = graph.session_signature(graph.session(path))
    if "num" not in {tensor.name for tensor in signature.outputs}:
        return None
    feeds = {tensor.name: inputs.random(tensor, 1) for tensor in signature.inputs}
    return int(compare.runner(path)(feeds)["num"].sum())


def _line(row: Row) -> str:
    found = f"{row.task} {row.head}" if row.outcome == "served" else row.reason
    return f"{row.outcome:8s} {row.name:36s} {row.seconds:6.1f} s {row.peak_mib:6.0f} MiB  {found}"


def summary(rows: list[Row]) -> str:
    """Return one sentence of counts."""
    served = [row for row in rows if row.outcome == "served"]
    skipped = sum(row.outcome == "skipped" for row in rows)
    right = sum(row.task == row.wanted for row in served)
    return (
        f"{len(served)} of {len(rows) - skipped} networks are served with equal answers, {right} of them recognised as "
        f"what they are; {len(rows) - skipped - len(served)} failed, {skipped} skipped."
    )


_HEAD = """# Which networks work

`python benchmarks/matrix.py --table docs/matrix.md` writes this page: each network goes through `kit generate --verify
live` in a process of its own with an empty cache, on two cores that other work shared. Weights are random (but for
`examples/digits` and the OCR models), structures are real.

"""

_EXPLAINED = """
**served**: ONNX Runtime's answers stayed equal through every stage, and the embedded Triton gave them again. **task**:
as the kit recognised it by itself; "raw" means that the network's own tensors are served. **difference**: the
largest of any stage and output, of the output's range. **objects**: how many detections a random frame has: those are
compared. **batch**: the largest; 0 where the batch could not be made dynamic. **s**: all of it, the export from
PyTorch included. **MiB**: the highest sum of resident memory of `kit generate` and all that it starts, Triton too.
"""


def table(rows: list[Row]) -> str:
    """Return the page."""
    lines = [
        "| network | from | served | task (head) | difference | objects | batch | s | MiB | MB |",
        "|---" * 10 + "|",
    ]
    for row in rows:
        if row.outcome == "served":
            mark = "" if row.task == row.wanted else f", is {row.wanted}"
            objects = "" if row.detections is None else str(row.detections)
            lines.append(
                f"| {row.name} | {row.origin} | yes | {row.task} ({row.head}){mark} | {row.difference:.0e} | {objects} "
                f"| {row.max_batch} | {row.seconds:.1f} | {row.peak_mib:.0f} | {row.size_mb:.1f} |"
            )
        else:
            reason = row.reason.replace("|", "\\|")
            word = "**no**" if row.outcome == "failed" else "skipped"
            seconds, memory = (f"{row.seconds:.1f}", f"{row.peak_mib:.0f}") if row.seconds else ("", "")
            lines.append(f"| {row.name} | {row.origin} | {word} | {reason} | | | | {seconds} | {memory} | |")
    return _HEAD + summary(rows) + "\n\n" + "\n".join(lines) + "\n" + _EXPLAINED


if __name__ == "__main__":
    sys.exit(main())
