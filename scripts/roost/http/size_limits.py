"""Answers with an end: none that others send fills our memory, however long it is or becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

MAX_BYTES = 32 * 2**20
"""Fly's longest answer, a listing of machines with all they remember, takes a few."""
HEADERS = {"accept-encoding": "identity"}
"""Sent with every request: what is not compressed cannot swell."""


class OversizedError(httpx.RemoteProtocolError):
    """An answer is longer than anything we ask for; what came of it was dropped."""


class BoundedStream(httpx.AsyncByteStream):
    """A body that is read up to a limit, and not beyond."""

    def __init__(self, inner: httpx.AsyncByteStream, limit: int = MAX_BYTES) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._limit:
                raise OversizedError(f"the answer is longer than {self._limit // 2**20} MB")
            yield chunk

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._inner.aclose()


def bounded(response: httpx.Response) -> httpx.Response:
    """Bound an answer whose body was not read yet.

    Raises:
        OversizedError: it is compressed, which nobody asked for.
    """
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() not in {"", "identity"}:
        raise OversizedError("the answer is compressed, which was not asked for")
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = BoundedStream(response.stream)
    return response
