"""Hardware targets: one TOML file of facts each, found by listing folders.

``docs/targets.md`` says how to write one. A user's own folders are looked through before this one, in the
order given, so that a file there adds a target or replaces the one of the same name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.errors import TargetFileError, UnknownTargetError, suggestion
from kit.targets.schema import problems_of, target_of
from kit.targets.values import Target

BUILT_IN = Path(__file__).parent
"""The folder of the targets that come with the kit."""

FOLDERS_VARIABLE = "KIT_TARGETS"
"""The environment variable with a user's own folders, separated as in ``PATH``."""


def names(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Return every target's name in alphabetical order; a folder that is not there is a ``TargetFileError``."""
    return tuple(sorted(_files(folders)))


def load(name: str, folders: Sequence[Path] = ()) -> Target:
    """Return the target of that name.

    Raises:
        UnknownTargetError: No file has this name; the message offers the nearest one.
        TargetFileError: The file, or a folder, is wrong; the message lists every problem.
    """
    files = _files(folders)
    if name not in files:
        raise UnknownTargetError(f'no target "{name}"; {suggestion(name, files)}, or write your own: docs/targets.md')
    return load_file(files[name])


def load_file(path: Path) -> Target:
    """Read one target file; the target's name is the file's, without ``.toml``.

    Raises:
        TargetFileError: It cannot be read, is not TOML (with the line), or has wrong keys or values (all at once).
    """
    table = _toml(path)
    problems = problems_of(path.stem, table)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise TargetFileError(
            "\n".join([f"{path}: {count} (docs/targets.md has the keys)", *(f"  {p}" for p in problems)])
        )
    return target_of(path.stem, table)


def source_file(name: str, folders: Sequence[Path] = ()) -> Path:
    """Return the file that ``load`` would read, to show where a target is from."""
    return _files(folders)[name]


def _files(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the file of each name; where two folders hold the same name, the earlier folder's."""
    files: dict[str, Path] = {}
    for folder in (*folders, *_folders_from_environment(), BUILT_IN):
        if not folder.is_dir():
            raise TargetFileError(
                f"no folder of targets at {folder}; make it, or correct --targets or {FOLDERS_VARIABLE}"
            )
        for file in folder.glob("*.toml"):
            files.setdefault(file.stem, file)
    return files


def _folders_from_environment() -> tuple[Path, ...]:
    return tuple(Path(part) for part in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if part)


def _toml(path: Path) -> dict[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise TargetFileError(f"{path}: not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise TargetFileError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise TargetFileError(f"{path}: cannot be read: {error.strerror}") from error


def used_facts(target: Target, backend: str) -> Mapping[str, object]:
    """Return the facts of a target that a configuration depends on."""
    import msgspec

    return {
        "architecture": target.device.architecture,
        "compute_capability": target.device.compute_capability,
        "stack": msgspec.to_builtins(target.stack),
        "backend": msgspec.to_builtins(target.backend(backend)),
        "defaults": msgspec.to_builtins(target.defaults),
    }
