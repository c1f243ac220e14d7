"""Calls without a readable answer: what happened, and what to do when the call may have been carried out."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from roost.http.retry_rules import was_sent
from roost.http.size_limits import OversizedError

UNCHANGED = "This call changed nothing. Check the network and run the same command again."
UNKNOWN = "Whether the call was carried out is unknown. Run the same command again: it looks first."
AGAIN = "Run the same command again."
REPORT = "Run the same command again; if it stays, report it."


@dataclass(frozen=True)
class LostAnswer:
    """What a person reads of a call that was not answered.

    Args:
        what: the sentence.
        advice: the next step.
        ambiguous: the call may have changed something.
    """

    what: str
    advice: str
    ambiguous: bool


def lost_answer(failure: httpx.RequestError, service: str, *, changes: bool) -> LostAnswer:
    """Describe a call that got no answer, or one that is too long to be read.

    Args:
        failure: what httpx raised.
        service: the name of the service, such as GitHub.
        changes: whether the call changes anything there.
    """
    if isinstance(failure, OversizedError):
        what = f"{service} answered with something else than documented ({failure})."
        return LostAnswer(what, UNKNOWN if changes else REPORT, changes)
    kind = type(failure).__name__
    if not was_sent(failure):
        return LostAnswer(f"{service} could not be reached ({kind}).", UNCHANGED, ambiguous=False)
    return LostAnswer(f"{service} did not answer ({kind}).", UNKNOWN if changes else AGAIN, changes)
