"""`roost backup`, `roost backups` and `roost restore`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from roost.apply.drill import Driller, rows_of
from roost.apply.restore import Restorer
from roost.apply.snapshots import Snapshots
from roost.apply.work import lease_holder
from roost.commands import postgres_backups
from roost.commands.postgres_backups import uses_postgres
from roost.environment.flow_units import split_name
from roost.environment.load import environment_names, load_environment
from roost.environment.model import AUTH_SECRET
from roost.environment.redis import NAME as REDIS
from roost.errors import (
    ChangedMeanwhileError,
    DrillFailedError,
    ExitCode,
    UnappliableError,
    UsageError,
)
from roost.errors.command import Command
from roost.fly.models import Machine, Volume
from roost.operations.applying import apply_planned, restorer_of
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.images import ensure_image
from roost.operations.lease_owner import lease_description
from roost.operations.notifier import telling
from roost.operations.planning import Planned, make_plan
from roost.plan.adoption import check_adopted
from roost.plan.backups import Backup, Rest, newest
from roost.plan.dead_host import check_answers
from roost.plan.drill_config import check_can_drill, drill_app
from roost.plan.foreign_machines import check_alone
from roost.plan.live import read_live
from roost.plan.ownership import candidate_volumes, find_volume, our_machines
from roost.plan.restore import goes_back, restoring
from roost.prefect.object_counts import counts_text
from roost.report.notice import drill_notice
from roost.report.text import listing
from roost.report.wording import short_time
from roost.secret_text import SecretText

HOW_STILL = {
    Rest.HELD.value: "it has every row acknowledged before",
    Rest.FLUSHED.value: "it has every row acknowledged before",
    Rest.STOPPED.value: "nothing ran meanwhile",
    Rest.RUNNING.value: "as after a power failure: the last acknowledged rows may be missing",
}
MB = 10**6


@dataclass(frozen=True)
class VolumeData:
    """An environment with data on a volume, and its snapshots and restorer."""

    planned: Planned
    restorer: Restorer

    @property
    def identity(self) -> dict[str, str]:
        """The environment and its app, for a JSON document."""
        return {"environment": self.planned.file.name, "app": self.planned.desired.app}

    @property
    def snapshots(self) -> Snapshots:
        """Takes and lists snapshots."""
        return self.restorer.snapshots

    @property
    def ours(self) -> dict[str, Machine]:
        """The environment's machines, by slot."""
        return our_machines(self.planned.desired, self.planned.live)

    @property
    def volume(self) -> Volume:
        """The volume in use.

        Raises:
            UsageError: there is none, or there are several.
        """
        planned, wanted = self.planned, self.planned.desired.volume
        volume = find_volume(wanted, planned.live, self.ours) if wanted else None
        if volume is None:
            raise UsageError(
                "There is no volume in use.",
                where=planned.file.name,
                advice=f"Look at `{Command('plan', planned.file.name)}`.",
            )
        return volume

    async def backups(self) -> tuple[Backup, ...]:
        """Return all backups, the newest first."""
        return await self.snapshots.list(self.ours.values())


@asynccontextmanager
async def open_volume_data(
    context: Context, name: str, *, local: bool
) -> AsyncIterator[tuple[VolumeData, Target]]:
    """Yield an environment's data and its Fly.

    Raises:
        UsageError: the environment does not exist yet.
        UnappliableError: its machine was made without Roost, and is not adopted yet.
        MissingSecretError: no source has the server's login.
    """
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        planned = await make_plan(context, file, target)
        if planned.live.app is None:
            raise UsageError(
                f"{planned.desired.app} does not exist yet.",
                where=name,
                advice=f"Create it: {Command('apply', name)}",
            )
        check_adopted(planned.desired, planned.live)
        async with restorer_of(context, target, planned) as restorer:
            yield VolumeData(planned, restorer), target


def _is_on_postgres(context: Context, name: str) -> bool:
    """Return whether an environment's database is a Postgres.

    Raises:
        UsageError: the name is that of a Redis, whose data is over by the time of a restore.
    """
    server, part = split_name(name)
    if part == REDIS and server in environment_names(context.environments):
        raise UsageError(
            "A Redis is neither backed up nor restored: it holds messages in flight and leases, which "
            "are over by the time of a restore. What lasts is in PostgreSQL.",
            where=name,
            advice=f"Back that up: {Command('backup', server)}",
        )
    return uses_postgres(context, name)


async def backup(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Take a snapshot of the volume while writes are frozen, or a dump of a Postgres."""
    if _is_on_postgres(context, name):
        return await postgres_backups.backup(context, name, as_json=as_json)
    async with open_volume_data(context, name, local=local) as (data, _):
        machines = data.planned.live.machines
        taken = await data.snapshots.back_up(data.volume.id, machines, "roost backup")
        [made] = [b for b in await data.backups() if b.snapshot == taken.snapshot]
    made = replace(made, why="roost backup", rest=taken.rest.value)
    if as_json:
        context.out.print_json(json.dumps(vars(made)))
    else:
        context.out.print(
            f"{made.snapshot}: {HOW_STILL[made.rest]}. Fly keeps it until {made.kept_until}."
        )
    return ExitCode.DONE


async def backups(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """List the snapshots: when, why, how large, and their expiry; or the dumps of a Postgres."""
    if _is_on_postgres(context, name):
        return await postgres_backups.backups(context, name, as_json=as_json)
    async with open_volume_data(context, name, local=local) as (data, _):
        found = await data.backups()
    if as_json:
        listed = {"backups": [vars(backup) for backup in found]}
        context.out.print_json(json.dumps({**data.identity, **listed}))
    elif not found:
        context.out.print(f"{name} has no backup yet. Make one: {Command('backup', name)}")
    else:
        columns = ("snapshot", "made", "size", "state", "kept until")
        context.out.print(listing(columns, _rows(found), words="why"))
    return ExitCode.DONE


def _rows(found: Iterable[Backup]) -> Iterable[tuple[str, ...]]:
    for backup in found:
        why = f"{backup.why} ({backup.rest})" if backup.rest else backup.why
        size = f"{backup.size / MB:.1f} MB" if backup.at else "-"
        yield (
            backup.snapshot,
            short_time(backup.at),
            size,
            backup.state,
            short_time(backup.kept_until),
            why,
        )


async def restore(
    context: Context,
    name: str,
    *,
    snapshot: str,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Restore a snapshot on a new volume, proved before the old machine goes; or a dump beside a Postgres."""
    if _is_on_postgres(context, name):
        return await postgres_backups.restore(context, name, dump=snapshot, as_json=as_json)
    async with open_volume_data(context, name, local=local) as (data, target):
        planned = data.planned
        await target.check_reach(planned.file)
        if not data.ours:
            return await _restore_from_nothing(context, data, target, snapshot, as_json=as_json)
        check_answers(name, data.ours)
        under_way = restoring(planned.desired, planned.live)
        if under_way and under_way.journal.is_move:
            raise UnappliableError(
                f"Another change was interrupted: {under_way.journal.what}.",
                where=name,
                advice=f"Finish it first: {Command('apply', name)}",
            )
        wanted = snapshot or (under_way.journal.snapshot if under_way else "")
        chosen = choose(await data.backups(), wanted, name)
        made = f" of {chosen.at} ({chosen.why})" if chosen.at else ""
        context.progress.print(f"Restoring {chosen.snapshot}{made}", markup=False)
        machine = under_way.old if under_way else next(iter(data.ours.values()))
        if goes_back(chosen, machine, planned.desired):  # its image may be missing in the registry
            await ensure_image(context, target, planned.file, planned.image)
        old = machine.mounted_volume or data.volume.id
        results = await data.restorer.restore(chosen)
    if as_json:
        document = {**data.identity, "snapshot": chosen.snapshot, "kept_volume": old}
        context.out.print_json(json.dumps({**document, "gate": [vars(r) for r in results]}))
    else:
        context.out.print(
            f"{chosen.snapshot} is restored and proved. The previous volume, {old}, is kept.\n"
            f"Once you have checked the server, remove it: {Command('restore', name, '--confirm', old)}"
        )
    return ExitCode.DONE


def choose(found: Iterable[Backup], snapshot: str, name: str) -> Backup:
    """Return the requested backup, or the newest; Fly may have a snapshot that it does not list.

    Raises:
        UsageError: it is not usable, or there is none.
    """
    listed = tuple(found)
    chosen = (
        next((b for b in listed if b.snapshot == snapshot), None) if snapshot else newest(listed)
    )
    if chosen is None and snapshot:
        return Backup(snapshot, "", "", 0, 0, "not listed", "", "", "")
    if chosen is None or not chosen.usable:
        what = f"The snapshot {snapshot} is {chosen.state}." if chosen else "There is no backup."
        raise UsageError(what, where=name, advice=f"See the list: {Command('backups', name)}")
    return chosen


async def drill(
    context: Context,
    name: str,
    *,
    snapshot: str,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Restore into a temporary app beside the server, prove it, and remove it.

    Raises:
        DrillFailedError: the restored server failed its gate.
        DumpError: the dump of a Postgres cannot be restored.
    """
    with telling(context, name, drill_notice, local=local):
        if _is_on_postgres(context, name):
            return await postgres_backups.drill(context, name, dump=snapshot, as_json=as_json)
        return await _drill_volume(context, name, snapshot=snapshot, local=local, as_json=as_json)


async def _drill_volume(
    context: Context, name: str, *, snapshot: str, local: bool, as_json: bool
) -> ExitCode:
    began = time.monotonic()
    async with open_volume_data(context, name, local=local) as (data, target):
        desired = data.planned.desired
        check_can_drill(desired)
        chosen = choose(await data.backups(), snapshot, name)
        context.progress.print(f"Trying {chosen.snapshot} of {chosen.at}", markup=False)
        machine = next(iter(data.ours.values()), None)
        if machine is not None:
            await data.snapshots.check_database(machine)
        awake = machine is not None and machine.state == "started"
        live_rows = await rows_of(data.snapshots.proof) if awake else {}
        app = drill_app(desired.app)
        proof = replace(
            data.snapshots.proof,
            app=app,
            find_url=partial(target.app_url, app, public=True),
            auth=SecretText(context.clients.make_value(AUTH_SECRET)),
        )
        notice = data.restorer.work.notice
        doing = lease_description("restore --drill", context.environ)
        async with lease_holder(target.fly, app, notice, doing) as leases:
            work = replace(data.restorer.work, leases=leases)
            drilled = await Driller(work, proof, desired).drill(chosen, machine)
    seconds = round(time.monotonic() - began, 1)
    if not drilled.judged.good:
        raise DrillFailedError(
            f"The backup {chosen.snapshot} cannot be restored: {drilled.judged.why}",
            where=name,
            advice=f"Make another one and drill that: {Command('backup', name)}. The server was not touched.",
        )
    if as_json:
        document = {"snapshot": chosen.snapshot, "at": chosen.at, "seconds": seconds}
        rows = {"rows": drilled.rows, "live_rows": live_rows}
        gate = [vars(result) for result in drilled.judged.results]
        context.out.print_json(json.dumps({**data.identity, **document, **rows, "gate": gate}))
    else:
        beside = (
            f"; the server has {counts_text(live_rows)}" if live_rows else "; the server sleeps"
        )
        context.out.print(
            f"{chosen.snapshot} of {chosen.at} was restored and proved in {seconds} s, with "
            f"{counts_text(drilled.rows) or 'no rows reported'}{beside}."
        )
    return ExitCode.DONE


async def _restore_from_nothing(
    context: Context, data: VolumeData, target: Target, snapshot: str, *, as_json: bool
) -> ExitCode:
    """Restore without a machine, such as after `roost destroy`: make the volume, then apply."""
    planned, name = data.planned, data.planned.file.name
    wanted = planned.desired.volume
    found = candidate_volumes(wanted, planned.live, {}) if wanted else ()
    check_answers(name, {}, found)
    if wanted is None or found:
        raise UsageError(
            "There is a volume, but no machine.",
            where=name,
            advice=f"Make a machine for it first: {Command('apply', name)}",
        )
    check_alone(planned.desired, planned.live)
    chosen = choose(await data.backups(), snapshot, name)
    volume = await data.restorer.make_first_volume(chosen, planned.plan)
    again = await make_plan(context, planned.file, target)
    results = await apply_planned(context, target, again)
    await check_mounted(target, planned, volume)
    if as_json:
        document = {**data.identity, "snapshot": chosen.snapshot, "kept_volume": None}
        context.out.print_json(json.dumps({**document, "gate": [vars(r) for r in results]}))
    else:
        context.out.print(f"{chosen.snapshot} is restored and proved.")
    return ExitCode.DONE


async def check_mounted(target: Target, planned: Planned, volume: str) -> None:
    """Check that the server mounts the restored volume.

    Raises:
        ChangedMeanwhileError: it mounts another one.
    """
    live = await read_live(target.fly, planned.desired.app)
    ours = our_machines(planned.desired, live).values()
    if volume not in {machine.mounted_volume for machine in ours}:
        raise ChangedMeanwhileError(
            f"Somebody else applied meanwhile: the server is not on the restored volume {volume}.",
            where=planned.file.name,
            advice=f"Decide which data you want: {Command('plan', planned.file.name)}, {Command('status', planned.file.name)}.",
        )


async def confirm(context: Context, name: str, *, volume: str, local: bool) -> ExitCode:
    """Remove the old volume that a restore kept."""
    if _is_on_postgres(context, name):
        raise postgres_backups.nothing_to_confirm(context, name)
    async with open_volume_data(context, name, local=local) as (data, _):
        machines = list(data.ours.values())
        if not machines or restoring(data.planned.desired, data.planned.live):
            raise UsageError(
                "There is no finished restore here.",
                where=name,
                advice=f"Look at `{Command('plan', name)}`.",
            )
        await data.restorer.confirm(volume, machines[0])
    context.out.print(f"{volume} is removed. Its snapshots stay until Fly deletes them.")
    return ExitCode.DONE
