"""Return the memory that only the start needed, once, when the server is quiet."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Awaitable, Callable

FIRST_S = 5.0
"""How long after the start, in seconds: its services have run once by then."""
LOOK_S = 0.5
LAST_S = 60.0
"""From here on it no longer waits for a quiet moment."""


async def return_memory(
    is_busy: Callable[[], bool], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Collect what the start left, and return free memory to the system.

    The imports ran without the collector, so what they left stays otherwise. Collecting it takes 0.1 to
    0.2 s in which nothing is answered: before the server is ready every start would take longer.

    Args:
        is_busy: returns whether a request or a socket is open.
        sleep: waits some seconds.
    """
    await sleep(FIRST_S)
    waited = FIRST_S
    while is_busy() and waited < LAST_S:
        await sleep(LOOK_S)
        waited += LOOK_S
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim()


def trim() -> bool:
    """Return the allocator's free pages to the system; False where the C library cannot."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):
        return False
