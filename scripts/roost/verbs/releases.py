"""Verbs about releases: releases, rollback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from roost.apply.clearing import clear_release, environment_machines
from roost.apply.executor import LEASE_PATIENCE_S, LEASE_TTL_S
from roost.environment.load import EnvironmentFile, load_environment
from roost.errors import ExitCode, UnappliableError
from roost.fly.leases import HeldLeases
from roost.plan.cost import cost_change, read_prices
from roost.plan.diff import plan_from
from roost.plan.document import Json, plan_document
from roost.plan.image import is_our_image
from roost.plan.recovery import Recovery
from roost.plan.releases import Release, current, releases_on
from roost.plan.rollback import roll_back
from roost.report.text import plan_report, status_table
from roost.verbs.changes import Planned, apply_planned, make_plan
from roost.verbs.context import Context
from roost.verbs.target import Target, connect

COLUMNS = ("release", "verdict", "when", "git", "Prefect", "image", "snapshot", "why")
CLEARING = "roost releases --clear"
GIT_DIGITS = 10


async def releases(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    as_json: bool,  # noqa: FBT001 - set by name in cli
    clear: int | None,
) -> ExitCode:
    """Show what was released, newest first; or allow a failed release again."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        if clear is not None:
            await _clear(context, target, file, clear)
        machines = await environment_machines(target.fly, file.environment.app, name)
    found = releases_on(machines)
    if as_json:
        context.out.print_json(json.dumps(_document(file, found)))
    elif clear is not None:
        context.out.print(
            f"Release {clear} is cleared: a plan may try it again. Next: roost plan {name}"
        )
    elif not found:
        context.out.print(f"{name} has no release yet. Make the first one: roost apply {name}")
    else:
        context.out.print(status_table(COLUMNS, _rows(found)))
    return ExitCode.DONE


async def _clear(context: Context, target: Target, file: EnvironmentFile, number: int) -> None:
    def notice(text: str) -> None:
        context.progress.print(f"  {text}", markup=False)

    app = file.environment.app
    async with HeldLeases(
        target.fly, app, LEASE_TTL_S, CLEARING, LEASE_PATIENCE_S, notice
    ) as leases:
        await clear_release(target.fly, leases, file.name, number)


def _rows(found: tuple[Release, ...]) -> Iterator[tuple[str, ...]]:
    live = current(found)
    for release in reversed(found):
        yield (
            str(release.number),
            f"{release.verdict.value}{', live' if release is live else ''}",
            _when(release.at),
            release.git[:GIT_DIGITS] or "-",
            release.prefect,
            _image(release.image),
            release.snapshot or "-",
            _why(release),
        )


def _when(at: str) -> str:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return at or "-"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _image(reference: str) -> str:
    """Give what tells images apart: of ours the hash, for the version has a column of its own."""
    short = reference.rpartition("/")[2]
    return short.rpartition("-")[2] if is_our_image(reference) else short


def _why(release: Release) -> str:
    back = f"puts release {release.back_to} back" if release.back_to else ""
    return ". ".join(filter(None, (back, release.why.rstrip(".")))) or "-"


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
            }
            for release in reversed(found)
        ],
    }


async def rollback(
    context: Context,
    name: str,
    local: bool,  # noqa: FBT001 - set by name in cli
    to: int | None,
    as_json: bool,  # noqa: FBT001 - set by name in cli
) -> ExitCode:
    """Put a good release back, by plan, apply and gate; the file stays as it is."""
    file = load_environment(name, context.environments)
    async with connect(context, local=local) as target:
        planned, recovery = await _plan_rollback(context, file, target, to)
        context.progress.print(plan_report(planned.plan, planned.cost))
        results = await apply_planned(context, target, planned, "roost rollback")
    if as_json:
        document = plan_document(planned.plan, planned.cost)
        gate = [vars(result) for result in results]
        context.out.print_json(json.dumps({**document, "back_to": recovery.back_to, "gate": gate}))
    else:
        context.out.print(f"Release {recovery.back_to} is back, and proved.")
    return ExitCode.DONE


async def _plan_rollback(
    context: Context, file: EnvironmentFile, target: Target, to: int | None
) -> tuple[Planned, Recovery]:
    """Plan to put a release back, as `plan` does for what the file asks for.

    Raises:
        UsageError: there is no such release.
        UnappliableError: it is not one to go back to.
    """
    planned = await make_plan(context, file, target)
    recovery = roll_back(planned.desired, planned.live, to)
    plan = plan_from(recovery, planned.live)
    if not plan.steps and not plan.refusals:
        raise UnappliableError(
            f"Release {recovery.back_to} is live already: nothing would change.",
            where=file.name,
            advice=f"Name another one: `roost rollback {file.name} --to N`.",
        )
    image = str(recovery.desired.machines[0].config["image"])
    await _check_image(target, file, image)
    cost = cost_change(read_prices(context.prices), recovery.desired, planned.live)
    return replace(planned, image=image, plan=plan, cost=cost, recovery=recovery), recovery


async def _check_image(target: Target, file: EnvironmentFile, image: str) -> None:
    """Ask the local Fly for the image before anything is changed; Fly itself refuses in time."""
    if target.local is not None and not await target.local.has_image(image):
        raise UnappliableError(
            f"The local Fly does not have the image {image} any more.",
            where=file.name,
            advice=f"Check out the commit of that release and build it: roost apply {file.name} --local",
        )
