"""A real RTSP server on loopback, as a program of its own: ``python rtsp_server.py FOLDER PORT``.

``/name.mp4?play_count=0`` plays a file of the folder for ever, at its own rate, over TCP. What lies under ``/private``
needs the user ``admin`` with the password ``p@ss:/word`` (Basic, RFC 2617), which aio-rtsp-toolkit leaves out.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aio_rtsp_toolkit.server import RtspServer
from aio_rtsp_toolkit.server_session import RtspServerSession

USER, PASSWORD = "admin", "p@ss:/word"
_EXPECTED = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Session(RtspServerSession):
    """Asks for a password."""

    async def _handle_describe(self, uri: str, req_headers: dict[str, str]) -> Any:
        if "/private" in uri and req_headers.get("authorization") != _EXPECTED:
            challenge = {"WWW-Authenticate": 'Basic realm="camera"'}
            return await self._send_response(req_headers, 401, "Unauthorized", challenge)
        return await super()._handle_describe(uri, req_headers)


class Server(RtspServer):
    """Gives each connection a session of ours."""

    async def _handle_client(self, sock: Any) -> None:
        await Session(self, sock).run()


async def main(folder: str, port: int) -> None:
    # Each stream holds a thread; asyncio's own pool has four more than there are cores.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    await Server(folder, host="127.0.0.1", port=port).serve_forever()


def end_with_parent() -> None:
    """Standard input is a pipe from the tests: it ends when they do, however they do."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
