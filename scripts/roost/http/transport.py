"""Send one call to a service: again where its rule allows, every failure as one of our errors.

What differs between services (headers, refusals, replies) is in the transport of each.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import httpx

from roost.errors import (
    FlyUnavailableError,
    GitHubUnavailableError,
    ServiceError,
)
from roost.http.exchange import (
    ANSWER_S,
    ATTEMPTS,
    DEADLINE_S,
    TIMEOUT_S,
    OversizedError,
    exchange,
)
from roost.http.messages import one_line
from roost.http.reply import Json, Reply, Unreadable, decode
from roost.http.retry import AgainError, Repeat, may_repeat_failure, repeated, was_sent

LEAST_S = 1.0
"""The time that a repeat has which begins at the deadline."""
UNCHANGED = "This call changed nothing. Check the network and run the same command again."
UNKNOWN = "Whether the call was carried out is unknown. Run the same command again: it looks first."
AGAIN = "Run the same command again."
REPORT = "Run the same command again; if it stays, report it."

R = TypeVar("R", bound=Reply)


@functools.lru_cache(maxsize=1024)
def address_of(base: httpx.URL, path: str) -> httpx.URL:
    """Return the address of a path below a base, as httpx makes it for each request anew.

    That took a fifth of the time of a request; a command asks the same addresses again and again. A whole
    address, such as that of a list's next page, stays as it is.
    """
    found = httpx.URL(path)
    if not found.is_relative_url:
        return found
    return base.copy_with(raw_path=base.raw_path + found.raw_path.lstrip(b"/"))


@dataclass(frozen=True)
class Call:
    """One request, and what the client must know to handle its failure."""

    verb: str
    path: str
    body: Json | None = None
    params: Mapping[str, str] | None = None
    blocks_s: float = 0.0
    """How long the service itself holds the answer back."""

    @property
    def rule(self) -> Repeat:
        """When the call may be sent again."""
        return Repeat.by_verb(self.verb)

    @property
    def changes(self) -> bool:
        """Whether the call changes anything at the service."""
        return self.verb != "GET"

    def __str__(self) -> str:
        return one_line(f"{self.verb} {self.path.partition('?')[0]}")


C = TypeVar("C", bound=Call)


@dataclass(frozen=True)
class Service:
    """What errors about a service are made of.

    Args:
        name: for people, such as GitHub.
        unavailable: the error for a call without an answer.
        bad_answer: the error for an answer that cannot be read.
        unreadable: makes the error for a success whose body is not as documented.
    """

    name: str
    unavailable: type[FlyUnavailableError | GitHubUnavailableError]
    bad_answer: type[ServiceError]
    unreadable: Unreadable


class ServiceTransport(Generic[C, R]):
    """A connection to a service that counts the requests it sends; each service has a subclass.

    Args:
        http: the client; the caller opens and closes it.
        deadline_s: no call goes on past this many seconds, its repeats included.
        now: the clock that dates in answers are read against.
        clock: seconds, for the deadline.
    """

    service: ClassVar[Service]

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = http
        self.calls = 0
        self._deadline_s = deadline_s
        self._now = now
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.http.base_url!r})"

    async def send(self, call: C) -> R:
        """Send a call, again where its rule allows, and return the answer.

        Raises:
            ServiceError: the service refused, failed, or did not answer.
        """
        ends = self._clock() + self._deadline_s
        return await repeated(lambda: self._send_once(call, ends), ATTEMPTS, ends, self._clock)

    async def _send_once(self, call: C, ends: float) -> R:
        self.calls += 1
        left_s = max(LEAST_S, ends - self._clock())
        limit_s = min(ANSWER_S, left_s) + call.blocks_s
        try:
            response = await exchange(self.http, self._request(call), limit_s)
        except OversizedError as failure:
            raise self._unread(failure, call) from None
        except httpx.RequestError as failure:
            lost = self._unanswered(failure, call)
            raise (AgainError(lost) if may_repeat_failure(failure, call.rule) else lost) from None
        if not response.is_success:
            raise self._refused(call, response)
        return self._reply(call, response, decode(response, str(call), self.service.unreadable))

    def _request(self, call: C) -> httpx.Request:
        headers = self._headers(call)
        if call.body is not None:
            headers = {"content-type": "application/json", **headers}
        return self.http.build_request(
            call.verb,
            address_of(self.http.base_url, call.path),
            content=None if call.body is None else self._encode(call.body),
            params=call.params,
            headers=headers,
            timeout=TIMEOUT_S + call.blocks_s,
        )

    def _headers(self, call: C) -> dict[str, str]:
        """Return the headers of this call alone."""
        del call
        return {}

    def _encode(self, body: Json) -> str:
        # json.dumps writes ASCII: surrogates, as file names may hold, are escaped and can be sent.
        return json.dumps(body)

    def _reply(self, call: C, response: httpx.Response, body: Any) -> R:
        """Return the reply for a success, or raise what its body says went wrong."""
        raise NotImplementedError

    def _refused(self, call: C, response: httpx.Response) -> Exception:
        """Return the error for an answer that is no success; `AgainError` sends the call again."""
        raise NotImplementedError

    def _unread(self, failure: OversizedError, call: C) -> ServiceError:
        return self.service.bad_answer(
            f"{self.service.name} answered with something else than documented ({failure}).",
            where=str(call),
            advice=UNKNOWN if call.changes else REPORT,
        )

    def _unanswered(self, failure: httpx.RequestError, call: C) -> ServiceError:
        sent = was_sent(failure)
        what = "did not answer" if sent else "could not be reached"
        advice = UNCHANGED if not sent else UNKNOWN if call.changes else AGAIN
        error = self.service.unavailable(
            f"{self.service.name} {what} ({type(failure).__name__}).",
            where=str(call),
            advice=advice,
        )
        error.ambiguous = sent and call.changes
        return error
