"""One request and its whole answer, within limits of time and size."""

from __future__ import annotations

import anyio
import httpx

from roost.http.size_limits import bounded

TIMEOUT_S = 30.0
ANSWER_S = 60.0
"""How long one answer may take from its first byte to its last: a slow drip never ends by itself."""
DEADLINE_S = 120.0
"""How long one call may take with all its retries."""
ATTEMPTS = 6


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
