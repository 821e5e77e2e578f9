"""Where a sink listens: on loopback unless a host is named."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from kit.errors import UsageError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host and a port; port 0 is a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, flag: str) -> Address:
        """Read ``PORT`` or ``HOST:PORT``. Raises ``UsageError``."""
        host, _, port = text.rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError(f'{flag} takes a port from 0 to 65535, or HOST:PORT, not "{text}"; try {flag} 8080')
        return cls(host=host.strip("[]") or LOOPBACK, port=int(port))

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
