"""Verbs about a server that is there: smoke, status, sleep, wake."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from roost.apply.late_proof import mark_proved
from roost.environment.load import EnvironmentFile, load_environment
from roost.environment.model import AUTH_SECRET, SqliteDatabase
from roost.environment.rehearsal import rehearsed
from roost.errors import ExitCode, FlyError, SmokeFailedError, UnappliableError, UsageError
from roost.fly.models import Machine
from roost.operations.context import Context
from roost.operations.database_proof import last_error_of, prove_database
from roost.operations.fly_target import Target, connect
from roost.operations.secret_sources import given_values, with_made_login
from roost.operations.server_state import (
    ASLEEP,
    exit_notes,
    last_exit,
    look_at,
    our_machines_in,
    ready_advice,
    tell_standing,
    until_ok,
    verdict_notes,
)
from roost.plan.cordoned import cordoned_notes
from roost.plan.desired import ENVIRONMENT_KEY, REPLICA_URL, VERSION_KEY, desired_state
from roost.plan.disk_usage import used_percent
from roost.plan.effective import effective
from roost.plan.image import is_our_image
from roost.plan.live import Live, read_live
from roost.plan.ownership import our_machines as our_machines_by_slot
from roost.plan.releases import releases_on
from roost.plan.volumes import volume_outcomes
from roost.prefect.client_versions import advise_clients
from roost.prefect.gate_pages import quoted
from roost.prefect.probe import CheckResult, Server, prove, select_checks
from roost.prefect.transport import prefect_client
from roost.prefect.write_freeze import NotHeldError, NothingToHoldError, held
from roost.report.text import check_line, listing
from roost.report.wording import one_line, short_image, unproved_notes
from roost.secret_text import SecretText

PROBE_TIMEOUT_S = 90.0
READY_LIMIT_S = 20.0
"""So long a database may take to answer once the process does."""
STATE_LIMIT_S = 60


@dataclass(frozen=True)
class Subject:
    """What `smoke` is to look at."""

    url: str
    version: str
    auth: SecretText | None
    made_up: bool = False
    """Whether nobody set the login here: it was made up for the local Fly."""
    target: Target | None = None
    file: EnvironmentFile | None = None
    """The environment, and its Fly; None of a mere address."""


async def smoke(  # noqa: PLR0913, PLR0917 - one argument an option
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    version: str,
    stock: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """Run the checks of the gate against a URL or an environment.

    Raises:
        SmokeFailedError: at least one check failed.
    """
    async with subject_of(context, name, version, local=local) as subject:
        results = [
            result async for result in _results(context, subject, stock=stock, quiet=as_json)
        ]
        is_good = all(result.ok for result in results)
        if is_good:
            await tell_proved(context, subject)
        said = "" if is_good else await last_error_of(subject.url, subject.auth)
    if subject.auth and not as_json and (advice := _about_clients(results)):
        context.out.print(advice, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        context.out.print_json(
            json.dumps(
                {
                    "url": subject.url,
                    "ok": is_good,
                    "checks": [vars(result) for result in results],
                    "last_error": said,
                }
            )
        )
    failed = [result.name for result in results if not result.ok]
    if failed:
        raise SmokeFailedError(
            f"{subject.url}: {', '.join(failed)} failed.{quoted(said)}",
            advice="Each failed check says what to do.",
        )
    return ExitCode.DONE


def _about_clients(results: Sequence[CheckResult]) -> str:
    """Return which clients work with the server that was looked at; empty where that is not known."""
    found = [result.detail for result in results if result.name == "version" and result.ok]
    return advise_clients(found[0].removeprefix("Prefect ")) if found else ""


async def tell_proved(context: Context, subject: Subject) -> None:
    """Write into the release that it is proved, where it was not; a token may not be allowed to."""
    if subject.target is None or subject.file is None:
        return
    name, app = subject.file.name, subject.file.environment.app
    try:
        proved = await mark_proved(subject.target.fly, app, name)
    except FlyError as error:
        context.progress.print(
            f"It is good, and its release stays unproved: {one_line(str(error))}",
            markup=False,
            soft_wrap=True,
        )
        return
    if proved:
        context.progress.print(f"Release {proved.number} was unproved, and is good now.")


async def _results(
    context: Context, subject: Subject, *, stock: bool, quiet: bool
) -> AsyncIterator[CheckResult]:
    async with prefect_client(subject.url, PROBE_TIMEOUT_S) as http:
        backend = subject.file.environment.database.backend if subject.file else ""
        server = Server(
            http, subject.auth, subject.version, made_up=subject.made_up, database=backend
        )
        checks = select_checks(login=subject.auth is not None, stock=stock)
        async for result in prove(server, checks, time.monotonic):
            if not quiet:
                context.out.print(check_line(result))
            yield result


@asynccontextmanager
async def subject_of(
    context: Context, name: str, version: str, *, local: bool
) -> AsyncIterator[Subject]:
    """Read a URL as it is, or find the address and the login of an environment."""
    auth = context.environ.get(AUTH_SECRET)
    if name.startswith(("http://", "https://")):
        yield Subject(name, version, SecretText(auth) if auth else None)
        return
    file = load_environment(name, context.environments)
    environment = file.environment
    async with connect(context, local=local) as target:
        await target.check_reach(file)
        url = await target.app_url(environment.app, public=environment.access.public)
        if not url:
            raise UsageError(
                f"{environment.app} is not on the local Fly.",
                advice=f"Apply it: roost apply {name} --local",
            )
        yield environment_subject(context, file, target, url, version)


def environment_subject(
    context: Context, file: EnvironmentFile, target: Target, url: str, version: str = ""
) -> Subject:
    """Return an environment's server with the login that is here for it."""
    environment, auth = file.environment, context.environ.get(AUTH_SECRET)
    given = given_values(context, file)
    values = with_made_login(context, file, target, given)
    secret = values.found.get(AUTH_SECRET) or (SecretText(auth) if auth else None)
    wanted = secret if environment.access.auth == "basic" else None
    made_up = AUTH_SECRET in values.found and AUTH_SECRET not in given.found
    return Subject(url, version or environment.prefect.version, wanted, made_up, target, file)


async def status(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """Show the machines, addresses and volume of an environment, and an override if there is one."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        if target.local is not None:
            file = rehearsed(file)
        live = await read_live(target.fly, file.environment.app)
        public = file.environment.access.public
        url = await target.app_url(file.environment.app, public=public) if live.app else ""
        state = await look_at(target, file, live, url)
    chosen = effective(file, live, datetime.now(UTC))
    code = ExitCode.DONE if state.good else ExitCode.ERROR
    if as_json:
        override = chosen.override and chosen.override.document()
        document = {**_status_document(file, live, url), **state.document(), "override": override}
        context.out.print_json(json.dumps(document))
        return code
    if live.app is None:
        context.out.print(
            f"{file.environment.app} does not exist yet. Create it: roost apply {name}"
        )
        return ExitCode.DONE
    context.out.print(f"{name}: {url}", soft_wrap=True)
    context.out.print(state.told(), markup=False, soft_wrap=True)
    if live.machines:
        columns = ("machine", "id", "state", "last exit", "region", "Prefect", "image")
        context.out.print(listing(columns, _machine_rows(live)))
    refused = (refusal.what for refusal in chosen.refusals)
    cordoned = cordoned_notes(name, our_machines_in(file, live))
    belongings = (*_no_machine(file, live), *_belongings(file, live))
    standing = (*exit_notes(our_machines_in(file, live)), *verdict_notes(name, state.release))
    notes = (*standing, *belongings, *replica_notes(file, live), *chosen.notes)
    for note in (*notes, *refused, *cordoned):
        context.out.print(one_line(note), markup=False, soft_wrap=True)
    return code


def _machine_rows(live: Live) -> Iterable[tuple[str, ...]]:
    for machine in live.machines:
        yield (
            machine.name,
            machine.id,
            f"{machine.state}, cordoned" if machine.cordoned else machine.state,
            last_exit(machine),
            machine.region,
            machine.metadata.get(VERSION_KEY, "-"),
            short_image(_image_of(machine)) or "-",
        )


def _image_of(machine: Machine) -> str:
    return str((machine.config or {}).get("image", ""))


def _no_machine(file: EnvironmentFile, live: Live) -> Iterable[str]:
    """Report that nothing runs, and how something does again."""
    if live.machines:
        return
    name = file.name
    if live.volumes or not isinstance(file.environment.database, SqliteDatabase):
        yield f"It has no machine. Make one: roost apply {name}"
    else:
        yield (
            f"It has no machine and no volume. To bring back its data: `roost restore {name} --snapshot "
            f"ID` (`roost backups {name}` lists them). To begin with an empty database: "
            f"`roost apply {name}`."
        )


def _belongings(file: EnvironmentFile, live: Live) -> Iterable[str]:
    """Name the addresses and the volumes, and what of them costs money without being used."""
    if live.ips:
        yield f"Addresses: {', '.join(f'{ip.ip} ({ip.kind})' for ip in live.ips)}."
    mounted = {m.mounted_volume: m.name for m in live.machines}
    for volume in live.volumes:
        user = mounted.get(volume.id)
        used = f"used by {user}" if user else "used by no machine"
        yield f"Volume {volume.id}: {volume.size_gb} GB in {volume.region}, {used}."
    desired = desired_state(file, "")  # what runs is of no interest here
    told = volume_outcomes(desired, live, our_machines_by_slot(desired, live))
    yield from (outcome for outcome in told if isinstance(outcome, str))


def _status_document(file: EnvironmentFile, live: Live, url: str) -> dict[str, object]:
    return {
        "environment": file.name,
        "app": file.environment.app,
        "exists": live.app is not None,
        "url": url,
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
    """Return where the database is copied to now; None where it is not copied."""
    for machine in our_machines_in(file, live):
        env = (machine.config or {}).get("env") or {}
        if url := env.get(REPLICA_URL):
            return str(url)
    return None


def wanted_replica(file: EnvironmentFile) -> str | None:
    """Return where the file asks for the database to be copied to."""
    database = file.environment.database
    replica = database.replicate if isinstance(database, SqliteDatabase) else None
    return replica.url if replica else None


def replica_notes(file: EnvironmentFile, live: Live) -> Iterable[str]:
    """Return where the database is copied to, and where that is not what the file asks for."""
    now, wanted = live_replica(file, live), wanted_replica(file)
    if now:
        yield f"The database is copied to {now} as it changes."
    if wanted and wanted != now:
        yield (
            f"The file asks for copies of the database in {wanted}, and nothing is copied there "
            f"yet: roost apply {file.name}."
        )


async def sleep(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - see status
    as_json: bool,  # noqa: FBT001 - see status
) -> ExitCode:
    """Put every machine of an environment to sleep the way its file says."""
    file = load_environment(name, context.environments)
    how = file.environment.scaling.autostop
    if how == "off":
        raise UnappliableError(
            f"{name} never sleeps: its autostop is off.",
            advice="Set scaling.autostop to suspend or stop and apply.",
        )
    laid: list[dict[str, object]] = []
    async with connect(context, local=local) as target:
        for machine in await our_machines(target, file):
            state, seconds = machine.state, 0.0
            told = f"sleeps already: {state}."
            if state not in ASLEEP:
                began = time.monotonic()
                if how == "suspend" and keeps_in_memory(file, machine):
                    await empty_memory(context, target, file)
                state = await lay_down(target, file.environment.app, machine, how)
                seconds = round(time.monotonic() - began, 2)
                told = f"{state} in {seconds:.2f} s. A request wakes it."
            laid.append({"id": machine.id, "state": state, "seconds": seconds})
            if not as_json:
                context.out.print(f"{machine.id} {told}")
    if as_json:
        document = {"environment": name, "app": file.environment.app, "machines": laid}
        context.out.print_json(json.dumps(document))
    return ExitCode.DONE


def keeps_in_memory(file: EnvironmentFile, machine: Machine) -> bool:
    """Return whether a machine runs a server that answers before what it was given is on its disk."""
    return (
        machine.state == "started"
        and isinstance(file.environment.database, SqliteDatabase)
        and is_our_image(str((machine.config or {}).get("image", "")))
    )


async def empty_memory(context: Context, target: Target, file: EnvironmentFile) -> None:
    """Have what was written last put onto the disk, as the server does before it sleeps by itself.

    A change drops the memory of a suspended machine. The hold ends before the machine is suspended:
    one that resumes with it would keep writers waiting.
    """
    url = await target.app_url(file.environment.app, public=file.environment.access.public)
    given = given_values(context, file)
    login = with_made_login(context, file, target, given).found.get(AUTH_SECRET)
    auth = login if file.environment.access.auth == "basic" else None
    try:
        async with prefect_client(url, PROBE_TIMEOUT_S) as http, held(http, auth):
            pass
    except NothingToHoldError as reason:
        context.progress.print(
            f"Its data is not on its volume: {reason}. See what to do: roost smoke {file.name}",
            markup=False,
            soft_wrap=True,
        )
    except NotHeldError as reason:
        context.progress.print(
            f"Its database was not emptied onto the disk ({reason}): what was written in the last half "
            f"minute is safe once it woke. Before you change it, wake it: roost wake {file.name}",
            markup=False,
            soft_wrap=True,
        )


async def lay_down(
    target: Target, app: str, machine: Machine, how: Literal["suspend", "stop"]
) -> str:
    """Put a machine to sleep, and return the state it is in then."""
    act = target.fly.suspend_machine if how == "suspend" else target.fly.stop_machine
    goal = "suspended" if how == "suspend" else "stopped"
    await act(app, machine.id)
    await target.fly.wait_machine(app, machine.id, goal, STATE_LIMIT_S, version=machine.instance_id)
    return goal


async def wake(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - see status
    as_json: bool,  # noqa: FBT001 - see status
) -> ExitCode:
    """Wake an environment the way its users do, with a request, and time the answer."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        await our_machines(target, file)
        await target.check_reach(file)
        url = await target.app_url(file.environment.app, public=file.environment.access.public)
        seconds = await time_request(url)
        if as_json:
            document = {"environment": name, "app": file.environment.app, "url": url}
            context.out.print_json(json.dumps({**document, "seconds": round(seconds, 2)}))
        else:
            context.out.print(f"{name} answers after {seconds:.2f} s: {url}", soft_wrap=True)
        subject = environment_subject(context, file, target, url)
        await prove_database(url, subject.auth, file.environment.database.backend)
        await prove_woken(context, subject)
        await tell_standing(context, target, file)
    return ExitCode.DONE


async def prove_woken(context: Context, subject: Subject) -> None:
    """Prove a server whose live release is unproved, as `smoke` does; without its login, say so.

    Raises:
        SmokeFailedError: at least one check failed.
    """
    assert subject.file is not None  # noqa: S101 - it is made of an environment
    assert subject.target is not None  # noqa: S101 - see above
    environment = subject.file.environment
    live = await read_live(subject.target.fly, environment.app)
    releases = releases_on(our_machines_in(subject.file, live))
    if not list(unproved_notes(subject.file.name, releases)):
        return
    if subject.auth is None and environment.access.auth == "basic":
        context.progress.print(
            f"Its release stays unproved, because the value of {AUTH_SECRET} is not here.",
            soft_wrap=True,
        )
        return
    stock = bool(environment.prefect.image)
    results = [result async for result in _results(context, subject, stock=stock, quiet=True)]
    if failed := [result for result in results if not result.ok]:
        said = quoted(await last_error_of(subject.url, subject.auth))
        raise SmokeFailedError(
            f"{subject.url} is awake, and no good: {failed[0].name}: {failed[0].detail}.{said}",
            advice=failed[0].advice,
        )
    await tell_proved(context, subject)


async def our_machines(target: Target, file: EnvironmentFile) -> tuple[Machine, ...]:
    """Return an environment's machines.

    Raises:
        UsageError: there is none.
    """
    app = await target.fly.get_app(file.environment.app)
    found = (
        await target.fly.list_machines(file.environment.app, {ENVIRONMENT_KEY: file.name})
        if app
        else ()
    )
    if not found:
        raise UsageError(
            f"{file.name} has no machine yet.", advice=f"Create it: roost apply {file.name}"
        )
    return found


async def time_request(url: str) -> float:
    """Return the seconds until the server is ready; a sleeping one is woken by it.

    Ready is more than healthy: `/api/health` answers without a database, `/api/ready` does not.

    Raises:
        SmokeFailedError: it was not, within the limit; says which of the two.
    """
    began = time.monotonic()
    async with prefect_client(url, PROBE_TIMEOUT_S) as http:
        seen = await until_ok(http, "/api/health", began + PROBE_TIMEOUT_S)
        if seen:
            raise SmokeFailedError(f"{url} does not answer ({seen}).", advice="Look at its log.")
        seen = await until_ok(http, "/api/ready", time.monotonic() + READY_LIMIT_S)
    if seen:
        raise SmokeFailedError(
            f"{url} is up, and not ready: /api/ready: {seen}.", advice=ready_advice(seen)
        )
    return time.monotonic() - began
