"""End the runs of a flow server's boot that is gone, so that none stays Running that nobody runs.

Where the flow's retries allow another attempt, the run is scheduled again, as Prefect does after a
failure. The boot is fenced first, so that no run is executed twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from roost_server.due_runs import ACTIVE, SCHEDULED, waits_in_process
from roost_server.prefect_internals import PROVIDE_DATABASE, SET_RUN_STATE, STATES
from roost_server.subflows import subflows_of


class Ending(Enum):
    """What becomes of a run whose process is gone."""

    NONE = "ended already"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    RETRY = "scheduled again"


@dataclass(frozen=True)
class Attempt:
    """One attempt to execute a run.

    Args:
        state: the type of the run's state.
        count: how often the run was started.
        retries: how many more attempts the flow allows.
        has_deployment: whether somebody can start it again. A subflow has none: its parent calls it
            again. A run that a flow started with `run_deployment` has a parent and a deployment, and
            a process of its own.
    """

    state: str
    count: int
    retries: int
    has_deployment: bool
    waits_in_process: bool = False
    """Whether it is scheduled for a retry by the process that failed it, which waits for the time."""


def ending_of(attempt: Attempt, *, may_retry: bool = True) -> Ending:
    """Return what becomes of a run whose process is gone.

    A run that is Pending has not begun, so that starting it again repeats nothing.
    """
    if attempt.waits_in_process:
        return Ending.RETRY if may_retry and attempt.has_deployment else Ending.CRASHED
    if attempt.state not in ACTIVE:
        return Ending.NONE
    if attempt.state == "CANCELLING":
        return Ending.CANCELLED
    if may_retry and attempt.has_deployment and attempt.count <= attempt.retries:
        return Ending.RETRY
    return Ending.CRASHED


async def settle_runs(runs: Collection[str], why: str, *, may_retry: bool = True) -> None:
    """End or reschedule runs whose process is gone; those that ended already stay as they are.

    Their subflows are gone with them, and end first: a parent that is scheduled again may begin at
    once, and call its subflows anew.

    Args:
        runs: the ids of the runs.
        why: a sentence for the run's state, without a full stop.
        may_retry: whether a flow server is left that can start them again.

    Raises:
        SQLAlchemyError: the database cannot be written; a repetition is safe.
    """
    for run in (*await subflows_of(runs), *runs):
        ending = await _settle(run, why, may_retry=may_retry)
        if ending is not Ending.NONE:
            print(f"roost: the flow run {run} is {ending.value}: {why}", flush=True)


async def _settle(run: str, why: str, *, may_retry: bool) -> Ending:
    import sqlalchemy as sa

    db = PROVIDE_DATABASE.load()()
    async with db.session_context(begin_transaction=True) as session:
        found = await session.scalar(
            sa.select(db.FlowRun).where(db.FlowRun.id == UUID(run)).with_for_update(of=db.FlowRun)
        )
        if found is None:
            return Ending.NONE
        attempt = _attempt_of(found)
        ending = ending_of(attempt, may_retry=may_retry)
        if ending is not Ending.NONE:
            state = _state(ending, why, _again_at(found, attempt))
            if waits_in_process(SCHEDULED, found.empirical_policy):
                # A worker's pool hands out no run that a process retries by itself (3.8.8, 3.9.1).
                found.empirical_policy = found.empirical_policy.model_copy(
                    update={"retry_type": "reschedule"}
                )
            await SET_RUN_STATE.load()(
                session=session, flow_run_id=found.id, state=state, force=True
            )
        return ending


def _attempt_of(found: Any) -> Attempt:
    return Attempt(
        state=_type(found),
        count=found.run_count or 0,
        retries=found.empirical_policy.retries or 0,
        has_deployment=found.deployment_id is not None,
        waits_in_process=waits_in_process(_type(found), found.empirical_policy),
    )


def _type(found: Any) -> str:
    return found.state_type.value if found.state_type else ""


def _again_at(found: Any, attempt: Attempt) -> datetime:
    """Return when the next attempt begins; a run that did not begin has nothing to wait for."""
    now = datetime.now(UTC)
    if attempt.waits_in_process:
        return found.next_scheduled_start_time or now
    delay_s = found.empirical_policy.retry_delay or 0 if attempt.count else 0
    return now + timedelta(seconds=delay_s)


def _state(ending: Ending, why: str, at: datetime) -> Any:
    states = STATES.load()
    message = f"{why}."
    if ending is Ending.RETRY:
        return states.AwaitingRetry(scheduled_time=at, message=message)
    make = states.Cancelled if ending is Ending.CANCELLED else states.Crashed
    return make(message=message)
