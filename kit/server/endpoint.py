"""Where a server answers, and how it is asked: what the servers of all engines have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kit.errors import ModelLoadError, ServerDiedError
from kit.server.control import Control, refusals
from kit.server.interface import LoadedModel, ServerOptions, reachable
from kit.server.ports import Ports


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server on this machine; see ``interface.RunningServer``."""

    options: ServerOptions
    ports: Ports

    @property
    def grpc_url(self) -> str:
        """Return ``host:port`` for ``tritonclient.grpc``."""
        return f"{reachable(self.options.address)}:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        """Return ``host:port`` for ``tritonclient.http``."""
        return f"{reachable(self.options.address)}:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        """Return ``host:port``; Prometheus reads ``/metrics`` there."""
        return f"{reachable(self.options.address)}:{self.ports.metrics}"

    @property
    def control(self) -> Control:
        """Return what asks the server about its models."""
        host = reachable(self.options.address).strip("[]")
        return Control(host=host, port=self.ports.http, load_timeout_s=self.options.load_timeout_s)

    def ready_models(self) -> tuple[LoadedModel, ...]:
        """Return the versions that are ready, by name."""
        return self.control.ready_models()

    def load(self, model: str) -> None:
        """Load a model, or load it again if its files changed. Raises ``ModelLoadError``."""
        self.control.load(model)

    def unload(self, model: str) -> None:
        """Begin to unload a model. Raises ``ModelLoadError``."""
        self.control.unload(model)

    def wait(self, *, interval_s: float, ended: Callable[[], str | None], last_words: Callable[[], str]) -> None:
        """Wait until the server has opened its ports: then every model of the start is loaded or refused.

        ``ended`` tells how its process ended, ``last_words`` what it logged last. Raises ``ServerDiedError``.
        """
        deadline = time.monotonic() + self.options.load_timeout_s
        while not self.control.live():
            end = ended()
            if end is not None:
                raise ServerDiedError(f"{end} while it started: {last_words()}")
            if time.monotonic() > deadline:
                raise ServerDiedError(
                    f"the server was not ready after {self.options.load_timeout_s} s; it logged last: {last_words()}"
                )
            time.sleep(interval_s)

    def check_loaded(self, wanted: Iterable[str], unknown: Callable[[str], str]) -> None:
        """Raise ``ModelLoadError`` unless all ``wanted`` are ready; ``unknown`` finds a reason Triton does not tell."""
        refused = refusals(self.control.index(), wanted, unknown)
        if refused is not None:
            raise ModelLoadError(refused)
