"""What takes a while and needs nobody: a server starts, and more is made ready, while the model is still read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from kit.server import embedded, environment
from kit.server.interface import ServerOptions

if TYPE_CHECKING:
    from kit.server.interface import RunningServer


class Standby:
    """A server without models, which can be started while there is nothing to load yet.

    ``repository`` may be empty until then. ``backends`` are those that models will need. Leaving the ``with`` block
    kills the server.
    """

    def __init__(self, repository: Path, announce: Callable[[str], None], backends: tuple[str, ...] = ()) -> None:
        # Our configurations are complete; letting Triton complete them would start every model twice, 1 to 2 s.
        self._options = ServerOptions(
            repository=repository, load_at_start=False, auto_complete=False, backends=backends
        )
        self._announce = announce
        self._side = ThreadPoolExecutor(max_workers=1)
        self._begun: Future[RunningServer | None] | None = None
        self._server: RunningServer | None = None

    def __enter__(self) -> Standby:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._side.shutdown(cancel_futures=True)
        begun = self._begun
        if begun is not None and not begun.cancelled() and begun.exception() is None:
            self._server = self._server or begun.result()
        if self._server is not None:
            self._server.kill()

    def begin(self, then: Callable[[], None] | None = None) -> None:
        """Start the server in the background, if that needs no download and it can run here.

        ``then`` is called there after that.
        """
        if self._begun is None:
            self._begun = self._side.submit(self._start_if_that_is_quick)
            if then is not None:
                self._side.submit(then)

    def take(self) -> RunningServer:
        """Return the server, started now if need be. Raises a ``ServerError``."""
        if self._server is None and self._begun is not None:
            self._server = self._begun.result()
        if self._server is None:
            self._server = embedded.start(self._options, self._announce)
        return self._server

    def _start_if_that_is_quick(self) -> RunningServer | None:
        here = embedded.unavailable_reason() is None and environment.is_made(self._options.backends)
        return embedded.start(self._options, self._announce) if here else None
