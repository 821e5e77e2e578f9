"""What a user calls a model: anything that a runner reads, or a model's folder in a repository."""

from __future__ import annotations

from pathlib import Path

from kit import config, runners
from kit.errors import ComparisonError, SourceNotFoundError, suggestion

_SUFFIXES = (".onnx", ".xml", ".plan", ".tflite", ".mlpackage", ".pt2", ".pt", ".ts", ".torchscript")


def resolve(text: str) -> str:
    """Return the reference that a runner reads.

    A folder of a model repository counts as the file that Triton loads from its newest version. Raises
    ``ComparisonError`` and ``SourceNotFoundError``.
    """
    path = Path(text)
    if path.is_dir() and path.suffix.lower() not in _SUFFIXES:
        return str(_of_folder(path))
    if not any(runners.get(name).reads(text) for name in runners.names()):
        what = "is not there" if not path.exists() else "is no model that can be run here"
        raise ComparisonError(
            f"{text} {what}; give an .onnx, .xml, .plan or .pt2 file, a model's folder in a repository, "
            "package.module:callable, or grpc://HOST:PORT/MODEL"
        )
    return text


def _of_folder(folder: Path) -> Path:
    """Return the file that Triton loads from a model's folder, or from the only one in a repository."""
    models = sorted(p.parent for p in folder.glob("*/config.pbtxt"))
    if not (folder / "config.pbtxt").is_file():
        if len(models) == 1:
            return _of_folder(models[0])
        names = [model.name for model in models]
        choice = f"; choose one: {', '.join(str(m) for m in models)}" if names else ""
        raise ComparisonError(f"{folder} holds {len(names) or 'no'} models{choice}")
    versions = [p for p in folder.iterdir() if p.is_dir() and p.name.isdigit() and p.name != "0"]
    if not versions:
        raise SourceNotFoundError(f"{folder} has no version; a model's files lie in a folder with a number: 1/")
    newest = max(versions, key=lambda version: int(version.name))
    named = config.parse((folder / "config.pbtxt").read_text(encoding="utf-8")).default_model_filename
    files = sorted(p.name for p in newest.iterdir() if p.suffix.lower() in _SUFFIXES)
    if named and not (newest / named).exists():
        raise SourceNotFoundError(f"{newest} has no {named}; {suggestion(named, files)}")
    if not named and len(files) != 1:
        raise ComparisonError(f"{newest} holds {', '.join(files) or 'no model'}; give the path of one file")
    return newest / (named or files[0])
