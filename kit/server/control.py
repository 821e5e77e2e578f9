"""Asks a running Triton about itself and its models, over HTTP and with the standard library only.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from kit.errors import ModelLoadError, ServerDiedError
from kit.server import messages
from kit.server.interface import LoadedModel

_ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """One line of the repository index: ``state`` is READY, LOADING, UNLOADING, UNAVAILABLE or empty."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Control:
    """Speaks to the server at ``host``:``port``. Raises ``ServerDiedError`` where none answers."""

    host: str
    port: int
    load_timeout_s: float

    def live(self) -> bool:
        """Whether the server answers: it opens its ports when all models of the start are loaded or refused."""
        try:
            status, _ = self._ask("GET", "/v2/health/live", timeout_s=_ANSWER_TIMEOUT_S)
        except ServerDiedError:
            return False
        return status == 200

    def index(self) -> tuple[ModelState, ...]:
        """Return the state of every version that was asked for, and of models that have none."""
        _, body = self._ask("POST", "/v2/repository/index", timeout_s=_ANSWER_TIMEOUT_S)
        return tuple(
            ModelState(
                name=entry["name"],
                version=entry.get("version", ""),
                state=entry.get("state", ""),
                reason=entry.get("reason", ""),
            )
            for entry in json.loads(body)
        )

    def ready_models(self) -> tuple[LoadedModel, ...]:
        """Return the versions that are ready, by name."""
        ready = [entry for entry in self.index() if entry.state == "READY"]
        return tuple(LoadedModel(name=e.name, version=e.version) for e in sorted(ready, key=lambda e: e.name))

    def load(self, model: str) -> None:
        """Load a model. Raises ``ModelLoadError`` with Triton's reason in one line."""
        self._change(model, "load")

    def unload(self, model: str) -> None:
        """Begin to unload a model: its instances end when their requests are answered. Raises ``ModelLoadError``."""
        self._change(model, "unload")

    def _change(self, model: str, verb: str) -> None:
        path = f"/v2/repository/models/{quote(model, safe='')}/{verb}"
        status, body = self._ask("POST", path, timeout_s=self.load_timeout_s)
        if status != 200:
            raise ModelLoadError(f"Triton refused to {verb} model {model!r}: {messages.reason(_error(body))}")

    def _ask(self, method: str, path: str, *, timeout_s: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError as error:
            raise ServerDiedError(
                f"the server at {self.host}:{self.port} did not answer {path} within {timeout_s:.0f} s"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ServerDiedError(f"no server answers at {self.host}:{self.port}: {error}") from error
        finally:
            connection.close()


def refusals(states: tuple[ModelState, ...], wanted: Iterable[str], unknown: Callable[[str], str]) -> str | None:
    """Return in one line which of the ``wanted`` models are not ready, and why; None: all are ready.

    Triton knows no reason for a model that it could not even poll, and does not list one without a version:
    ``unknown`` finds one for its name in the log.
    """
    names = frozenset(wanted)
    states = tuple(s for s in states if s.name in names)
    ready = {s.name for s in states if s.state == "READY"}
    reasons = {s.name: messages.reason(s.reason) for s in states if s.state == "UNAVAILABLE" and s.reason != "unloaded"}
    for name in names - ready - reasons.keys():
        reasons[name] = unknown(name)
    each = "; ".join(f"model {name!r}: {reason}" for name, reason in sorted(reasons.items()))
    return f"Triton refused to load {each}" if reasons else None


def _error(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
