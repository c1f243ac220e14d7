"""Find subflows that lost the process of their parent, so that none stays Running that nobody runs.

A subflow that a flow calls runs in the process of its parent and has no deployment. A run that a
flow starts with `run_deployment` has a parent too, but a process of its own: it is no subflow here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from roost_server.due_runs import is_executed
from roost_server.prefect_internals import PROVIDE_DATABASE, STATES

ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
AT_ONCE = 500
"""The number of ids in one query; SQLite takes a limited number of variables."""


@dataclass(frozen=True)
class Orphan:
    """A subflow that is still executed by its state, although its parent ended.

    Args:
        run: its id.
        parent: the id of the run that called it.
        ended_at: when the parent ended.
    """

    run: str
    parent: str
    ended_at: datetime


async def find_orphans(runs: Collection[str]) -> list[Orphan]:
    """Return the orphans among these runs, and among the subflows that these runs called.

    A subflow of an orphan is none itself: its own parent did not end.
    """
    import sqlalchemy as sa
    from sqlalchemy.orm import aliased

    db, states = PROVIDE_DATABASE.load()(), STATES.load()
    child, parent = db.FlowRun, aliased(db.FlowRun)
    ended = [states.StateType[each] for each in sorted(ENDED)]
    found: dict[str, Orphan] = {}
    for ids in _chunks(runs):
        query = (
            _subflows(
                sa.select(
                    *(child.id, child.state_type, child.empirical_policy),
                    *(parent.id, parent.end_time, parent.updated),
                )
            )
            .join(parent, db.TaskRun.flow_run_id == parent.id)
            .where(
                child.state_type.not_in(ended),
                parent.state_type.in_(ended),
                sa.or_(child.id.in_(ids), parent.id.in_(ids)),
            )
        )
        async with db.session_context() as session:
            rows = await session.execute(query)
            for run, state, policy, of, ended_at, updated in rows.all():
                if is_executed(state, policy):
                    found[str(run)] = Orphan(str(run), str(of), ended_at or updated)
    return list(found.values())


async def subflows_of(runs: Collection[str]) -> list[str]:
    """Return the subflows of these runs that did not end, and theirs; the innermost come first."""
    import sqlalchemy as sa

    db = PROVIDE_DATABASE.load()()
    parents, known, active = set(runs), set(runs), []
    while parents:
        children = set()
        for ids in _chunks(parents):
            columns = db.FlowRun.id, db.FlowRun.state_type, db.FlowRun.empirical_policy
            query = _subflows(sa.select(*columns)).where(db.TaskRun.flow_run_id.in_(ids))
            async with db.session_context() as session:
                found = list((await session.execute(query)).all())
            children |= {str(run) for run, *_ in found} - known
            active += [str(run) for run, *rest in found if is_executed(*rest)]
        parents, known = children, known | children
    return list(dict.fromkeys(reversed(active)))


def _chunks(runs: Collection[str]) -> Iterator[list[UUID]]:
    ids = [UUID(run) for run in runs]
    for first in range(0, len(ids), AT_ONCE):
        yield ids[first : first + AT_ONCE]


def _subflows(query: Any) -> Any:
    """Restrict a query to subflows, joined with the task runs that stand for them."""
    db = PROVIDE_DATABASE.load()()
    return (
        query.select_from(db.FlowRun)
        .join(db.TaskRun, db.FlowRun.parent_task_run_id == db.TaskRun.id)
        .where(db.FlowRun.deployment_id.is_(None))
    )
