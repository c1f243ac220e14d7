"""Refuse what needs a host that does not answer Fly, with the way out if it stays dead. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roost.errors import UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine, Volume
from roost.plan.steps import Refusal

ANSWERS = ("", "ok")
"""What Fly says of a host that answers; some answers of Fly leave it out."""
WAIT = "Wait for Fly to repair it (status.flyio.net), then plan again."


def is_silent(one: Machine | Volume) -> bool:
    """Return whether the host of a machine or volume does not answer Fly."""
    return one.host_status not in ANSWERS


def silent_machine(environment: str, slot: str, machine: Machine) -> Refusal:
    """Refuse to change a machine whose host does not answer, and so its config is unknown."""
    destroy = f"`fly machine destroy {machine.id} --force`"
    volume = machine.mounted_volume
    again = (
        f"{destroy}, {_elsewhere(environment, volume)}"
        if volume
        else f"{destroy}, `{Command('apply', environment)}`."
    )
    return Refusal(
        f"machine/{slot}",
        f"the host of machine {machine.id} does not answer ({machine.host_status})",
        f"{WAIT} If it stays dead, put the server on another host: {again}",
    )


def silent_volume(environment: str, volume: Volume) -> Refusal:
    """Refuse a new machine on a volume whose host does not answer."""
    return Refusal(
        f"volume/{volume.name}",
        f"the host of the volume {volume.id} does not answer ({volume.host_status})",
        f"{WAIT} If it stays dead, put its data on another host: {_elsewhere(environment, volume.id)}",
    )


def check_answers(
    environment: str, machines: Mapping[str, Machine], volumes: Iterable[Volume] = ()
) -> None:
    """Check that the hosts of machines, by slot, and of volumes answer.

    Raises:
        UnappliableError: one does not.
    """
    found = [silent_machine(environment, slot, m) for slot, m in machines.items() if is_silent(m)]
    found += [silent_volume(environment, volume) for volume in volumes if is_silent(volume)]
    for refusal in found:
        raise UnappliableError(f"{refusal.what}.", where=environment, advice=refusal.advice)


def _elsewhere(environment: str, volume: str) -> str:
    backups, restore = Command("backups", environment), Command("restore", environment)
    return (
        f"`fly volumes destroy {volume}`, `{restore}`. That takes the newest snapshot, so look at "
        f"`{backups}` first: what was written after it is lost."
    )
