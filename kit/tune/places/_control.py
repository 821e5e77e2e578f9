"""Loads candidates into a Triton by its model repository extension, over gRPC."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from kit.errors import ModelLoadError, ServerDiedError
from kit.server import messages
from kit.stream.channel import Channel
from kit.stream.failures import CallFailedError, Trouble
from kit.tune.overriding import override
from kit.tune.subject import Subject
from kit.tune.values import Candidate

ASK_S = 10.0
_LOAD_S = 600.0
_UNLOAD_S = 30.0
_POLL_S = 0.05


@dataclass(kw_only=True)
class Control:
    """Speaks to the server at ``url`` about one model.

    A load that changes nothing but ``instance_group`` keeps the files of the one before, even where it brings others
    (seen with Triton 2.51; ``ConfigChangeRequiresReload`` in its core). So the model is unloaded before a variant.
    """

    url: str
    subject: Subject
    channel: Channel = field(init=False)
    _variant: str | None = None

    def __post_init__(self) -> None:
        """Make the channel; nothing is sent yet."""
        self.channel = Channel(url=self.url)

    def load(self, candidate: Candidate) -> None:
        """Serve a candidate. Raises ``ModelLoadError`` and ``ServerDiedError``."""
        variant = self.subject.variants[candidate.variant]
        if self._variant != candidate.variant:
            self.unload()
        files = {name: path.read_bytes() for name, path in variant.files().items()} if candidate.variant else None
        self.replace(override(variant, candidate), files)
        self._variant = candidate.variant

    def replace(self, config: str | None, files: dict[str, bytes] | None = None) -> None:
        """Load the model with a configuration; None: its own. Raises as ``load``."""
        self._variant = None
        try:
            self.channel.load(self.subject.model, _LOAD_S, config, files)
        except CallFailedError as error:
            if error.failure.trouble in (Trouble.UNREACHABLE, Trouble.CANCELLED, Trouble.DEADLINE):
                raise ServerDiedError(f"the server stopped answering while it loaded it: {error}") from error
            raise ModelLoadError(f"Triton refused it: {messages.reason(error.failure.text)}") from error

    def unload(self) -> None:
        """Unload the model and wait until its instances have ended. Raises ``ServerDiedError``."""
        self._variant = None
        try:
            self.channel.unload(self.subject.model, ASK_S)
            end_s = time.monotonic() + _UNLOAD_S
            while time.monotonic() < end_s and self.channel.unsettled(self.subject.model, ASK_S):
                time.sleep(_POLL_S)
        except CallFailedError as error:
            raise ServerDiedError(f"the server stopped answering while it unloaded {self.subject.model}") from error

    def forget(self) -> None:
        """Take nothing for granted: the next load begins with an unload, which also ends dead instances."""
        self._variant = None

    def lives(self) -> bool:
        """Return whether the server answers."""
        try:
            self.channel.server(ASK_S)
        except CallFailedError:
            return False
        return True

    def close(self) -> None:
        """Disconnect."""
        self.channel.close()
