"""Groups as people know them: by their PyTorch modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kit.precision.interface import Group


def in_modules(groups: Sequence[Group], names: Iterable[str]) -> tuple[str, ...]:
    """Return groups as the PyTorch modules that they are of; the module around them where all of its groups are named.

    ``head`` instead of ``head.box.0``, ``head.box.1`` and ``head.classes``.
    """
    chosen = set(names)
    paths = {group.name: group.module or group.name for group in groups}
    found: dict[str, None] = {}
    for group in groups:
        if group.name in chosen:
            found.setdefault(next(_around(group, paths, chosen), paths[group.name]))
    return tuple(found)


def _around(group: Group, paths: Mapping[str, str], chosen: set[str]) -> Iterator[str]:
    """Yield the modules around a group, the largest first, of which every group is chosen, and more than one."""
    parts = paths[group.name].split(".")
    for length in range(1, len(parts)):
        outer = ".".join(parts[:length])
        inside = [name for name, path in paths.items() if path == outer or path.startswith(f"{outer}.")]
        if len(inside) > 1 and chosen.issuperset(inside):
            yield outer
