"""Verbs about backups: backup, backups, restore."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from roost.apply.snapshots import Snapshots
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET
from roost.errors import ExitCode, UsageError
from roost.fly.models import Volume
from roost.plan.backups import Backup, Rest
from roost.plan.ownership import find_volume, our_machines
from roost.report.text import status_table
from roost.verbs.changes import Planned, make_plan, proof_of, secret_values
from roost.verbs.context import Context
from roost.verbs.target import Target, connect

HOW_STILL = {
    Rest.HELD.value: "every row acknowledged before is in it",
    Rest.FLUSHED.value: "every row acknowledged before is in it",
    Rest.STOPPED.value: "nothing ran meanwhile",
    Rest.RUNNING.value: "as after a power cut: the last acknowledged rows may be missing",
}
MB = 10**6


@dataclass(frozen=True)
class Scene:
    """An environment with data on a volume, and what is needed to copy that."""

    planned: Planned
    snapshots: Snapshots

    @property
    def volume(self) -> Volume:
        """The volume in use.

        Raises:
            UsageError: there is none, or it is not clear which.
        """
        planned, wanted = self.planned, self.planned.desired.volume
        ours = our_machines(planned.desired, planned.live)
        volume = find_volume(wanted, planned.live, ours) if wanted else None
        if volume is None:
            raise UsageError(
                "There is no volume in use.",
                where=planned.file.name,
                advice=f"Look at `roost plan {planned.file.name}`.",
            )
        return volume

    async def backups(self) -> tuple[Backup, ...]:
        """Give every backup there is, the newest first."""
        ours = our_machines(self.planned.desired, self.planned.live)
        return await self.snapshots.list(ours.values())


async def look(context: Context, target: Target, file: EnvironmentFile) -> Scene:
    """Read what there is.

    Raises:
        UsageError: the environment keeps no data on a volume, or is not there yet.
        MissingSecretError: the server's login is nowhere.
    """
    planned = await make_plan(context, file, target)
    if planned.desired.volume is None:
        raise UsageError(
            "Its database is Postgres: whoever runs that has the backups.", where=file.name
        )
    if planned.live.app is None:
        raise UsageError(
            f"{planned.desired.app} does not exist yet.",
            where=file.name,
            advice=f"Create it: roost apply {file.name}",
        )
    # Nothing is set here: only the login is needed.
    needs = replace(planned, plan=replace(planned.plan, steps=()))
    auth = secret_values(context, target, needs).get(AUTH_SECRET)

    def notice(text: str) -> None:
        context.progress.print(f"  {text}", markup=False)

    return Scene(planned, Snapshots(proof_of(context, target, planned, auth), notice))


async def backup(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """Take a snapshot of the volume, with its database held still."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        scene = await look(context, target, file)
        machines = scene.planned.live.machines
        taken = await scene.snapshots.back_up(scene.volume.id, machines, "roost backup")
        [made] = [b for b in await scene.backups() if b.snapshot == taken.snapshot]
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
    local: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """List the snapshots: when, how large, until when they are kept, and why they were made."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        found = await (await look(context, target, file)).backups()
    if as_json:
        context.out.print_json(json.dumps([vars(backup) for backup in found]))
    elif not found:
        context.out.print(f"{name} has no backup yet. Make one: roost backup {name}")
    else:
        columns = ("snapshot", "made", "size", "state", "kept until", "why")
        context.out.print(status_table(columns, _rows(found)))
    return ExitCode.DONE


def _rows(found: Iterable[Backup]) -> Iterable[tuple[str, ...]]:
    for backup in found:
        why = f"{backup.why} ({backup.rest})" if backup.rest else backup.why
        size = f"{backup.size / MB:.1f} MB" if backup.at else "-"
        yield (
            backup.snapshot,
            backup.at or "-",
            size,
            backup.state,
            backup.kept_until or "-",
            why,
        )
