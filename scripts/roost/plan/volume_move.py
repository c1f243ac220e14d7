"""Move a server's data from PostgreSQL to a new volume. Pure.

A machine keeps its mounts for life, so the server moves to a new machine with a volume, as in a restore
(plan/restore.py): that machine first copies the rows, then serves them. PostgreSQL is only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roost.errors import UnappliableError, UsageError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.backups import retained_entry, retained_volumes
from roost.plan.database_move import (
    BACK_COMMAND,
    MOVED_FROM,
    OF_COPY,
    copier_config,
    is_copier,
)
from roost.plan.desired import MOUNT_PATH, VERSION_KEY, Desired, named_database
from roost.plan.image import is_our_image
from roost.plan.live import Live
from roost.plan.ownership import with_volume
from roost.plan.releases import Release, current, draft, releases_on
from roost.plan.restore import JOURNAL_KEY, Journal, Restoring
from roost.plan.steps import Json, Plan, SetSecrets

_POSTGRES = "postgres"
_HOME = "PREFECT_HOME"
WHY = "the data came from PostgreSQL"
"""What the release record of a move says."""


def check_movable(desired: Desired, ours: Mapping[str, Machine], plan: Plan) -> None:
    """Check that the data can move to a volume.

    Args:
        desired: what the file asks for: a volume.
        ours: the live machines by slot.
        plan: what an apply would do.

    Raises:
        UsageError: no server here has its data in PostgreSQL.
        UnappliableError: it cannot move; nothing was changed.
    """
    machines = [m for m in ours.values() if named_database(m.config or {}) == _POSTGRES]
    if not machines:
        raise UsageError(
            "There is no server here whose data is in PostgreSQL.",
            where=desired.environment,
            advice=f"See what an apply would do: {Command('plan', desired.environment)}",
        )
    if refused := _refused(desired, [*ours.values()], plan):
        raise _unappliable(desired, *refused)


def takes_file(state: Restoring) -> bool:
    """Return whether a move that was interrupted goes on with the image and the config of the file."""
    served = state.new is not None and not is_copier(state.new.config)
    return not (served or state.proved or state.journal.why)


def check_resumable(desired: Desired, state: Restoring) -> None:
    """Check that the file still asks for what a move that was interrupted can give.

    Raises:
        UnappliableError: it asks for something else, too; nothing was changed.
    """
    if takes_file(state) and (refused := _changed(desired, state.old)):
        raise _unappliable(desired, *refused)


def _unappliable(desired: Desired, what: str, advice: str) -> UnappliableError:
    return UnappliableError(
        what, where=desired.environment, advice=f"{advice} Nothing was changed."
    )


def _refused(desired: Desired, machines: list[Machine], plan: Plan) -> tuple[str, str] | None:
    """Return why the data cannot move, and what to do; None if it can."""
    if len(machines) > 1:
        return (
            f"The server has {len(machines)} machines, and a volume belongs to one.",
            "Apply with one machine on PostgreSQL first: topology single, scaling.count 1.",
        )
    if changed := _changed(desired, machines[0]):
        return changed
    names = [name for s in plan.steps if isinstance(s, SetSecrets) for name in s.names]
    if names:
        command = Command("secrets", desired.environment, "--set")
        return (
            f"The secrets {', '.join(names)} are not set as the file asks.",
            f"Set them first: `{command}`.",
        )
    return None


def _changed(desired: Desired, machine: Machine) -> tuple[str, str] | None:
    """Return what else than the database the file changes, and what to do; None if nothing."""
    [wanted] = desired.machines
    runs, wants = machine.metadata.get(VERSION_KEY, ""), wanted.config["metadata"][VERSION_KEY]
    if not (is_our_image(wanted.config["image"]) and is_our_image((machine.config or {})["image"])):
        return (
            "Only the image that Roost builds can copy its database to a volume.",
            "Remove prefect.image and apply, then move the data.",
        )
    if runs != wants:
        return (
            f"The data would move and the version of Prefect change, from {runs} to {wants}.",
            f"Keep prefect.version {runs} for the move. Change the version afterwards.",
        )
    if machine.region != wanted.region:
        return (
            f"The machine is in {machine.region}, and the file asks for {wanted.region}.",
            f"Keep region {machine.region} for the move.",
        )
    return None


def served_config(desired: Desired, state: Restoring, volume: str, release: Release) -> Json:
    """Return the config with which the new machine serves from its volume."""
    config, old = with_volume(desired.machines[0].config, volume), state.old
    own = {k: v for k, v in old.metadata.items() if k not in (JOURNAL_KEY, *OF_COPY)}
    before = [old.mounted_volume] if old.mounted_volume else []
    kept = retained_entry([*retained_volumes([old]), *before])
    metadata = {**own, **kept, **config["metadata"], release.key: release.encoded()}
    return {**config, "metadata": metadata}


def filling_config(served: Json, old: Machine) -> Json:
    """Return the config with which the new machine copies the rows of the old one's PostgreSQL."""
    env = {**served["env"], **(old.config or {})["env"], _HOME: MOUNT_PATH}
    kept = {key: value for key, value in env.items() if key != MOVED_FROM}
    return copier_config({**served, "env": kept}, served["metadata"], BACK_COMMAND)


def move_release(desired: Desired, old: Machine, journal: Journal, git: str) -> Release:
    """Return the record of the release that serves from the volume."""
    known = releases_on([old])
    asked = draft(desired, Live(), known)
    assert asked is not None  # noqa: S101 - an environment with a volume has a machine
    now = current(known)
    secrets = now.secrets if now else asked.secrets
    return replace(asked, number=journal.number, git=git, at=journal.at, secrets=secrets, why=WHY)
