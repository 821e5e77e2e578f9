"""A server that is started for the tuning, on this machine, and ended after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kit import targets
from kit.errors import ServerDiedError, ServerError, ServerUnavailableError, TuneError
from kit.server import embedded, interface
from kit.server.interface import Engine, RunningServer, ServerOptions
from kit.tune import processes
from kit.tune.places._control import Control
from kit.tune.places.interface import Announce, Place
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job

_DYING_S = 5.0
"""A server that was hurt by a load may take a moment to die of it."""
_POLL_S = 0.1


@dataclass(kw_only=True)
class OwnServer:
    """A server of an engine; see ``interface.Place``."""

    engine: Engine
    options: ServerOptions
    subject: Subject
    announce: Announce
    server: RunningServer
    control: Control

    shared = True

    @property
    def url(self) -> str:
        """Return where it answers."""
        return self.server.grpc_url

    def load(self, candidate: Candidate) -> None:
        """Serve a candidate."""
        try:
            self.control.load(candidate)
        except ServerDiedError as error:
            code = self._ended()
            if code is None:
                raise
            raise ServerDiedError(f"the server died of it, with exit code {code}") from error

    def recover(self) -> str:
        """Start another one where it has died or does not answer."""
        self.control.forget()
        code = self._ended() if not self.control.lives() else None
        if code is None and self.control.lives():
            return ""
        self._restart()
        return "the server did not answer any more" if code is None else f"the server died with exit code {code}"

    def memory_bytes(self) -> int | None:
        """Return what its processes hold."""
        pid = self.server.process()
        return None if pid is None else processes.resident_bytes(pid)

    def _ended(self) -> int | None:
        end_s = time.monotonic() + _DYING_S
        while (code := self.server.exit_code()) is None and time.monotonic() < end_s:
            time.sleep(_POLL_S)
        return code

    def _restart(self) -> None:
        self.server.kill()
        self.control.close()
        try:
            self.server = self.engine.start(self.options, self.announce)
        except ServerError as error:
            raise ServerDiedError(f"the server died and could not be started again: {error}") from error
        self.control = Control(url=self.server.grpc_url, subject=self.subject)


class Own:
    """Where the job names no server."""

    name = "own"

    def suits(self, job: Job) -> bool:
        """Return whether a server is to be started."""
        return job.url is None

    @contextmanager
    def opened(self, job: Job, subject: Subject, announce: Announce) -> Iterator[Place]:
        """Start a server without models."""
        engine = interface.engine(job.engine)
        if (reason := engine.unavailable_reason()) is not None:
            raise ServerUnavailableError(reason)
        _require_backends(job, subject)
        configured = (subject.variants[""].folder / "configs" / f"{job.target}.pbtxt").is_file()
        options = ServerOptions(
            repository=job.repository,
            config_name=job.target if configured else None,
            models=(job.model,),
            load_at_start=False,
            backends=tuple(sorted({v.backend for v in subject.variants.values()} & {"onnxruntime", "openvino"})),
            target=targets.load(job.target, job.target_folders),
        )
        server = engine.start(options, announce)
        place = OwnServer(
            engine=engine, options=options, subject=subject, announce=announce, server=server,
            control=Control(url=server.grpc_url, subject=subject),
        )  # fmt: skip
        try:
            yield place
        finally:
            place.control.close()
            place.server.kill()


def _require_backends(job: Job, subject: Subject) -> None:
    if job.engine != "embedded":
        return
    lacking = [v.backend for v in subject.variants.values() if v.backend not in embedded.BACKENDS]
    if lacking:
        raise TuneError(
            f"{job.model} on {job.target} needs the backend {lacking[0]}, which the embedded server does not have (it "
            f"has {', '.join(embedded.BACKENDS)}); use --engine docker, or --url HOST:PORT of a Triton that runs there"
        )


MEMBER = Own()
