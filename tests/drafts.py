"""A model's folder without a model: what ``kit.repository`` publishes, made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from kit import manifest, repository, workspace
from kit.manifest import Manifest, Origin, TargetRecord
from kit.repository import Content
from kit.types import Artifact, DataType, Entry, Interpretation, Signature, Tensor, Verification

SIGNATURE = Signature(
    inputs=(Tensor(name="x", dtype=DataType.FP32, shape=(-1, 4)),),
    outputs=(Tensor(name="y", dtype=DataType.FP32, shape=(-1, 4)),),
)


def artifact(folder: Path, weights: str, filename: str = "model.onnx") -> Artifact:
    path = folder / f"{hashlib.sha256(weights.encode()).hexdigest()[:8]}.{filename}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(weights)
    digest = hashlib.sha256(weights.encode()).hexdigest()
    return Artifact(backend="onnxruntime", filename=filename, path=path, digest=digest, signature=SIGNATURE)


def draft(name: str, version: int) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        kit="0",
        source=Origin(kind="onnx", name="x.onnx", sha256="0" * 64),
        tools={},
        interpretation=Interpretation(
            task="raw",
            head="raw",
            contract="native",
            class_count=None,
            normalization=None,
            color="rgb",
            thresholds=None,
            reason="",
        ),
        signature=SIGNATURE,
        labels=0,
        parity=(),
        targets={
            "x86-cpu": TargetRecord(
                config="configs/x86-cpu.pbtxt",
                backend="onnxruntime",
                precision="fp32",
                facts={},
                verification=Verification(target="x86-cpu", level="none", server=None),
            )
        },
    )


def publish(output: Path, weights: str, *, text: str = "config", name: str = "model", keep: int = 1) -> Entry:
    """Do what ``pipeline.generate`` does with the disk."""
    published = repository.survey(output, name, alongside=False, discard_edits=False)
    made = artifact(output.parent / "artifacts", weights)
    content = Content(
        texts={"config.pbtxt": text, "configs/x86-cpu.pbtxt": text, "labels.txt": "a\nb\n"},
        artifacts=(made,),
        keep=keep,
    )
    with workspace.opened(output) as work:
        finished = draft(name, repository.next_version(published, content.artifacts))
        entry = repository.stage(work, finished, published, content)
        repository.write_manifest(entry.path, repository.complete(finished, published, content))
        return repository.publish(entry, published)


def tree(folder: Path) -> Mapping[str, bytes]:
    """Return every file's content, and every folder, below ``folder``; empty where it is not there."""
    return {
        p.relative_to(folder).as_posix(): b"<folder>" if p.is_dir() else p.read_bytes()
        for p in sorted(folder.rglob("*"))
    }


def version_of(folder: Path) -> int:
    found = manifest.read(folder)
    return found.version if found else 0
