"""`roost releases` and `roost rollback`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from roost.apply.release_records import clear_release, environment_machines
from roost.apply.work import lease_holder
from roost.environment.flow_units import flow_units
from roost.environment.load import EnvironmentFile, load_unit
from roost.errors import ExitCode, UnappliableError
from roost.errors.command import Command
from roost.operations.applying import apply_and_report
from roost.operations.context import Context
from roost.operations.fly_target import Target, connect
from roost.operations.lease_owner import lease_description
from roost.operations.planning import Planned, make_plan
from roost.plan.cost import cost_change, read_prices
from roost.plan.desired import ENVIRONMENT_KEY, VERSION_KEY
from roost.plan.diff import plan_from
from roost.plan.document import Json, plan_document
from roost.plan.flow_machine import CLIENT
from roost.plan.releases import Release, changed_fields, current, releases_on
from roost.plan.resume import Recovery
from roost.plan.rollback import roll_back
from roost.prefect.versions import parse_version
from roost.report.text import listing, plan_report
from roost.report.wording import short_image, short_time, unproved_notes

COLUMNS = ("release", "verdict", "when", "git", "Prefect", "image", "snapshot")
CLEARING = "releases --clear"
GIT_DIGITS = 7
MOST_FIELDS = 4


async def releases(
    context: Context,
    name: str,
    *,
    local: bool,
    as_json: bool,
    clear: int | None,
) -> ExitCode:
    """List the releases, newest first; with `clear`, allow a failed release to be tried again."""
    file = load_unit(name, context.environments)
    async with connect(context, local=local) as target:
        if clear is not None:
            await _clear(context, target, file, clear)
        machines = await environment_machines(target.fly, file.environment.app, name)
    found = releases_on(machines)
    if as_json:
        context.out.print_json(json.dumps(_document(file, found)))
    elif clear is not None:
        context.out.print(
            f"Release {clear} is cleared: a plan may try it again. Next: {Command('plan', name)}"
        )
    elif not found:
        context.out.print(
            f"{name} has no release yet. Make the first one: {Command('apply', name)}"
        )
    else:
        context.out.print(listing(COLUMNS, _rows(found), words="what"))
        for note in unproved_notes(name, found):
            context.out.print(note, markup=False, soft_wrap=True)
    return ExitCode.DONE


async def _clear(context: Context, target: Target, file: EnvironmentFile, number: int) -> None:
    def notice(text: str) -> None:
        context.progress.print(f"  {text}", markup=False)

    app = file.environment.app
    doing = lease_description(CLEARING, context.environ)
    async with lease_holder(target.fly, app, notice, doing) as leases:
        await clear_release(target.fly, leases, file.name, number)


def _rows(found: tuple[Release, ...]) -> Iterator[tuple[str, ...]]:
    live = current(found)
    for release, before in _with_before(found):
        yield (
            str(release.number),
            f"{release.verdict.value}{', live' if release is live else ''}",
            short_time(release.at),
            release.git[:GIT_DIGITS] or "-",
            release.prefect,
            short_image(release.image),
            release.snapshot or "-",
            _what(release, before),
        )


def _with_before(found: tuple[Release, ...]) -> Iterator[tuple[Release, Release | None]]:
    """Yield each release, the newest first, with its predecessor if that is recorded."""
    return zip(reversed(found), [*reversed(found[:-1]), None], strict=False)


def _what(release: Release, before: Release | None) -> str:
    """Return what a release changed, and why it failed or what it restored."""
    fields = changed_fields(before, release) if before else ()
    more = f" and {len(fields) - MOST_FIELDS} more" if len(fields) > MOST_FIELDS else ""
    changed = f"changes {', '.join(fields[:MOST_FIELDS])}{more}" if fields else ""
    return ". ".join(filter(None, (changed, _why(release)))) or "-"


def _why(release: Release) -> str:
    back = f"puts release {release.back_to} back" if release.back_to else ""
    return ". ".join(filter(None, (back, release.why.rstrip("."))))


def _document(file: EnvironmentFile, found: tuple[Release, ...]) -> Json:
    live = current(found)
    return {
        "environment": file.name,
        "app": file.environment.app,
        "releases": [
            {
                "number": release.number,
                "verdict": release.verdict.value,
                "live": release is live,
                "at": release.at,
                "git": release.git,
                "prefect": release.prefect,
                "image": release.image,
                "region": release.region,
                "machines": release.machines,
                "snapshot": release.snapshot,
                "back_to": release.back_to or None,
                "why": release.why,
                "changed": list(changed_fields(before, release)) if before else [],
            }
            for release, before in _with_before(found)
        ],
    }


async def rollback(
    context: Context,
    name: str,
    *,
    local: bool,
    to: int | None,
    as_json: bool,
) -> ExitCode:
    """Restore a good release by plan, apply and gate; the file stays as it is."""
    await put_release_back(context, name, to, local=local, as_json=as_json)
    return ExitCode.DONE


async def put_release_back(
    context: Context, name: str, to: int | None, *, local: bool = False, as_json: bool = False
) -> tuple[Recovery, str]:
    """Carry out a rollback; return what it restored, and the server's address.

    Raises:
        RoostError: the rollback cannot be planned, or it failed.
    """
    file = load_unit(name, context.environments)
    async with connect(context, local=local) as target:
        planned, recovery = await _plan_rollback(context, file, target, to)
        context.progress.print(plan_report(planned.plan, planned.cost))
        document = {
            **plan_document(planned.plan, planned.cost),
            "back_to": recovery.back_to,
            "release": recovery.releases[-1].number + 1,
        }
        doing = lease_description("rollback", context.environ)
        await apply_and_report(context, target, planned, document if as_json else None, doing)
        url = await target.app_url(file.server.app, public=file.server.access.public)
    if not as_json:
        context.out.print(f"Release {recovery.back_to} is back, and proved.")
    return recovery, url


async def _plan_rollback(
    context: Context, file: EnvironmentFile, target: Target, to: int | None
) -> tuple[Planned, Recovery]:
    """Plan a rollback, as `plan` plans what the file asks for.

    Raises:
        UsageError: there is no such release.
        UnappliableError: the release cannot be restored.
    """
    planned = await make_plan(context, file, target)
    recovery = roll_back(planned.desired, planned.live, to)
    plan = plan_from(recovery, planned.live)
    if not plan.steps and not plan.refusals:
        raise UnappliableError(
            f"Release {recovery.back_to} is live already: nothing would change.",
            where=file.name,
            advice=f"Name another one: `{Command('rollback', file.name, '--to', 'N')}`.",
        )
    await _check_clients(
        target, file, str(recovery.desired.machines[0].config["metadata"][VERSION_KEY])
    )
    image = str(recovery.desired.machines[0].config["image"])
    await _check_image(target, file, image)
    cost = cost_change(read_prices(context.prices), recovery.desired, planned.live)
    return replace(planned, image=image, plan=plan, cost=cost, recovery=recovery), recovery


async def _check_clients(target: Target, file: EnvironmentFile, prefect: str) -> None:
    """Check that no flow server has a newer Prefect than the release: its client must not be newer.

    Raises:
        UnappliableError: names those that have, and how to roll them back first.
    """
    server = parse_version(prefect)
    for unit in flow_units(file):
        key = {ENVIRONMENT_KEY: unit.name}
        app = unit.environment.app
        there = server and await target.fly.get_app(app)
        for machine in await target.fly.list_machines(app, key) if there else ():
            client = parse_version(machine.metadata.get(VERSION_KEY, "").removeprefix(CLIENT))
            if server and client and client > server:
                raise UnappliableError(
                    f"{unit.name} runs Prefect {client}, which is newer than {server} of that release.",
                    where=file.name,
                    advice=f"Roll it back first: `{Command('rollback', unit.name)}`. Nothing was changed.",
                )


async def _check_image(target: Target, file: EnvironmentFile, image: str) -> None:
    """Check that the local Fly has the image before a change; Fly.io refuses by itself."""
    if target.local is not None and not await target.local.has_image(image):
        raise UnappliableError(
            f"The local Fly does not have the image {image} any more.",
            where=file.name,
            advice=f"Check out the commit of that release and build it: {Command('apply', file.name, '--local')}",
        )
