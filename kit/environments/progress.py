"""Progress of an installation, seen in the growth of its folder."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_INTERVAL_S = 0.5


@contextmanager
def folder_progress(
    description: str, folder: Path, expected_bytes: int, announce: Callable[[str], None]
) -> Iterator[None]:
    """Show a bar on standard error while ``folder`` grows to ``expected_bytes``; one line where that is no terminal."""
    if not sys.stderr.isatty():
        announce(f"{description} (into {folder.parent})")
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=expected_bytes)
        ended = threading.Event()

        def watch() -> None:
            most = 0
            while not ended.wait(_INTERVAL_S):
                most = max(most, _size(folder))  # pip deletes its downloads at the end
                progress.update(task, completed=min(most, expected_bytes))

        watcher = threading.Thread(target=watch, name="install-progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # pip moved it while we looked
            total += file.lstat().st_size
    return total
