"""A faulty network between two programs on loopback: it delays, cuts and swallows what passes through.

with Proxy(port_of_the_server) as proxy:
    connect("127.0.0.1", proxy.port)
    proxy.black_hole()   # nothing passes, nothing is closed: as behind a pulled cable
    proxy.restore()
    proxy.cut()          # every connection is reset; new ones pass
    proxy.delay_s = 0.2  # each way
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType

_CHUNK_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER without waiting: closing sends a reset


class Proxy:
    """A TCP proxy in a thread of its own. ``delay_s`` may be set at any time; order is kept."""

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1") -> None:
        self.port = 0
        self.delay_s = 0.0
        self.connections = 0
        """How many were accepted in all."""
        self._target = (target_host, target_port)
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def black_hole(self) -> None:
        """Let nothing pass, in connections old and new; close nothing."""
        self._now(self._passing.clear)

    def restore(self) -> None:
        """Let all pass again, what was held back first."""
        self._now(self._passing.set)

    def cut(self) -> None:
        """Reset every connection; new ones pass."""
        self._now(self._cut)

    def _now(self, act: Callable[[], None]) -> None:
        """Do something in the thread of the loop; it is done when this returns."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (act(), done.set()))
        assert done.wait(60)

    def _cut(self) -> None:
        for writer in list(self._writers):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        self._passing.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._passing.wait()
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            self._writers.add(there_writer)
            try:
                await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
            finally:
                self._close(there_writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._close(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._passing.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()
