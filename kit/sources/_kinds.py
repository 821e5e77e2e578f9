"""What a source is, by its form and by the first bytes of the file: nothing is unpickled, nothing heavy imported.

``.pt`` alone says little: TorchScript archives, programs of ``torch.export``, state dicts, whole pickled modules and
the checkpoints of many libraries all end so. Formats: ``torch/csrc/jit/serialization``, ``torch/export/pt2_archive``,
``torch/serialization.py``; safetensors: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_TIMM = "timm:"
_TORCH_SUFFIXES = (".pt", ".pth", ".pt2", ".ts", ".torchscript", ".ckpt", ".safetensors")
_OF_ULTRALYTICS = re.compile(r"(yolo|rtdetr|yoloe|fastsam|sam\d?_)[\w.-]*\.(pt|ya?ml)", re.IGNORECASE)
_MOST_PICKLES = 8
_LARGEST_PICKLE = 1 << 26
_MOST_OPCODES = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Pickled:
    """What a pickle would import, as ``module.name``, and the strings in it, none of it run."""

    imports: tuple[str, ...]
    words: frozenset[str]

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that it needs, besides PyTorch's and Python's own."""
        own = {"torch", "collections", "numpy", "_codecs", "builtins", "__builtin__", "copyreg", "argparse", "pathlib"}
        return tuple(sorted({name.split(".")[0] for name in self.imports} - own))

    @property
    def is_module(self) -> bool:
        """Whether a whole network was pickled, not its weights alone."""
        return any(name.startswith("torch.nn.modules.") for name in self.imports)


def kind(source: str) -> str:
    """Return the name of the member of ``kit.sources`` that reads a source; empty where none does."""
    try:
        seen = os.stat(source)  # noqa: PTH116 (what is no path is refused here, and not by Path)
    except (OSError, ValueError):
        return _kind_by_name(source)
    return _kind_of_file(source, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))


def _kind_by_name(source: str) -> str:
    if source.startswith(_TIMM):
        return "timm"
    if source.endswith(".onnx"):
        return "onnx"
    if _OF_ULTRALYTICS.fullmatch(Path(source).name):
        return "ultralytics"
    if source.endswith(_TORCH_SUFFIXES):
        return "checkpoint"
    if _CALLABLE.fullmatch(source):
        return "torch"
    return "onnx" if "/" in source and ":" not in source else ""


def file_name(source: str) -> str:
    """Return a file's name without its folder, as Unicode."""
    return os.fsencode(Path(source).name).decode(errors="replace")


def neighbours(path: Path) -> str:
    """Name the models beside a path that does not exist, as the end of a message."""
    folder = path.parent
    suffixes = {".onnx", *_TORCH_SUFFIXES} if path.suffix != ".onnx" else {".onnx"}
    near = sorted(p.name for p in folder.iterdir() if p.suffix in suffixes)[:5] if folder.is_dir() else []
    return f"; {folder}/ holds {', '.join(near)}" if near else "; give the path of an .onnx file"


def traced_shapes(path: Path) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the tensors that a TorchScript module was traced with; empty where it was scripted."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/traced_inputs.pkl")]
            return _Shapes(io.BytesIO(archive.read(names[0]))).found() if names else ()
    except (OSError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError, IndexError, TypeError, EOFError):
        return ()


class _Shapes(pickle.Unpickler):
    """Reads the sizes of the tensors in a pickle and makes nothing else of it, whatever it asks for."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._found: list[tuple[int, ...]] = []

    def found(self) -> tuple[tuple[int, ...], ...]:
        self.load()
        return tuple(self._found)

    def find_class(self, module: str, name: str) -> Any:  # noqa: ARG002
        return self._note

    def persistent_load(self, pid: Any) -> None:  # noqa: ARG002
        return None

    def _note(self, *arguments: Any) -> None:
        """Stand in for ``torch._utils._rebuild_tensor_v2(storage, offset, size, ...)`` and anything else."""
        if len(arguments) >= 4 and isinstance(arguments[2], tuple):
            self._found.append(tuple(int(size) for size in arguments[2]))


def read_pickle(path: Path) -> Pickled | None:
    """Return what the pickle in a ``torch.save`` file (or a bare one) names; None where there is none."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
                if not names:
                    return None
                with archive.open(names[0]) as file:  # which is slow where it is read byte by byte
                    return _scan(io.BytesIO(file.read(_LARGEST_PICKLE)))
        with path.open("rb") as file:
            return _scan(file) if file.peek(1)[:1] == b"\x80" else None
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):  # damaged or encrypted
        return None


def describe_other(path: Path) -> str | None:
    """Return what a file of another library is, as the start of a sentence's end; None where it is not known."""
    head = _head(path)
    if head[:4] == b"\x89HDF":
        return "is a Keras (HDF5) file; convert it: python -m tf2onnx.convert --keras FILE --output x.onnx"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite file; convert it: python -m tf2onnx.convert --tflite FILE --output x.onnx"
    if path.suffix == ".keras":
        return "is a Keras file; export it: model.export('x.onnx', format='onnx')"
    if path.suffix in {".engine", ".plan", ".trt"}:
        return "is a TensorRT engine, made for one GPU; give the model that it was made from"
    if path.suffix in {".pdmodel", ".pdparams", ".pdiparams"}:
        return "is PaddlePaddle's; convert it with paddle2onnx"
    if path.suffix in {".mlmodel", ".mlpackage"}:
        return "is CoreML's; give the model that it was made from"
    if path.suffix in {".tflite", ".pb", ".caffemodel", ".h5"}:
        return "is of another library; convert it to ONNX (tf2onnx does that for TensorFlow)"
    return None


@functools.lru_cache(maxsize=64)
def _kind_of_file(source: str, version: tuple[int, ...]) -> str:  # noqa: ARG001 (it is part of the key)
    """Look into a file once: every source is asked whether it is its own, and a pickle may be long."""
    path = Path(source)
    if path.suffix == ".onnx" or not path.is_file():  # a pipe or a device would be read without an end
        return "onnx"
    if path.suffix in {".yaml", ".yml"}:
        return "ultralytics" if _is_a_network_yaml(path) else "onnx"
    try:
        names = _entries(path)
        if names is not None and (found := _kind_of_archive(names)):
            return found
        if (pickled := read_pickle(path)) is not None:
            return "ultralytics" if _is_of_ultralytics(pickled) else "checkpoint"
        weights = _is_safetensors(path) or path.suffix in _TORCH_SUFFIXES or describe_other(path)
    except OSError:
        return "onnx"
    return "checkpoint" if weights else "onnx"


def _kind_of_archive(names: list[str]) -> str:
    below = {name.partition("/")[2] for name in names} | set(names)
    if "archive_format" in below or "serialized_exported_program.json" in below or "models/model.json" in below:
        return "program"
    if "constants.pkl" in below and any(name.startswith("code/") for name in below):
        return "torchscript"
    return ""


def _is_of_ultralytics(pickled: Pickled) -> bool:
    return "ultralytics" in pickled.packages


def _is_a_network_yaml(path: Path) -> bool:
    """Tell whether a YAML file has the keys of Ultralytics' network files, read as text."""
    if not path.is_file():
        return False
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    keys = {line.partition(":")[0] for line in lines if line[:1].isalpha()}
    return {"backbone", "head"} <= keys


def _entries(path: Path) -> list[str] | None:
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return []


def _is_safetensors(path: Path) -> bool:
    head = _head(path)
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= path.stat().st_size


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(16)


def _scan(file: IO[bytes]) -> Pickled:
    """Collect what the opcodes name. A pickle that is cut short has told what it told."""
    imports: dict[str, None] = {}
    words: set[str] = set()
    for _ in range(_MOST_PICKLES):  # before torch 1.6 a file was several, one after the other
        for module, name in _names(file, words):
            imports[f"{module}.{name}"] = None
        if file.read(1) != b"\x80":
            break
        file.seek(-1, os.SEEK_CUR)
    return Pickled(imports=tuple(imports), words=frozenset(words))


def _names(file: IO[bytes], words: set[str]) -> Iterator[tuple[str, str]]:
    """Yield what GLOBAL and STACK_GLOBAL would import; the latter takes the last two strings, which may be memoised."""
    import pickletools

    memo: dict[int, str] = {}
    last: list[str] = ["", ""]
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number > _MOST_OPCODES:
                return
            if opcode.name == "GLOBAL" and isinstance(argument, str):
                module, _, name = argument.partition(" ")
                yield module, name
            elif opcode.name == "STACK_GLOBAL":
                yield last[0], last[1]
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = last[1]
            elif opcode.name in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
                memo[argument] = last[1]
            elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
                last = [last[1], memo.get(argument, "")]
            elif isinstance(argument, str):
                words.add(argument)
                last = [last[1], argument]
    except ValueError:  # what pickletools raises where there is no opcode
        return
