"""List what a destroy removes, and find what an interrupted one left. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.errors import UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine, Volume
from roost.plan.adoption import check_adopted
from roost.plan.desired import VOLUME_NAME, Desired
from roost.plan.live import Live
from roost.plan.ownership import is_named, is_ours, slot_of
from roost.plan.restore import read_journal

LAST_KEPT_DAYS = 60
"""The longest retention that Fly offers (https://fly.io/docs/volumes/snapshots)."""


def losses(desired: Desired, live: Live) -> Iterator[str]:
    """List everything that is removed, one line each."""
    for machine in live.machines:
        yield f"machine {machine.id} ({machine.name}) in {machine.region}, {machine.state}"
    for volume in live.volumes:
        yield f"volume {volume.id} ({volume.name}), {volume.size_gb} GB in {volume.region}"
    for ip in live.ips:
        yield f"address {ip.ip} ({ip.kind})"
    if live.secrets:
        yield f"secrets {', '.join(sorted(secret.name for secret in live.secrets))}"
    if desired.volume is None:
        yield f"app {desired.app}"


def data_volumes(desired: Desired, live: Live) -> tuple[Volume, ...]:
    """Return the volumes that hold a database, retained ones too."""
    names = _volume_names(desired)
    return tuple(volume for volume in live.volumes if volume.name in names)


def _volume_names(desired: Desired) -> frozenset[str]:
    """Return the names that volumes of an environment have: its file's, and that of other files."""
    return frozenset({VOLUME_NAME, desired.volume.name if desired.volume else VOLUME_NAME})


def check_all_ours(desired: Desired, live: Live) -> None:
    """Check that every machine and volume of the app belongs to the environment.

    Raises:
        UnappliableError: the app has machines or volumes that no apply created or adopted, or it is
            unknown whether one did.
    """
    check_adopted(desired, live)
    _check_known(desired, live)
    names = _volume_names(desired)
    strange = [f"machine {m.id} ({m.name})" for m in live.machines if not is_ours(m, desired)]
    strange += [f"volume {v.id} ({v.name})" for v in live.volumes if v.name not in names]
    if strange:
        raise UnappliableError(
            f"The app has objects that this environment did not create: {', '.join(strange)}.",
            where=desired.environment,
            advice="Inspect and remove them with `fly` first. Nothing was changed.",
        )


def _check_known(desired: Desired, live: Live) -> None:
    """Check that Fly tells whether the machine that the file names was adopted."""
    silent = next((m for m in live.machines if m.config is None and is_named(m, desired)), None)
    if silent is not None:
        raise UnappliableError(
            f"The host of the machine {silent.id} does not answer, so whether Roost adopted it is unknown.",
            where=desired.environment,
            advice="Wait for Fly to repair it (status.flyio.net), then run this again. Nothing was changed.",
        )


def cordoned_notes(environment: str, machines: Iterable[Machine]) -> Iterator[str]:
    """Return a note for each cordoned machine; a restore under way is reported by the plan itself."""
    for machine in machines:
        if machine.cordoned and read_journal(machine) is None:
            yield (
                f"The machine {slot_of(machine)} ({machine.id}) is cordoned: it receives no "
                "requests, and none wakes it. An interrupted destroy leaves it so. To finish that: "
                f"{Command('destroy', environment)}. To serve again: {Command('apply', environment)}."
            )
