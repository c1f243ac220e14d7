"""`roost destroy`: remove a server after a last snapshot of its data."""

from __future__ import annotations

import json
import sys

import anyio

from roost.apply.command_deadline import in_time
from roost.apply.destroy import Destroyer, Last
from roost.apply.snapshots import Snapshots
from roost.apply.work import Work, lease_holder
from roost.environment.load import EnvironmentFile, load_unit
from roost.environment.model import AUTH_SECRET
from roost.environment.units import beside
from roost.errors import ExitCode, FlyForbiddenError, ProtectedError, UnappliableError, UsageError
from roost.errors.command import Command
from roost.operations.applying import proof_of
from roost.operations.context import Context
from roost.operations.flow_record import forget
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description
from roost.operations.orphaned_apps import left_flow_apps
from roost.operations.planning import Planned, make_plan
from roost.plan.destroy import LAST_KEPT_DAYS, check_all_ours, losses
from roost.prefect.object_counts import count_objects, counts_text
from roost.prefect.probe import Server

ROWS_LIMIT_S = 10.0


async def destroy(
    context: Context,
    name: str,
    *,
    confirm: str,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Remove a server after a last snapshot of its data.

    Raises:
        ProtectedError: its file protects it.
        UsageError: the app's name was not typed.
    """
    file = load_unit(name, context.environments)
    if file.environment.protected:
        raise ProtectedError(
            f"{name} is protected.",
            where=str(file.path),
            advice="Set protected to false in its file, merge that, then destroy it.",
        )
    if confirm and confirm != file.environment.app:
        raise _not_confirmed(file.environment.app)
    async with connect(context, local=local) as target:
        await _check_nothing_beside(context, target, file)
        planned = await make_plan(context, file, target)
        app, live = planned.desired.app, planned.live
        check_all_ours(planned.desired, live)
        lines = [*losses(planned.desired, live), *await _rows(context, target, planned)]
        if live.app is None or not lines:
            context.progress.print(f"Nothing of {name} is left to remove.")
            await _forget(context, target, file)
            return _print_result(context, planned, (), as_json=as_json)
        context.progress.print(f"This removes from {app}:")
        for line in lines:
            context.progress.print(f"  {line}", markup=False)
        _check_confirmed(context, app, confirm)

        def notice(text: str) -> None:
            context.progress.print(f"  {text}", markup=False)

        doing = lease_description("destroy", context.environ)
        async with in_time(name), lease_holder(target.fly, app, notice, doing) as leases:
            work = Work(target.fly, leases, {}, notice)
            snapshots = Snapshots(proof_of(context, target, planned, None), notice)
            last = await Destroyer(work, snapshots, planned.desired).destroy(live)
        await _forget(context, target, file)
    return _print_result(context, planned, last, as_json=as_json)


async def _check_nothing_beside(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Check that nothing that stands beside a server is left: it would go on without it.

    Raises:
        UnappliableError: names those that are, and how to remove them.
    """
    left = [unit for unit in beside(file) if await _is_left(target, unit)]
    if left:
        commands = ", ".join(
            f"`{Command('destroy', unit.name, '--confirm', unit.environment.app)}`" for unit in left
        )
        raise UnappliableError(
            f"Other apps of {file.name} exist: {', '.join(unit.name for unit in left)}.",
            where=file.name,
            advice=f"Remove them first: {commands}. Nothing was changed.",
        )
    if file.beside is None and (orphans := await _left_flow_apps(context, target, file)):
        commands = ", ".join(f"`fly apps destroy {app}`" for app in orphans)
        raise UnappliableError(
            f"Apps that are no longer in its file exist: {', '.join(orphans)}.",
            where=file.name,
            advice=f"They hold no data of the server. Remove them first: {commands}. Nothing was changed.",
        )


async def _is_left(target: Target, unit: EnvironmentFile) -> bool:
    """Return whether an app is there; that of a destroyed Redis stays, with its last snapshot alone."""
    app = unit.environment.app
    if await target.fly.get_app(app) is None:
        return False
    if unit.redis is None:
        return True
    return bool(await target.fly.list_machines(app) or await target.fly.list_volumes(app))


async def _left_flow_apps(
    context: Context, target: Target, file: EnvironmentFile
) -> tuple[str, ...]:
    try:
        return await left_flow_apps(file, target.fly)
    except FlyForbiddenError as error:
        context.progress.print(
            f"Flow servers that are no longer in its file were not searched: {error.what} Look for "
            f"apps that begin with {file.environment.app}-: fly apps list",
            markup=False,
            soft_wrap=True,
        )
        return ()


async def _forget(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Have the Prefect server forget a flow server, also one whose removal was cut short before that."""
    if file.flow is not None:
        await forget(context, target, file, file.flow)


def _check_confirmed(context: Context, app: str, confirm: str) -> None:
    """Check that the person confirmed with the app's name.

    Raises:
        UsageError: it was another name, or none.
    """
    given = confirm
    if not given and sys.stdin.isatty():
        context.progress.print(f"Type {app} to go on: ", end="")
        given = sys.stdin.readline().strip()
    if given != app:
        raise _not_confirmed(app)


def _not_confirmed(app: str) -> UsageError:
    return UsageError(
        "Nothing was removed.", advice=f"Confirm it by the app's name: --confirm {app}"
    )


async def _rows(context: Context, target: Target, planned: Planned) -> list[str]:
    """Return what data the server holds, if it is awake; a sleeping one is not woken for this."""
    if planned.file.beside:
        return []
    machines = planned.live.machines
    awake = [m for m in machines if m.state == "started" and not m.cordoned]
    public = planned.file.environment.access.public
    url = await target.app_url(planned.desired.app, public=public) if awake else ""
    if not url:
        return []
    auth = planned.values.found.get(AUTH_SECRET)
    rows: dict[str, int] = {}
    with anyio.move_on_after(ROWS_LIMIT_S):
        async with context.clients.prefect(url, ROWS_LIMIT_S) as http:
            rows = await count_objects(Server(http, auth))
    return [f"data: {counts_text(rows)}"] if rows else []


def _print_result(
    context: Context, planned: Planned, last: tuple[Last, ...], *, as_json: bool
) -> ExitCode:
    app, name = planned.desired.app, planned.file.name
    if as_json:
        document = {
            "environment": name,
            "app": app,
            "last_snapshots": [vars(found) for found in last],
        }
        context.out.print_json(json.dumps(document))
        return ExitCode.DONE
    for found in last:
        if planned.file.redis:
            context.out.print(
                f"The last snapshot of {found.volume} is {found.snapshot}. Fly keeps it for "
                f"{LAST_KEPT_DAYS} days, in the empty app {app}, which costs nothing.",
                soft_wrap=True,
            )
            continue
        which = "" if found.in_use else ", the volume from before a restore,"
        what = "To bring the server back" if found.in_use else "To bring that older data back"
        context.out.print(
            f"The last snapshot of {found.volume}{which} is {found.snapshot}. Fly keeps it for "
            f"{LAST_KEPT_DAYS} days, in the empty app {app}, which costs nothing.\n"
            f"{what}: {Command('restore', name, '--snapshot', found.snapshot)}",
            soft_wrap=True,
        )
    if planned.desired.volume is not None and planned.live.app is not None:
        context.out.print(
            f"To remove the app as well, and its snapshots with it: fly apps destroy {app}"
        )
    if planned.file.redis:
        context.out.print(
            f"Remove `redis` from {planned.file.path} too, or destroy the server: the next apply creates an "
            "empty Redis, and until then the server answers 503 to writes.",
            soft_wrap=True,
        )
        return ExitCode.DONE
    if planned.file.waker:
        context.out.print(
            f"Remove `waker` from {planned.file.path} too, and from the files that name it, or the next "
            "apply creates it again. Until then each of their servers stays awake for 15 minutes before it "
            "sleeps, as it cannot announce itself.",
            soft_wrap=True,
        )
        return ExitCode.DONE
    if planned.file.flow:
        context.out.print(
            f"Remove it from `flows` in {planned.file.path} too, or the next apply creates it again. "
            "Its deployments stay on the Prefect server until somebody deletes them there.",
            soft_wrap=True,
        )
        return ExitCode.DONE
    context.out.print(f"Remove {planned.file.path} too, or the next apply creates an empty server.")
    return ExitCode.DONE
