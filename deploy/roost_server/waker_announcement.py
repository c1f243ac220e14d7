"""Announce to the organization's waker when this server has to be awake again, before it sleeps.

The waker (deploy/waker) requests this server's address at that time. A waker that does not answer
keeps the server awake for a while, so that a restart of it loses no run, and not for ever: then only a
tick wakes the server, and `roost status` says so.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from roost_machine.metadata import write_metadata
from roost_server.last_error import name_failure
from roost_server.next_due import NextDue
from roost_server.private_http import open_client

WAKER, ADDRESS = "ROOST_WAKER", "ROOST_SERVER_ADDRESS"
"""The variables with the waker's address and this server's own; set where the file has a waker."""
KEY = "roost_waker"
"""The key in the machine's metadata with the result, which `roost status` reads while the server sleeps."""
PATH = "/roost/wake"
LIMIT_S = 5.0
TRIES, PAUSE_S = 3, 1.0
AGAIN_S = 30.0
HOLD_S = 900.0
"""A server stays awake this long for a waker that does not answer, as for a flow server."""
OK, INSUFFICIENT_STORAGE, SERVER_ERROR = 200, 507, 500

Post = Callable[[str, dict[str, Any]], Awaitable[int]]
"""Sends JSON to an address and returns the status of the reply."""


@dataclass(frozen=True)
class Outcome:
    """The result of an announcement.

    Args:
        at: the announced time; None if there is no next run.
        error: why the waker does not know it; empty if it does.
        may_change: whether another attempt may succeed.
    """

    at: datetime | None
    error: str = ""
    may_change: bool = False

    def document(self) -> dict[str, Any]:
        """Return the form in the metadata and in the report."""
        return {"at": self.at and self.at.astimezone(UTC).isoformat(), "error": self.error}


class Announcer:
    """Leaves the next due time with the waker, if there is one.

    It is a sink of the due time (`next_due.Sink`), and work before a sleep (`idle_suspend.Work`), after
    the one that leaves the time.

    Args:
        environ: holds the addresses, and the names of the app and the machine.
        post: sends JSON to an address.
        clock: returns seconds of the monotonic clock.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        post: Post | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._environ = environ
        self._post = post or send
        self._clock, self._sleep = clock, sleep
        self._written: Outcome | None = None
        self._failing_since: float | None = None
        self._again_at = 0.0
        self.outcome: Outcome | None = None
        """The last result; None before the first one, and without a waker."""

    async def leave(self, due: NextDue | None) -> bool:
        """Announce when this server has to be awake, or that it has not; return whether that succeeded."""
        if not self._environ.get(WAKER) or not self._environ.get(ADDRESS):
            return True
        outcome = await self._announce(due.at if due else None)
        self._note(outcome)
        if outcome != self._written:
            value = json.dumps(outcome.document())
            if await asyncio.to_thread(write_metadata, KEY, value, self._environ):
                self._written = outcome
        return not outcome.error

    def stays_awake(self) -> str | None:
        """Return why the server waits before it announces again, for its log; None if it does not."""
        if self.outcome is None or self._failing_since is None or self._clock() >= self._again_at:
            return None
        return f"the waker does not know when it is needed ({self.outcome.error})"

    async def prepare_sleep(self) -> bool:
        """Return whether the server may sleep with what the waker knows now.

        A time that the waker did not take keeps it awake for HOLD_S at most. A withdrawal that failed
        costs one wake for nothing, and does not.
        """
        outcome = self.outcome
        if outcome is None or not outcome.error or outcome.at is None or not outcome.may_change:
            self._failing_since = None
            return True
        now = self._clock()
        since = self._failing_since if self._failing_since is not None else now
        if now - since >= HOLD_S:
            self._failing_since = None  # the next sleep begins anew
            print(
                f"roost: sleeps, and the waker does not know when it is needed ({outcome.error}): "
                "only `roost tick` wakes this server in time",
                flush=True,
            )
            return True
        self._failing_since, self._again_at = since, now + AGAIN_S
        return False

    def _note(self, outcome: Outcome) -> None:
        before, self.outcome = self.outcome, outcome
        if not outcome.error:
            self._failing_since = None
        if outcome.error and (before is None or outcome.error != before.error):
            print(f"roost: cannot announce when this server is needed: {outcome.error}", flush=True)
        elif before is not None and before.error and not outcome.error:
            print("roost: the waker takes announcements again", flush=True)

    async def _announce(self, at: datetime | None) -> Outcome:
        error, may_change = "", False
        for attempt in range(TRIES):
            if attempt:
                await self._sleep(PAUSE_S)
            error, may_change = await self._try(at)
            if not may_change:
                break
        return Outcome(at, error, may_change)

    async def _try(self, at: datetime | None) -> tuple[str, bool]:
        """Return why the waker did not take it, and whether another attempt may succeed."""
        waker = self._environ[WAKER].rstrip("/")
        body = {
            "app": self._environ.get("FLY_APP_NAME", ""),
            "address": self._environ[ADDRESS],
            "at": at and at.astimezone(UTC).isoformat(),
        }
        try:
            status = await self._post(f"{waker}{PATH}", body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server must come to a decision
            return f"the waker does not answer: {name_failure(error)}", True
        if status == OK:
            return "", False
        # A full waker, and one that refuses the announcement, does so again in a second.
        may_change = status >= SERVER_ERROR and status != INSUFFICIENT_STORAGE
        why = " (it has no room)" if status == INSUFFICIENT_STORAGE else ""
        return f"the waker answers status {status}{why}", may_change


async def send(address: str, body: dict[str, Any]) -> int:
    """Send JSON and return the reply's status; the environment's proxies are not used.

    Raises:
        httpx.HTTPError: nothing answers within LIMIT_S.
    """
    async with open_client(address, LIMIT_S) as client:
        return (await client.post(address, json=body)).status_code
