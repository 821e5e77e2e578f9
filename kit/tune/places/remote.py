"""A Triton that runs already, here or elsewhere: it gets candidates, and its own configuration back at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kit.errors import ModelLoadError, NotReadyError, ServerDiedError, TuneError, UnknownModelError, suggestion
from kit.signals import deferred
from kit.stream.failures import CallFailedError, Trouble
from kit.tune.places._control import ASK_S, Control
from kit.tune.places.interface import Announce, Place
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job
from kit.types import DIGEST_PARAMETER

_BACK_S = 120.0
"""A server that died is somebody else's to start again: a supervisor, a container's restart policy."""
_POLL_S = 0.5


@dataclass(kw_only=True)
class RemoteServer:
    """A server of somebody else; see ``interface.Place``. ``found`` is its configuration before, None: not loaded."""

    control: Control
    found: str | None

    @property
    def url(self) -> str:
        """Return where it answers."""
        return self.control.url

    @property
    def shared(self) -> bool:
        """Return whether it is on this machine."""
        return self.control.channel.local

    def load(self, candidate: Candidate) -> None:
        """Serve a candidate."""
        self.control.load(candidate)

    def recover(self) -> str:
        """Wait until the server is back."""
        self.control.forget()
        if self.control.lives():
            return ""
        end_s = time.monotonic() + _BACK_S
        while time.monotonic() < end_s:
            if self.control.lives():
                return "the server was away and came back"
            time.sleep(_POLL_S)
        raise ServerDiedError(
            f"the server at {self.url} died and is not back after {_BACK_S:.0f} s; start it again and repeat the "
            "command: what was measured is kept"
        )

    def memory_bytes(self) -> int | None:
        """Return None: its processes are not ours."""
        return None

    def restore(self) -> None:
        """Put back what was found, and make sure of it. Raises ``TuneError`` with what to do where that fails."""
        model = self.control.subject.model
        try:
            reason = self._restored()
        except (ServerDiedError, ModelLoadError, CallFailedError) as error:
            reason = str(error)
        if reason:
            raise TuneError(
                f"the configuration of {model} at {self.url} could not be put back: {reason}; its files are untouched: "
                f"unload {model} and load it again"
            )

    def _restored(self) -> str:
        """Put back what was found; return why that is not so now, or nothing."""
        if not self.control.lives():  # for its return was waited before
            return "no server answers there"
        self.control.unload()
        if self.found is None:
            return ""
        self.control.replace(self.found)
        # Parsed: protobuf's maps come in any order.
        same = json.loads(_configuration(self.control)) == json.loads(self.found)
        return "" if same else "it says another one now"


class Remote:
    """Where the job names a server."""

    name = "remote"

    def suits(self, job: Job) -> bool:
        """Return whether a server was named."""
        return job.url is not None

    @contextmanager
    def opened(self, job: Job, subject: Subject, announce: Announce) -> Iterator[Place]:  # noqa: ARG002
        """Learn what the server has, and put it back after the block."""
        assert job.url is not None
        control = Control(url=job.url, subject=subject)
        try:
            found = _found(control)
            _require_control(control, found)
            _require_same(control, job)
        except BaseException:
            control.close()
            raise
        place = RemoteServer(control=control, found=found)
        try:
            yield place
        finally:
            with deferred():
                try:
                    place.restore()
                finally:
                    control.close()


def _found(control: Control) -> str | None:
    """Return the model's configuration, or None where it is not loaded. Raises where there is no such model."""
    model = control.subject.model
    try:
        ready = control.channel.models(ASK_S)
        known = control.channel.known(ASK_S)
        if model in ready:
            return _configuration(control)
    except CallFailedError as error:
        raise _translated(control.url, error) from error
    if model not in known:
        what = suggestion(model, known) if known else "its repository is empty"
        raise UnknownModelError(f"the server at {control.url} has no model {model}; {what}")
    return None


def _configuration(control: Control) -> str:
    """Return a model's configuration as a load takes it."""
    from google.protobuf import json_format

    told = control.channel.config(control.subject.model, ASK_S).config
    fields = json_format.MessageToDict(told, preserving_proto_field_name=True)
    return json.dumps({**fields, "max_batch_size": told.max_batch_size}, ensure_ascii=False)


def _require_control(control: Control, found: str | None) -> None:
    """Load what is there already: that changes nothing, and a server that is not to be controlled refuses it."""
    try:
        control.channel.load(control.subject.model, 600.0, found)
    except CallFailedError as error:
        text = error.failure.text
        if "explicit" in text.lower() or "not allowed" in text.lower() or error.failure.trouble is Trouble.DENIED:
            raise TuneError(
                f'the server at {control.url} does not let models be loaded: it said "{text}"; start it with '
                "--model-control-mode=explicit, or leave --url out and a server is started here"
            ) from error
        raise _translated(control.url, error) from error


def _require_same(control: Control, job: Job) -> None:
    """Refuse a server that has another file than the repository; models of other makers tell nothing of theirs."""
    from kit import config

    said = config.parse(control.subject.variants[""].text).parameters[DIGEST_PARAMETER].string_value
    told = control.channel.config(job.model, ASK_S).config.parameters[DIGEST_PARAMETER].string_value
    if said and told and said != told:
        raise TuneError(
            f"the {job.model} that the server at {control.url} serves was made of another file ({told[:12]}) than that "
            f"in {job.repository} ({said[:12]}); give the repository that it serves, or publish this one there"
        )


def _translated(url: str, error: CallFailedError) -> NotReadyError:
    if error.failure.trouble is Trouble.UNREACHABLE:
        return NotReadyError(f"no server answers at {url}: {error}; start one: kit serve model_repository")
    return NotReadyError(f'the server at {url} is not ready to be tuned: it said "{error}"')


MEMBER = Remote()
