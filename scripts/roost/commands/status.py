"""`roost status`: show what runs now, and how it differs from the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import SqliteDatabase
from roost.environment.rehearsal import rehearsed
from roost.errors import ExitCode
from roost.errors.command import Command
from roost.fly.models import Machine
from roost.operations.context import Context
from roost.operations.fleet import read_fleet
from roost.operations.flow_state import flow_states
from roost.operations.fly_target import Target, connect
from roost.operations.server_state import (
    ServerState,
    exit_notes,
    last_exit,
    look_at,
    our_machines_in,
    verdict_notes,
)
from roost.operations.server_work import ask_work
from roost.plan.announced import Announced, announced_of
from roost.plan.awake_windows import window_state
from roost.plan.dead_host import is_silent
from roost.plan.desired import REPLICA_URL, VERSION_KEY
from roost.plan.desired_state import desired_state
from roost.plan.destroy import cordoned_notes
from roost.plan.disk_usage import used_percent
from roost.plan.effective import effective
from roost.plan.live import Live, read_live
from roost.plan.next_due import NextDue, as_of_now, next_due_of
from roost.plan.ownership import our_machines as our_machines_by_slot
from roost.plan.replica_state import replica_faults
from roost.plan.server_work import ServerWork
from roost.plan.volumes import compare_volumes
from roost.report.drift import BudgetFound, budget_line
from roost.report.due import asleep_notes, work_notes
from roost.report.fleet import budget_of
from roost.report.text import listing
from roost.report.waker import asleep_waker_note, awake_waker_note
from roost.report.windows import window_notes
from roost.report.wording import one_line, short_image


async def status(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
) -> ExitCode:
    """Show the machines, addresses, volume and override of an environment."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        if target.local is not None:
            file = rehearsed(file)
        live = await read_live(target.fly, file.environment.app)
        public = file.environment.access.public
        url = await target.app_url(file.environment.app, public=public) if live.app else ""
        state = await look_at(context, target, file, live, url)
        now = datetime.now(UTC)
        work, work_lines = await _work(context, target, file, live, state, now)
        flows = await flow_states(target, file)
        budget = await _budget(context, target, file, now)
    ours = our_machines_in(file, live)
    windows = window_state((machine.config for machine in ours), now)
    chosen = effective(file, live, now)
    faults = replica_faults(name, ours)
    healthy = state.healthy and not faults and all(flow.healthy for flow in flows)
    code = ExitCode.DONE if healthy else ExitCode.ERROR
    if as_json:
        override = chosen.override and chosen.override.document()
        known = {
            **_status_document(file, live, url),
            **state.document(),
            **work.document(),
            "windows": windows and {**windows.document(), "faults": list(work.window_faults)},
        }
        document = {
            **known,
            "override": override,
            "flows": [flow.document() for flow in flows],
            "budget": budget and budget.model_dump(mode="json"),
        }
        context.out.print_json(json.dumps(document))
        return code
    if live.app is None:
        context.out.print(
            f"{file.environment.app} does not exist yet. Create it: {Command('apply', name)}"
        )
        for note in (note for flow in flows if flow.machines for note in flow.notes()):
            context.out.print(one_line(note), markup=False, soft_wrap=True)
        return code
    alone = "" if file.environment.access.ui else " (the API alone: access.ui is false)"
    context.out.print(f"{name}: {url}{alone}", soft_wrap=True)
    context.out.print(state.sentence(), markup=False, soft_wrap=True)
    if live.machines:
        columns = ("machine", "id", "state", "last exit", "region", "Prefect", "image")
        theirs = (row for flow in flows for row in _machine_rows(flow.machines, flow.name))
        context.out.print(listing(columns, (*_machine_rows(live.machines), *theirs)))
    refused = (refusal.what for refusal in chosen.refusals)
    cordoned = cordoned_notes(name, ours)
    resources = (*_no_machine(file, live), *_addresses_and_volumes(file, live))
    standing = (*exit_notes(ours), *verdict_notes(name, state.release))
    inside = window_notes(name, windows, work.next_due, now, is_awake=_is_awake(ours))
    kept = (budget_line(budget),) if budget else ()
    running = (*work_lines, *inside, *kept, *(note for flow in flows for note in flow.notes()))
    notes = (*faults, *running, *standing, *resources, *replica_notes(file, live), *chosen.notes)
    for note in (*notes, *refused, *cordoned):
        context.out.print(one_line(note), markup=False, soft_wrap=True)
    return code


async def _work(  # noqa: PLR0913, PLR0917 - what is known of one server
    context: Context,
    target: Target,
    file: EnvironmentFile,
    live: Live,
    state: ServerState,
    now: datetime,
) -> tuple[ServerWork, tuple[str, ...]]:
    """Return the work of a server, with notes: asked of one that is awake, else as it left it."""
    if state.ready:
        work = await ask_work(context, target, file)
        return work, (*work_notes(work, now), *_awake_waker(file, work.waker))
    ours = our_machines_in(file, live)
    if _is_awake(ours):
        return ServerWork(), ()  # what it left before it woke says nothing now
    named, notes = next_due_of(ours)
    announced = announced_of(ours) if file.environment.waker else None
    due = as_of_now(named, now, ours) if named else None
    lines = asleep_notes(file.name, due, notes, now, _who_wakes(file, announced, due))
    return ServerWork(next_due=due, waker=announced), tuple(lines)


async def _budget(
    context: Context, target: Target, file: EnvironmentFile, now: datetime
) -> BudgetFound | None:
    """Return the month of an environment beside its budget; only one that has a budget is read for it."""
    if file.environment.budget is None:
        return None
    [row] = await read_fleet(context, target, [file], now)
    return budget_of(row, now)


def _is_awake(machines: Iterable[Machine]) -> bool:
    return any(machine.state == "started" for machine in machines)


def _awake_waker(file: EnvironmentFile, announced: Announced | None) -> Iterable[str]:
    waker = file.environment.waker
    if waker and (note := awake_waker_note(waker.app, announced)):
        yield note


def _who_wakes(file: EnvironmentFile, announced: Announced | None, due: NextDue | None) -> str:
    """Return the note on the waker of a sleeping server; empty without a waker."""
    waker = file.environment.waker
    return asleep_waker_note(file.name, waker.app, announced, due) if waker and due else ""


def _machine_rows(machines: Iterable[Machine], name: str = "") -> Iterable[tuple[str, ...]]:
    """Return a row for each machine; those of a flow server have its name."""
    for machine in machines:
        yield (
            name or machine.name,
            machine.id,
            _state_of(machine),
            last_exit(machine),
            machine.region,
            machine.metadata.get(VERSION_KEY, "-"),
            short_image(_image_of(machine)) or "-",
        )


def _state_of(machine: Machine) -> str:
    """Return the last known state, with what keeps requests away."""
    cordoned = ("cordoned",) if machine.cordoned else ()
    silent = (f"host {machine.host_status}",) if is_silent(machine) else ()
    return ", ".join((machine.state, *cordoned, *silent))


def _image_of(machine: Machine) -> str:
    return str((machine.config or {}).get("image", ""))


def _no_machine(file: EnvironmentFile, live: Live) -> Iterable[str]:
    """Return the note that no machine exists, with the next step."""
    if live.machines:
        return
    name = file.name
    if live.volumes or not isinstance(file.environment.database, SqliteDatabase):
        yield f"It has no machine. Make one: {Command('apply', name)}"
    else:
        yield (
            f"It has no machine and no volume. To bring back its data: "
            f"`{Command('restore', name, '--snapshot', 'ID')}` (`{Command('backups', name)}` lists them). To begin with an empty database: "
            f"`{Command('apply', name)}`."
        )


def _addresses_and_volumes(file: EnvironmentFile, live: Live) -> Iterable[str]:
    """Return the addresses and volumes, with those that cost money unused."""
    if live.ips:
        yield f"Addresses: {', '.join(f'{ip.ip} ({ip.kind})' for ip in live.ips)}."
    mounted = {m.mounted_volume: m.name for m in live.machines}
    for volume in live.volumes:
        user = mounted.get(volume.id)
        used = f"used by {user}" if user else "used by no machine"
        yield f"Volume {volume.id}: {volume.size_gb} GB in {volume.region}, {used}."
    desired = desired_state(file, "")  # the image does not matter here
    outcomes = compare_volumes(desired, live, our_machines_by_slot(desired, live))
    yield from (outcome for outcome in outcomes if isinstance(outcome, str))


def _status_document(file: EnvironmentFile, live: Live, url: str) -> dict[str, object]:
    return {
        "environment": file.name,
        "app": file.environment.app,
        "exists": live.app is not None,
        "url": url,
        "ui": file.environment.access.ui,
        "ips": [{"ip": ip.ip, "type": ip.kind} for ip in live.ips],
        "volumes": [
            {"id": v.id, "size_gb": v.size_gb, "state": v.state, "used_percent": used_percent(v)}
            for v in live.volumes
        ],
        "replica": {"live": live_replica(file, live), "wanted": wanted_replica(file)},
        "secrets": [secret.name for secret in live.secrets],
        "machines": [
            {
                "id": m.id,
                "name": m.name,
                "state": m.state,
                "region": m.region,
                "cordoned": m.cordoned,
                "last_exit": last_exit(m),
                "image": _image_of(m),
                "volume": m.mounted_volume or None,
            }
            for m in live.machines
        ],
    }


def live_replica(file: EnvironmentFile, live: Live) -> str | None:
    """Return the URL that the database is replicated to now; None if it is not."""
    for machine in our_machines_in(file, live):
        env = (machine.config or {}).get("env") or {}
        if url := env.get(REPLICA_URL):
            return str(url)
    return None


def wanted_replica(file: EnvironmentFile) -> str | None:
    """Return the URL that the file asks to replicate the database to; None if it does not."""
    database = file.environment.database
    replica = database.replicate if isinstance(database, SqliteDatabase) else None
    return replica.url if replica else None


def replica_notes(file: EnvironmentFile, live: Live) -> Iterable[str]:
    """Return notes on where the database is replicated to, and where the file asks for."""
    now, wanted = live_replica(file, live), wanted_replica(file)
    if now:
        yield f"The database is copied to {now} as it changes."
    if wanted and wanted != now:
        yield (
            f"The file asks for copies of the database in {wanted}, and nothing is copied there "
            f"yet: {Command('apply', file.name)}."
        )
