"""Skip runs that were missed while everything slept, by the policy of the flow server.

Prefect creates the runs of a schedule in advance. After a sleep, a runner would start all that are
overdue at once. Only runs that a schedule created and that never began are skipped, and a skipped
run ends Cancelled, named `Skipped`, with the reason, so that none is lost in silence.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from roost_server.due_runs import is_scheduled_for, with_pools
from roost_server.flow_servers import Missed, Served
from roost_server.prefect_internals import PROVIDE_DATABASE, SET_RUN_STATE, STATES

MISSED_S = 60.0
"""A run that is overdue by more than this, in seconds, was missed."""
BATCH = 20
"""The number of runs that one transaction skips, so that others can write in between."""
NAMES = ("Scheduled", "Late")
"""The states of a run that never began; a retry has another name."""


@dataclass(frozen=True)
class OverdueRun:
    """A run of a schedule whose time has come.

    Args:
        run: its id.
        at: when it was due.
        same: what the runs have in common of which one is enough: the deployment and the parameters.
            The schedule is not, as each registration of a deployment creates its schedules anew.
    """

    run: str
    at: datetime
    same: str


def missed_runs(
    overdue: Iterable[OverdueRun], policy: Missed, now: datetime
) -> list[tuple[OverdueRun, str]]:
    """Return the runs to skip, each with the reason.

    A single overdue run is always executed, late.
    """
    groups: dict[str, list[OverdueRun]] = defaultdict(list)
    for run in overdue:
        groups[run.same].append(run)
    skipped = []
    for group in groups.values():
        latest = max(group, key=lambda run: run.at)
        missed = [run for run in group if now - run.at > timedelta(seconds=MISSED_S)]
        if policy is Missed.RUN_ALL or len(group) == 1:
            continue
        if policy is Missed.RUN_LATEST:
            missed = [run for run in missed if run is not latest]
        kept = f"of {len(group)} waiting runs only the latest is executed"
        why = kept if policy is Missed.RUN_LATEST else f"{len(group)} runs were waiting"
        skipped += [(run, f"missed: {policy.value}: {why}") for run in missed]
    return skipped


async def skip_missed(served: Served, policy: Missed, name: str) -> None:
    """Skip the missed runs that wait for who polls for this, and log how many there were.

    Raises:
        SQLAlchemyError: the database cannot be read or written; a repetition is safe.
    """
    if policy is Missed.RUN_ALL or not served:
        return
    now = datetime.now(UTC)
    skipped = missed_runs(await _overdue(served, now), policy, now)
    for first in range(0, len(skipped), BATCH):
        await _skip(skipped[first : first + BATCH])
    if skipped:
        print(
            f"roost: {len(skipped)} missed runs of flow server {name} are skipped "
            f"({policy.value}); each says so in its state",
            flush=True,
        )


async def _overdue(served: Served, now: datetime) -> list[OverdueRun]:
    import sqlalchemy as sa

    db = PROVIDE_DATABASE.load()()
    run, due = db.FlowRun, db.FlowRun.next_scheduled_start_time
    columns = (run.id, due, run.deployment_id, run.parameters)
    query = with_pools(sa.select(*columns).select_from(run)).where(
        is_scheduled_for(served),
        due <= now,
        run.auto_scheduled.is_(True),
        run.run_count == 0,
        run.state_name.in_(NAMES),
    )
    async with db.session_context() as session:
        rows = await session.execute(query.order_by(due))
        return [
            OverdueRun(str(each), at, f"{deployment} {json.dumps(parameters, sort_keys=True)}")
            for each, at, deployment, parameters in rows.all()
        ]


async def _skip(skipped: Collection[tuple[OverdueRun, str]]) -> None:
    db, states = PROVIDE_DATABASE.load()(), STATES.load()
    async with db.session_context(begin_transaction=True) as session:
        for overdue, why in skipped:
            if not await _still_waits(session, overdue.run):
                continue
            state = states.Cancelled(
                name="Skipped",
                message=f"It was due at {overdue.at:%Y-%m-%d %H:%M:%S} UTC and not started; {why}.",
            )
            await SET_RUN_STATE.load()(
                session=session, flow_run_id=UUID(overdue.run), state=state, force=True
            )


async def _still_waits(session: Any, run: str) -> bool:
    """Return whether a run was neither started nor changed since it was read."""
    import sqlalchemy as sa

    db = PROVIDE_DATABASE.load()()
    query = sa.select(db.FlowRun.state_name).where(db.FlowRun.id == UUID(run))
    return await session.scalar(query.with_for_update()) in NAMES
