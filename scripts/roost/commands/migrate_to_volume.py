"""`roost migrate --to sqlite`: move a server's data from PostgreSQL to a new volume."""

from __future__ import annotations

import json

from roost.environment.load import load_environment
from roost.environment.model import SqliteDatabase
from roost.errors import ExitCode, UnappliableError, UsageError
from roost.errors.command import Command
from roost.operations.applying import volume_mover
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.images import ensure_image
from roost.operations.planning import make_plan
from roost.plan.ownership import our_machines
from roost.plan.restore import restoring
from roost.plan.volume_move import check_movable, check_resumable

_EXAMPLE = "database: {backend: sqlite, volume_gb: 1}"


async def move_to_volume(context: Context, name: str, *, local: bool, as_json: bool) -> ExitCode:
    """Move the data to a new volume; continue a move that was interrupted.

    Raises:
        UsageError: the file does not ask for a volume, or there is nothing to move.
        UnappliableError: the data cannot move; nothing was changed.
        DatabaseMoveError: it did not move; the server serves its PostgreSQL again.
        NotRolledBackError: neither the new machine nor the old one serves.
    """
    file = load_environment(name, context.environments)
    if not isinstance(file.environment.database, SqliteDatabase):
        raise UsageError(
            "The file does not ask for a volume.",
            where=name,
            advice=f"Write `{_EXAMPLE}` into it. Then run this again.",
        )
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
        under_way = restoring(planned.desired, planned.live)
        if under_way is None:
            ours = our_machines(planned.desired, planned.live)
            check_movable(planned.desired, ours, planned.plan)
        elif not under_way.journal.is_move:
            raise UnappliableError(
                f"Another change was interrupted: {under_way.journal.what}.",
                where=name,
                advice=f"Finish it first: {Command('apply', name)}",
            )
        else:
            check_resumable(planned.desired, under_way)
        await target.check_reach(file)
        await ensure_image(context, target, file, planned.image)
        async with volume_mover(context, target, planned) as mover:
            results = await mover.move()
    if as_json:
        identity = {"environment": name, "app": planned.desired.app}
        context.out.print_json(json.dumps({**identity, "gate": [vars(r) for r in results]}))
    else:
        context.out.print(
            "The data is on a new volume and proved. The PostgreSQL is as it was; the server no longer "
            "uses it. Once you have checked the server, drop that database, and remove the secret of its "
            "address.",
            soft_wrap=True,
        )
    return ExitCode.DONE
