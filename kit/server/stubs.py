"""Finds dead instances: a Python stub that died leaves its model ready and one instance in ruins, for ever.

Each request that such an instance gets fails after 1 s, and readiness stays true. The sign is a zombie
among the server's children, whose command line is gone: so it is remembered while the stub lives.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class StubWatch:
    """Watches the stubs of one server; call ``dead`` regularly, at least once a second."""

    server_pid: int
    repository: Path
    _models: dict[int, str] = field(default_factory=dict)
    _suspects: set[int] = field(default_factory=set)
    _told: set[int] = field(default_factory=set)

    def dead(self) -> frozenset[str]:
        """Return the models of stubs that died; each stub is told of once, and the caller loads its model again.

        A stub that is unloaded is a zombie briefly: only those that were zombies at the last call, too, count.
        """
        states = _children(self.server_pid)
        zombies = {pid for pid, state in states.items() if state == "Z"}
        self._learn(states.keys(), zombies)
        certain = (zombies & self._suspects & self._models.keys()) - self._told
        self._suspects.clear()
        self._suspects.update(zombies)
        dead = frozenset(self._models[pid] for pid in certain)
        # The model's other stubs end when it is loaded again, and may take their time about it.
        self._told.update(pid for pid, model in self._models.items() if model in dead)
        return dead

    def _learn(self, present: Set[int], zombies: Set[int]) -> None:
        for pid in present - zombies - self._models.keys():
            model = _model_of(pid, self.repository)
            if model is not None:
                self._models[pid] = model
        for pid in self._models.keys() - present:
            del self._models[pid]
            self._told.discard(pid)


def _children(parent: int) -> dict[int, str]:
    """Return the state (man 5 proc: R, S, Z ...) of each child process, by its number."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # "PID (NAME) STATE PARENT ...": the name may hold blanks and parentheses.
            state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended while we looked
        if int(ppid) == parent:
            found[int(entry.name)] = state
    return found


def _model_of(pid: int, repository: Path) -> str | None:
    """Return the model that a stub serves: its first argument is ``REPOSITORY/MODEL/VERSION/FILE``."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if len(arguments) < 2 or not arguments[0].endswith(b"triton_python_backend_stub"):
        return None
    path = Path(arguments[1].decode(errors="replace"))
    return path.relative_to(repository).parts[0] if path.is_relative_to(repository) else None
