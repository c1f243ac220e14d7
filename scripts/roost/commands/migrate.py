"""`roost migrate`: move a server's data from its volume to PostgreSQL, or back; confirm the former."""

from __future__ import annotations

from roost.commands.migrate_to_volume import move_to_volume
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import PostgresDatabase
from roost.errors import ChangedMeanwhileError, ExitCode, UnappliableError, UsageError
from roost.errors.command import Command
from roost.operations.applying import apply_and_report, apply_planned
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.planning import Planned, make_plan, print_database_note
from roost.plan.database_move import is_moved, moving_machine
from roost.plan.desired import VOLUME_NAME
from roost.plan.live import read_live
from roost.plan.ownership import our_machines
from roost.plan.releases import current, releases_on
from roost.report.text import plan_report

_TARGET, _BACK = "postgres", "sqlite"
_EXAMPLE = "database: {backend: postgres, url_secret: DATABASE_URL}"


async def migrate(context: Context, name: str, *, to: str, local: bool, as_json: bool) -> ExitCode:
    """Move the data to what the file names; continue a move that was interrupted.

    Raises:
        UsageError: the file does not ask for that, or there is nothing to move.
        DatabaseMoveError: the database cannot be copied; the server has its former config back.
        GateError: the server failed its gate on PostgreSQL.
    """
    if to == _BACK:
        return await move_to_volume(context, name, local=local, as_json=as_json)
    if to != _TARGET:
        to_postgres, to_volume = (Command("migrate", name, "--to", t) for t in (_TARGET, _BACK))
        raise UsageError(
            "Data moves from a volume to PostgreSQL, or from PostgreSQL to a volume.",
            where=name,
            advice=f"Move it: `{to_postgres}`, or `{to_volume}`.",
        )
    file = _postgres_file(context, name)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
        ours = our_machines(planned.desired, planned.live)
        moved = [machine.mounted_volume for machine in ours.values() if is_moved(machine.config)]
        if not moved and moving_machine(planned.desired, ours) is None:
            raise UsageError(
                "There is no server here whose data is on a volume.",
                where=name,
                advice=f"See what an apply would do: {Command('plan', name)}",
            )
        context.progress.print(plan_report(planned.plan, planned.cost))
        print_database_note(context, planned)
        document = planned.document() if as_json else None
        await apply_and_report(context, target, planned, document)
        if not as_json:
            await _print_end(context, target, planned)
    return ExitCode.DONE


async def confirm(context: Context, name: str, *, volume: str, local: bool) -> ExitCode:
    """Replace a moved server's machine by one without a volume, prove it, and remove the volume.

    Raises:
        UsageError: no move kept that volume.
        UnappliableError: the move is not proved, or something else is left to apply.
        GateError: the new machine failed its gate; the volume is kept.
    """
    file = _postgres_file(context, name)
    async with connect(context, local=local) as target:
        await _check_confirmable(context, target, file, volume)
        planned = await make_plan(context, file, target, keep_volume=False)
        context.progress.print(plan_report(planned.plan, planned.cost))
        await apply_planned(context, target, planned)
        app = planned.desired.app
        live = await read_live(target.fly, app)
        if volume in {machine.mounted_volume for machine in live.machines}:
            raise ChangedMeanwhileError(
                f"A machine still mounts {volume}.",
                where=name,
                advice=f"See `{Command('status', name)}`, then run the same command again.",
            )
        await target.fly.delete_volume(app, volume)
    context.out.print(f"{volume} is removed. Its snapshots stay until Fly deletes them.")
    return ExitCode.DONE


def _postgres_file(context: Context, name: str) -> EnvironmentFile:
    file = load_environment(name, context.environments)
    if not isinstance(file.environment.database, PostgresDatabase):
        raise UsageError(
            "The file does not ask for PostgreSQL.",
            where=name,
            advice=f"Write `{_EXAMPLE}` into it, and list the secret. Then run this again.",
        )
    return file


async def _check_confirmable(
    context: Context, target: Target, file: EnvironmentFile, volume: str
) -> None:
    planned = await make_plan(context, file, target)
    ours = our_machines(planned.desired, planned.live)
    mounted = [m.mounted_volume for m in ours.values() if m.mounted_volume and is_moved(m.config)]
    # One that an interrupted `confirm` left.
    releases = releases_on(ours.values())
    mounts = [mount for r in releases for mount in r.config.get("mounts") or ()]
    names = {VOLUME_NAME, *(mount.get("name") for mount in mounts)}
    free = {v.id for v in planned.live.volumes if v.name in names and not v.attached_machine_id}
    release = current(releases)
    if planned.plan.steps or planned.plan.refusals or release is None or not release.was_proved:
        raise UnappliableError(
            "The server does not match its file, or its release is not proved.",
            where=file.name,
            advice=f"Apply first: {Command('apply', file.name)}. Nothing was changed.",
        )
    if volume not in mounted and volume not in free:
        kept = f"Kept volumes: {', '.join(mounted)}." if mounted else "No move kept one."
        raise UsageError(
            f"{volume} is not a volume that a move kept.", where=file.name, advice=kept
        )


async def _print_end(context: Context, target: Target, planned: Planned) -> None:
    """Print where the data is now, and how to end the move."""
    live = await read_live(target.fly, planned.desired.app)
    name = planned.file.name
    for machine in our_machines(planned.desired, live).values():
        if is_moved(machine.config):
            volume = machine.mounted_volume
            context.out.print(
                f"The data is in PostgreSQL and proved. The volume {volume} is kept as it was.\n"
                f"Once you have checked the server, remove it: {Command('migrate', name, '--confirm', volume)}",
                soft_wrap=True,
            )
