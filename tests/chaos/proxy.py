"""A TCP proxy on loopback whose link is cut, falls silent or slows down when told."""

from __future__ import annotations

import asyncio
import contextlib

HOST = "127.0.0.1"
CHUNK_BYTES = 16_384


class Link:
    """From `port` to `target`; as it is until told otherwise."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._open = asyncio.Event()
        self._open.set()
        self._cut = False
        self._rate: int | None = None  # bytes a second
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Link:
        self._server = await asyncio.start_server(self._accept, HOST, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def suffer(self, kind: str, for_s: float, rate: int) -> None:
        """`cut`: every connection is reset and none is taken; `silent`: nothing passes; `slow`: little."""
        if kind == "cut":
            self._cut = True
            for writer in self._writers:
                writer.transport.abort()
        elif kind == "silent":
            self._open.clear()
        else:
            self._rate = rate
        try:
            await asyncio.sleep(for_s)
        finally:
            self._cut, self._rate = False, None
            self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._open.wait()
                if self._rate is not None:
                    await asyncio.sleep(len(chunk) / self._rate)
                writer.write(chunk)
                await writer.drain()
