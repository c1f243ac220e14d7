"""Find machines on the app that no apply created, and conflicts with them. Pure.

Fly's proxy spreads the requests for a port over all machines of the app that serve it. So a new, empty
server beside an existing one would answer a part of its requests.
"""

from __future__ import annotations

from roost.environment.flow_units import split_name
from roost.errors import UnappliableError
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.plan.desired import ENVIRONMENT_KEY, VERSION_KEY, Desired, service_of
from roost.plan.live import Live
from roost.plan.ownership import candidate_volumes, is_ours, our_machines, slot_of
from roost.plan.steps import Json, PlanItem, Refusal


def foreign_machine_item(desired: Desired, live: Live, machine: Machine, *, back: bool) -> PlanItem:
    """Return a refusal or a warning for a machine that is not ours.

    A rollback is never refused for it, as that would leave a broken server.
    """
    key = f"machine/{slot_of(machine)}"
    if other := machine.metadata.get(ENVIRONMENT_KEY):
        return Refusal(
            key,
            f"the machine {machine.id} on this app belongs to the environment {other}",
            _former(other),
        )
    what = conflict(desired, live, machine)
    if what and not back:
        adopt = Command("import", desired.app, "--name", desired.environment)
        return Refusal(
            key,
            what,
            f"{_way_in(desired, live, machine)} Or keep this machine with its data: remove the file, and "
            f"write it anew with `{adopt}`.",
        )
    return (
        f"The machine {machine.id} ({machine.name}) on this app is not Roost's and is left alone."
    )


def _former(other: str) -> str:
    """Return the next step where an app belongs to another environment, or to a part of one."""
    environment, part = split_name(other)
    if not part:
        return (
            f"An app has one environment: name the file {other}.yaml again, or choose another app."
        )
    return (
        f"Put its section back into the file of {environment}, run "
        f"`{Command('destroy', other)}`, and remove the section; or choose another app."
    )


def conflict(desired: Desired, live: Live, machine: Machine) -> str:
    """Return why a server cannot run beside a foreign machine; empty if it can."""
    if not desired.machines or not _serves_our_ports(desired, machine):
        return ""
    who = f"the machine {machine.id} ({machine.name}), which Roost did not create,"
    if not machine.cordoned:
        return f"{who} serves this app, and each of two servers would get a part of the requests"
    if desired.volume is None or not machine.mounted_volume:
        return ""
    ours = our_machines(desired, live)
    if ours or candidate_volumes(desired.volume, live, ours):
        return ""  # a restore has brought the data
    return f"{who} holds data on the volume {machine.mounted_volume}, and the server would be empty"


def _serves_our_ports(desired: Desired, machine: Machine) -> bool:
    """Return whether a machine serves the ports of a Prefect server, cordoned or not."""
    ours = service_of(desired.machines[0].config)
    wanted = {port["port"] for port in ours.get("ports", ())}
    config = machine.config or machine.incomplete_config or {}
    return any(
        _has_port(port, wanted) or service.get("internal_port") == ours.get("internal_port")
        for service in config.get("services") or ()
        for port in service.get("ports") or ()
    )


def _has_port(port: Json, wanted: set[int]) -> bool:
    """Return whether a port or range of ports contains one of the wanted ports."""
    first = port.get("port") or port.get("start_port") or 0
    last = port.get("port") or port.get("end_port") or first
    return any(first <= number <= last for number in wanted)


def _way_in(desired: Desired, live: Live, machine: Machine) -> str:
    """Return the steps that move the data over, for the database that the file asks for."""
    rest = _rest(desired, machine)
    remove = f"`fly machine destroy {machine.id} -a {desired.app}`"
    if desired.volume is None:
        return (
            f"Set `database` in the file to the one that it uses. Then {rest}, and "
            f"`{Command('apply', desired.environment)}`. Once the new server works, {remove}."
        )
    if not machine.mounted_volume:
        return (
            "It has no volume. If its data is in a Postgres database, set that under `database`; data "
            f"on its own disk is lost when it stops. Then {rest}, and "
            f"`{Command('apply', desired.environment)}`. Once the new server works, {remove}."
        )
    size = next((v.size_gb for v in live.volumes if v.id == machine.mounted_volume), 0)
    grow = f"First set database.volume_gb to {size}. " if size > desired.volume.size_gb else ""
    return f"{grow}{_with_its_volume(desired, machine.mounted_volume, rest, remove)}"


def _with_its_volume(desired: Desired, volume: str, rest: str, remove: str) -> str:
    version = desired.machines[0].config["metadata"][VERSION_KEY]
    return (
        f"To bring its data over by hand: 1. {rest}. 2. `fly volumes snapshots create {volume}`, and "
        f"wait until `fly volumes snapshots list {volume}` says that it is created. "
        f"3. `{Command('restore', desired.environment, '--snapshot', 'ID')}`, with the ID from that list. The "
        f"database has to be prefect.db at the top of that volume, of Prefect {version} or older. "
        f"Once the new server works, {remove}. To start without its data, remove only the machine and its "
        f"volume (`fly volumes destroy {volume}`)."
    )


def check_alone(desired: Desired, live: Live) -> None:
    """Check that no foreign machine serves the app before anything is created.

    Raises:
        UnappliableError: one does; the message says how to stop it.
    """
    serving = (m for m in live.machines if not is_ours(m, desired) and not m.cordoned)
    for machine in serving:
        what = conflict(desired, live, machine)
        if what:
            raise UnappliableError(
                f"{what[0].upper()}{what[1:]}.",
                where=desired.environment,
                advice=f"First: {_rest(desired, machine)}. Nothing was changed.",
            )


def _rest(desired: Desired, machine: Machine) -> str:
    on_app = f"{machine.id} -a {desired.app}"
    return f"`fly machine cordon {on_app}` and `fly machine stop {on_app}`"
