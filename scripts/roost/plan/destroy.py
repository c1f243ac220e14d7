"""What a destroy would remove, told before it begins. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.errors import UnappliableError
from roost.fly.models import Machine, Volume
from roost.plan.desired import VOLUME_NAME, Desired
from roost.plan.live import Live
from roost.plan.ownership import is_ours, slot_of
from roost.plan.restore import read_journal

LAST_KEPT_DAYS = 60
"""As long as Fly keeps any snapshot (https://fly.io/docs/volumes/snapshots)."""


def losses(desired: Desired, live: Live) -> Iterator[str]:
    """Name everything that goes, a line each."""
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


def data_volumes(live: Live) -> tuple[Volume, ...]:
    """Return the volumes that hold a database, kept ones too."""
    return tuple(volume for volume in live.volumes if volume.name == VOLUME_NAME)


def check_all_ours(desired: Desired, live: Live) -> None:
    """Refuse to remove what is somebody else's.

    Raises:
        UnappliableError: the app has machines or volumes that no apply made.
    """
    strange = [f"machine {m.id} ({m.name})" for m in live.machines if not is_ours(m, desired)]
    strange += [f"volume {v.id} ({v.name})" for v in live.volumes if v.name != VOLUME_NAME]
    if strange:
        raise UnappliableError(
            f"The app has what is not this environment's: {', '.join(strange)}.",
            where=desired.environment,
            advice="Look at it and remove it by hand first, with `fly`. Nothing was changed.",
        )


def cordoned_notes(environment: str, machines: Iterable[Machine]) -> Iterator[str]:
    """Name the cordoned machines; of a restore that is under way the plan tells more."""
    for machine in machines:
        if machine.cordoned and read_journal(machine) is None:
            yield (
                f"The machine {slot_of(machine)} ({machine.id}) is cordoned: nobody reaches it, and "
                "no request wakes it. A destroy that was cut short leaves it so. To go on with that: "
                f"roost destroy {environment}. To bring the server back: roost apply {environment}."
            )
