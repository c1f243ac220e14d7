"""One request and its whole answer, within limits of time and size."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx

TIMEOUT_S = 30.0
ANSWER_S = 60.0
"""The longest that one answer may take as a whole: no read times out while bytes drip in slowly."""
DEADLINE_S = 120.0
"""The longest that one call may take with all its repeats."""
ATTEMPTS = 6
MAX_BYTES = 32 * 2**20
"""Fly's longest answer, a list of machines with all their metadata, takes a few megabytes."""
HEADERS = {"accept-encoding": "identity"}
"""Sent with every request: an answer that is not compressed cannot expand."""


class OversizedError(httpx.RemoteProtocolError):
    """An answer is longer than any that is expected; what was read of it is dropped."""


class BoundedStream(httpx.AsyncByteStream):
    """A body that is read up to a limit."""

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
        """Release the connection."""
        await self._inner.aclose()


def bounded(response: httpx.Response) -> httpx.Response:
    """Limit the size of an answer whose body was not read yet.

    Raises:
        OversizedError: the answer is compressed, although it was asked not to be.
    """
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() not in {"", "identity"}:
        raise OversizedError("the answer is compressed, which was not asked for")
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = BoundedStream(response.stream)
    return response


async def exchange(
    http: httpx.AsyncClient, request: httpx.Request, limit_s: float
) -> httpx.Response:
    """Send a request once and read the whole answer.

    Args:
        http: an open client.
        request: built by that client.
        limit_s: seconds until the answer must have ended.

    Raises:
        OversizedError: the answer is longer than allowed.
        httpx.RequestError: there was no answer, or it did not end within the limit.
    """
    try:
        with anyio.fail_after(limit_s):
            response = await http.send(request, stream=True)
            try:
                await bounded(response).aread()
            finally:
                await response.aclose()
    except TimeoutError:
        raise httpx.ReadTimeout("the answer did not end") from None
    return response
