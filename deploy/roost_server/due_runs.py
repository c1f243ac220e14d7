"""Read from Prefect's database which runs wait for flow servers, and which are executed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roost_server.flow_servers import Served
from roost_server.prefect_internals import PROVIDE_DATABASE, STATES

SCHEDULED = "SCHEDULED"
ACTIVE = frozenset({"PENDING", "RUNNING", "CANCELLING"})
"""The states of a run that some process executes."""


@dataclass(frozen=True)
class WaitingRun:
    """A run that waits for its time, or for somebody who executes it.

    Args:
        run: its id.
        at: when it is due, in UTC.
        deployment: the id of its deployment, if it has one.
        pool: the name of its work pool, if it has one.
        queue: the name of its queue in that pool.
    """

    run: str
    at: datetime
    deployment: str | None = None
    pool: str | None = None
    queue: str | None = None

    def is_for(self, served: Served) -> bool:
        """Return whether it waits for a flow server that polls for this."""
        return served.takes(self.deployment, self.pool, self.queue)


def is_scheduled_for(served: Served) -> Any:
    """Return the condition of a query: scheduled, and handed out to who polls for this.

    The query must join the work queue and the work pool. A paused pool or queue hands out no run.
    """
    import sqlalchemy as sa

    db = PROVIDE_DATABASE.load()()
    whole = served.pools - served.queues.keys()
    theirs = sa.or_(
        db.FlowRun.deployment_id.in_([UUID(each) for each in served.deployments]),
        sa.and_(
            sa.or_(
                db.WorkPool.name.in_(sorted(whole)),
                *(
                    sa.and_(db.WorkPool.name == pool, db.WorkQueue.name.in_(sorted(queues)))
                    for pool, queues in served.queues.items()
                ),
            ),
            db.WorkPool.is_paused.is_(False),
            db.WorkQueue.is_paused.is_(False),
        ),
    )
    return sa.and_(
        db.FlowRun.state_type == STATES.load().StateType.SCHEDULED,
        db.FlowRun.next_scheduled_start_time.is_not(None),
        theirs,
    )


def with_pools(query: Any) -> Any:
    """Join the work queue and the work pool of each run, where it has them."""
    db = PROVIDE_DATABASE.load()()
    return query.outerjoin(db.WorkQueue, db.FlowRun.work_queue_id == db.WorkQueue.id).outerjoin(
        db.WorkPool, db.WorkQueue.work_pool_id == db.WorkPool.id
    )


async def waiting_runs(
    served: Served,
    *,
    after: datetime | None = None,
    before: datetime | None = None,
    limit: int = 1000,
) -> list[WaitingRun]:
    """Return the runs that wait for who polls for this, the earliest first."""
    import sqlalchemy as sa

    if not served:
        return []
    db = PROVIDE_DATABASE.load()()
    due = db.FlowRun.next_scheduled_start_time
    query = with_pools(
        sa.select(
            *(db.FlowRun.id, due, db.FlowRun.deployment_id, db.WorkPool.name, db.WorkQueue.name)
        ).select_from(db.FlowRun)
    ).where(is_scheduled_for(served))
    if after is not None:
        query = query.where(due > after)
    if before is not None:
        query = query.where(due <= before)
    async with db.session_context() as session:
        rows = await session.execute(query.order_by(due).limit(limit))
        return [
            WaitingRun(str(run), at, str(deployment) if deployment else None, pool, queue)
            for run, at, deployment, pool, queue in rows.all()
        ]


def waits_in_process(state: str, policy: Any) -> bool:
    """Return whether the process of a run that failed waits for the time of its next attempt.

    Prefect 3.8.8 and 3.9.1 retry a flow in its own process, and write that into the run's policy.
    """
    return state == SCHEDULED and getattr(policy, "retry_type", None) == "in_process"


def is_executed(state: Any, policy: Any) -> bool:
    """Return whether some process executes a run, by the type of its state and its policy."""
    return bool(state) and (state.value in ACTIVE or waits_in_process(state.value, policy))


async def active_runs(runs: Collection[str]) -> set[str]:
    """Return which of these runs some process executes, by their state and policy."""
    import sqlalchemy as sa

    if not runs:
        return set()
    db = PROVIDE_DATABASE.load()()
    columns = db.FlowRun.id, db.FlowRun.state_type, db.FlowRun.empirical_policy
    query = sa.select(*columns).where(db.FlowRun.id.in_([UUID(run) for run in runs]))
    async with db.session_context() as session:
        rows = await session.execute(query)
        return {str(run) for run, *rest in rows.all() if is_executed(*rest)}


async def pending_runs(runs: Collection[str]) -> dict[str, str | None]:
    """Return which of these runs are Pending, each with the id of its deployment, if it has one."""
    import sqlalchemy as sa

    if not runs:
        return {}
    db = PROVIDE_DATABASE.load()()
    query = sa.select(db.FlowRun.id, db.FlowRun.deployment_id).where(
        db.FlowRun.id.in_([UUID(run) for run in runs]),
        db.FlowRun.state_type == STATES.load().StateType.PENDING,
    )
    async with db.session_context() as session:
        rows = await session.execute(query)
        return {str(run): str(deployment) if deployment else None for run, deployment in rows}


@dataclass(frozen=True)
class DeploymentName:
    """The names of a deployment and of its flow."""

    name: str
    flow: str


async def deployment_names(deployments: Collection[str]) -> Mapping[str, DeploymentName]:
    """Return the names of deployments by id; deleted ones are left out."""
    import sqlalchemy as sa

    if not deployments:
        return {}
    db = PROVIDE_DATABASE.load()()
    query = (
        sa.select(db.Deployment.id, db.Deployment.name, db.Flow.name)
        .join(db.Flow, db.Deployment.flow_id == db.Flow.id)
        .where(db.Deployment.id.in_([UUID(each) for each in deployments]))
    )
    async with db.session_context() as session:
        rows = await session.execute(query)
        return {str(each): DeploymentName(name, flow) for each, name, flow in rows.all()}
