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

from roost_server.due_runs import ACTIVE
from roost_server.prefect_internals import PROVIDE_DATABASE, SET_RUN_STATE, STATES


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
        has_deployment: whether somebody can start it again.
        is_subflow: whether it is part of another run, which starts it anew.
    """

    state: str
    count: int
    retries: int
    has_deployment: bool
    is_subflow: bool


def ending_of(attempt: Attempt, *, may_retry: bool = True) -> Ending:
    """Return what becomes of a run whose process is gone.

    A run that is Pending has not begun, so that starting it again repeats nothing.
    """
    if attempt.state not in ACTIVE:
        return Ending.NONE
    if attempt.state == "CANCELLING":
        return Ending.CANCELLED
    is_startable = may_retry and attempt.has_deployment and not attempt.is_subflow
    if is_startable and attempt.count <= attempt.retries:
        return Ending.RETRY
    return Ending.CRASHED


async def settle_runs(runs: Collection[str], why: str, *, may_retry: bool = True) -> None:
    """End or reschedule runs whose process is gone; those that ended already stay as they are.

    Args:
        runs: the ids of the runs.
        why: a sentence for the run's state, without a full stop.
        may_retry: whether a flow server is left that can start them again.

    Raises:
        SQLAlchemyError: the database cannot be written; a repetition is safe.
    """
    for run in runs:
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
        ending = ending_of(_attempt_of(found), may_retry=may_retry)
        if ending is not Ending.NONE:
            await SET_RUN_STATE.load()(
                session=session,
                flow_run_id=found.id,
                state=_state(ending, why, found.empirical_policy.retry_delay or 0),
                force=True,
            )
        return ending


def _attempt_of(found: Any) -> Attempt:
    return Attempt(
        state=found.state_type.value if found.state_type else "",
        count=found.run_count or 0,
        retries=found.empirical_policy.retries or 0,
        has_deployment=found.deployment_id is not None,
        is_subflow=found.parent_task_run_id is not None,
    )


def _state(ending: Ending, why: str, delay_s: float) -> Any:
    states = STATES.load()
    message = f"{why}."
    if ending is Ending.RETRY:
        at = datetime.now(UTC) + timedelta(seconds=delay_s)
        return states.AwaitingRetry(scheduled_time=at, message=message)
    make = states.Cancelled if ending is Ending.CANCELLED else states.Crashed
    return make(message=message)
