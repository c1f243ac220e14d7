"""Faults that Fly's API and the way to it may have. Sources: Fly's documented refusals."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from helpers.api_door import HANG_UP, Answer

LIKELY = 0.15
SLOW_S = 0.4
JUST_MADE_S = 3.0
_ONE_MACHINE = re.compile(r"^GET /machines/[0-9a-f]+(\?|$)")


def refused(status: int, error: str, word: str = "", **headers: str) -> Answer:
    """Return an error response in Fly's form."""
    body = {"error": error, **({"status": word} if word else {})}
    return Answer(status, json.dumps(body).encode(), tuple(headers.items()))


LEASED = refused(409, "failed to get lease: lease currently held by somebody@example.com")
NOT_VISIBLE = refused(404, "machine not found")
EXPIRED = refused(401, "unauthorized: token expired")
# Refused before any effect; a client may retry.
PASSING = (
    refused(429, "rate limit exceeded"),
    refused(429, "rate limit exceeded", **{"Retry-After": "1"}),
    refused(500, "internal server error"),
    refused(502, "bad gateway"),
    refused(503, "unavailable"),
    Answer(504, b"<html>504 Gateway Time-out</html>", (("Content-Type", "text/html"),)),
    HANG_UP,
)
CAPACITY = (
    refused(412, "insufficient resources to create new machine with existing volume"),
    refused(409, "aborted: could not reserve resource for machine: insufficient memory available"),
    refused(400, "no capacity"),
    refused(403, "over the allowed quota"),
    refused(422, "no room", "insufficient_capacity"),
    refused(422, "no room on the host", "volume_placement_capacity"),
    refused(503, "deploys to this host are temporarily disabled"),
)
MOVED = refused(412, "failed_precondition: machine version has changed")
# Executed, but the response is lost or changed.
SPOILT: tuple[Callable[[Answer], Answer], ...] = (
    lambda _: HANG_UP,
    lambda _: refused(500, "internal server error"),
    lambda _: refused(503, "unavailable"),
    lambda a: Answer(a.status, a.content[: len(a.content) // 2], a.headers, len(a.content) + 1),
    lambda _: Answer(200, b"<html>Welcome</html>", (("Content-Type", "text/html"),)),
)
_MAKES = re.compile(r"^(POST /volumes|POST /machines(/[0-9a-f]+(/start)?)?)$")


@dataclass
class Storm:
    """The faults of one run; the same seed and calls give the same faults.

    Args:
        seed: decides the faults.
        short: shortens a call for reports.
    """

    seed: int
    short: Callable[[str], str]
    happened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._expires = self._dice.randrange(8, 30) if self._dice.random() < LIKELY else 0
        self._calls = 0
        self._made = 0.0

    def before(self, call: str) -> Answer | None:
        """Return a response instead of passing a call to Fly; None to pass it."""
        what = self.short(call)
        if "/localfly/" in what:
            return None
        self._calls += 1
        if self._expires and self._calls >= self._expires:
            return self._note("expired", what, EXPIRED)
        if self._dice.random() > LIKELY:
            return self._not_visible_yet(what)
        if self._dice.random() < LIKELY:
            time.sleep(SLOW_S)
            return None
        return self._note("refused", what, self._refusal(what))

    def after(self, call: str) -> Answer | None:
        """Return another response than Fly's, which has executed the call."""
        what = self.short(call)
        if what.startswith("POST /machines"):
            self._made = time.monotonic()
        if "/localfly/" in what or self._dice.random() > LIKELY / 2:
            return None
        return self._note("spoilt", what, self._dice.choice(SPOILT)(Answer(200, b'{"id": "m"}')))

    def _not_visible_yet(self, what: str) -> Answer | None:
        young = time.monotonic() - self._made < JUST_MADE_S
        if young and _ONE_MACHINE.match(what) and self._dice.random() < LIKELY:
            return self._note("not visible", what, NOT_VISIBLE)
        return None

    def _refusal(self, what: str) -> Answer:
        """Most calls get transient errors; some need capacity or a state and get those errors."""
        if what.endswith("/lease") and self._dice.random() < LIKELY * 2:
            return LEASED
        if _MAKES.match(what) and self._dice.random() < LIKELY * 2:
            return self._dice.choice((*CAPACITY, MOVED))
        return self._dice.choice(PASSING)

    def _note(self, kind: str, what: str, answer: Answer) -> Answer:
        self.happened.append(f"{kind} {answer.status} {what}")
        return answer
