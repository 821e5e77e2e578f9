"""What cameras have in common: they go on by themselves, and wait for nobody."""

from __future__ import annotations

from kit.stream.uri import CameraUri


class Live:
    """A source that is live and is written with its scheme; others say so themselves."""

    def guess(self, text: str) -> str | None:
        """Never: what has no scheme could be anything."""
        return None

    def live(self, uri: CameraUri) -> bool:
        """Return True; what has an end all the same, its reader finds out."""
        return True

    def waits(self, uri: CameraUri) -> bool:
        """Return False."""
        return False
