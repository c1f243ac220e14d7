"""Notice due runs that an awake flow server does not take, so that they keep nobody awake for ever.

A limit that is used up, a queue that its worker does not poll, or a worker that cannot start a run
leaves the run scheduled. Such a run wakes nobody and keeps nobody awake after a while; it is handed
out as before when its flow server asks for work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from roost_server.due_runs import WaitingRun, with_pools
from roost_server.flow_servers import Served
from roost_server.prefect_internals import PROVIDE_DATABASE, STATES

PATIENCE_S = 900.0
"""A run that was not taken for this long is untaken, in seconds in which its flow server asked for
work and executed nothing."""
AGAIN_S = 120.0
"""The same for a run beside one that is untaken, or that was, and for which something changed."""
HELD_S = 60.0
"""A run that a pause holds is reported when it is overdue by more than this, in seconds."""
LIMIT = 20
"""The number of runs that a report names."""
NOT_SERVED = (
    "the flow server serves its deployment no more; serve it again, or delete the deployment"
)
AWAITS_SLOT = "AwaitingConcurrencySlot"
"""Prefect's name of the state of a run that a limit of its deployment holds (3.8.8, 3.9.1)."""


@dataclass
class Patience:
    """For how long the due runs of one flow server were there to be taken."""

    _waited: dict[str, float] = field(default_factory=dict)
    _doubted: frozenset[str] = frozenset()

    def untaken(
        self, known: Mapping[str, float], due: Sequence[WaitingRun], passed_s: float
    ) -> dict[str, float]:
        """Return the untaken runs, each with the time when it was due, in seconds since 1970.

        Args:
            known: the runs that were untaken at the last look.
            due: the runs that wait now; one that does not wait any more is forgotten.
            passed_s: the seconds since the last look in which the flow server could take runs.
        """
        self._waited = {run.run: self._waited.get(run.run, 0.0) + passed_s for run in due}
        self._doubted = frozenset(
            kind for run in due if (kind := _kind(run)) in self._doubted or run.run in known
        )
        return {
            run.run: known.get(run.run, run.at.timestamp())
            for run in due
            if run.run in known or self._waited[run.run] >= self._limit_s(run)
        }

    def begin_again(self) -> None:
        """Count anew, because what holds the runs may have changed."""
        self._waited = {}

    def _limit_s(self, run: WaitingRun) -> float:
        return AGAIN_S if _kind(run) in self._doubted else PATIENCE_S


def _kind(run: WaitingRun) -> str:
    """Return what a run has in common with those that the same limit holds."""
    return run.deployment or f"{run.pool}/{run.queue}"


@dataclass(frozen=True)
class Untaken:
    """A run that is overdue and is not taken.

    Args:
        run: its id.
        at: when it was due.
        deployment: the id of its deployment, if it has one.
        why: the likely reason, as the end of a sentence.
    """

    run: str
    at: datetime
    deployment: str | None
    why: str


async def explain_untaken(
    served: Served, untaken: Mapping[str, float], now: datetime, former: Collection[str] = ()
) -> list[Untaken]:
    """Return the untaken runs, and those that nobody gets, the earliest first.

    A pause holds them, or another queue, or they are of a deployment that nobody serves any more.

    Args:
        served: what the flow server polls for.
        untaken: its untaken runs, each with the time when it was due, in seconds since 1970.
        now: the time, with its zone.
        former: the ids of deployments that it served earlier, and nobody serves now.
    """
    import sqlalchemy as sa

    if not served:
        return []
    db = PROVIDE_DATABASE.load()()
    run, pool, queue = db.FlowRun, db.WorkPool, db.WorkQueue
    columns = (
        *(run.id, run.next_scheduled_start_time, run.deployment_id, run.state_name),
        *(pool.name, pool.is_paused, pool.concurrency_limit),
        *(queue.name, queue.is_paused, queue.concurrency_limit),
    )
    query = (
        with_pools(sa.select(*columns).select_from(run))
        .where(
            run.state_type == STATES.load().StateType.SCHEDULED,
            sa.or_(
                run.id.in_([UUID(each) for each in untaken]),
                _held(served, now),
                _left(former, now),
            ),
        )
        .order_by(run.next_scheduled_start_time)
        .limit(LIMIT)
    )
    async with db.session_context() as session:
        rows = (await session.execute(query)).all()
    found = []
    for each, at, deployment, state, *where in rows:
        since = untaken.get(str(each))
        due = datetime.fromtimestamp(since, UTC) if since else at
        is_left = str(deployment) in former and str(each) not in untaken
        why = NOT_SERVED if is_left else _reason(served, state, _Place(*where))
        found.append(Untaken(str(each), due, str(deployment) if deployment else None, why))
    return found


def _held(served: Served, now: datetime) -> Any:
    """Return the condition of a query: overdue in a pool, which hands it out to nobody."""
    import sqlalchemy as sa

    db = PROVIDE_DATABASE.load()()
    run, pool, queue = db.FlowRun, db.WorkPool, db.WorkQueue
    return sa.and_(
        run.next_scheduled_start_time < now - timedelta(seconds=HELD_S),
        run.deployment_id.not_in([UUID(each) for each in served.deployments]),
        pool.name.in_(sorted(served.pools)),
        sa.or_(
            pool.is_paused.is_(True),
            queue.is_paused.is_(True),
            *(
                sa.and_(pool.name == name, queue.name.not_in(sorted(queues)))
                for name, queues in served.queues.items()
            ),
        ),
    )


def _left(former: Collection[str], now: datetime) -> Any:
    """Return the condition of a query: overdue, of a deployment that nobody serves any more."""
    import sqlalchemy as sa

    run = PROVIDE_DATABASE.load()().FlowRun
    return sa.and_(
        run.next_scheduled_start_time < now - timedelta(seconds=HELD_S),
        run.deployment_id.in_([UUID(each) for each in former]),
        run.work_queue_id.is_(None),
    )


@dataclass(frozen=True)
class _Place:
    """The work pool and the queue of a run, as the database has them."""

    pool: str | None
    pool_is_paused: bool | None
    pool_limit: int | None
    queue: str | None
    queue_is_paused: bool | None
    queue_limit: int | None


def _reason(served: Served, state: str | None, place: _Place) -> str:
    """Return the likely reason why a run is not taken."""
    pool, queue = f"its work pool {place.pool}", f"its queue {place.queue} of {place.pool}"
    if state == AWAITS_SLOT:
        return "the concurrency limit of its deployment is used up"
    if place.pool in served.pools:
        if place.pool_is_paused:
            return f"{pool} is paused"
        if place.queue_is_paused:
            return f"{queue} is paused"
        if place.queue not in (polled := served.queues.get(place.pool, (place.queue,))):
            return f"{queue} is not polled, only {', '.join(sorted(map(str, polled)))}"
        for name, limit in ((pool, place.pool_limit), (queue, place.queue_limit)):
            if limit is not None:
                return f"{name} executes at most {limit} at a time"
    return "the flow server asks for work and does not take it; its log may say why"


def names_of(untaken: Collection[Untaken]) -> set[str]:
    """Return the deployments of untaken runs."""
    return {each.deployment for each in untaken if each.deployment}
